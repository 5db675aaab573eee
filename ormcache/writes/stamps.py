"""From the writes to one table to the stamps they change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ormcache import cells
from ormcache.exceptions import Corrupt
from ormcache.keys import TableKeys
from ormcache.schema.partitions import Scheme
from ormcache.schema.tables import Table
from ormcache.stats import counters
from ormcache.writes.pending import UNKNOWN, TableWrites, Values
from ormcache.writes.sent import is_held

# A save of more columns than these says nothing about which of them changed.
_FEW_COLUMNS = 4


class TableChanges:
    """What a transaction changes in one table.

    ``scheme`` is that of the partitions whose stamps are kept; ``None`` for a table without rows
    in the cache. ``generation`` and ``epoch`` are set once they have been looked up.
    """

    def __init__(
        self, keys: TableKeys, writes: TableWrites, scheme: Scheme | None, connection: Any
    ) -> None:
        self._connection = connection
        self.keys = keys
        self.writes = writes
        self.generation: bytes | None = None
        self.epoch = b""
        self._partitions = scheme.partitions if scheme else ()
        self.scheme = scheme.id if scheme else None

    def known_stamps(self) -> Iterator[bytes]:
        """The stamps that change whatever the old rows were."""
        writes, keys = self.writes, self.keys
        if writes.whole or writes.table is None:
            # Another process may know a model of this table whose rows are cells.
            yield keys.generation
            yield keys.lists
        else:
            if writes.lists:
                yield keys.lists
            if writes.membership:
                yield keys.rows

    def coarse_keys(self) -> Iterator[bytes]:
        """What to invalidate when nothing can be known of the old rows."""
        writes, keys = self.writes, self.keys
        if writes.whole or writes.table is None:
            yield keys.generation
        for pk in writes.rows:
            yield keys.row(pk)
        if (
            writes.table is None
            or writes.whole
            or writes.rows
            or writes.lists
            or writes.membership
        ):
            # Every list over the table relies on it.
            yield keys.lists

    def inserted_stamps(self, lists: bytes | None) -> Iterator[bytes]:
        """The stamps new rows change. ``lists`` is the table's lists stamp as it is: when it does
        not name this scheme, some lists may rely on partitions that are not kept here."""
        writes = self.writes
        if writes.table is None or writes.whole or writes.lists:
            return
        touched = writes.rows or writes.inserted
        if touched and cells.scheme_of(lists) != self.scheme:
            yield self.keys.lists
        for values in writes.inserted.values():
            tokens = self._tokens(None, values)
            if tokens is None:
                yield self.keys.lists
                return
            yield from self._memberships(tokens)

    def row_stamps(self, pk: Any, old: bytes | None) -> Iterator[bytes]:
        """The stamps a written row changes, by comparison with ``old``, the cell it replaces."""
        table, saved = self.writes.table, self.writes.rows[pk]
        gone = pk in self.writes.deleted
        if table is None or not (saved or gone):
            return
        if gone and pk in self.writes.inserted:
            # It was never there for others, and its new values are accounted for.
            return
        values = self._old_values(table, old)
        changed = self._changed(table, saved, values)
        if not (changed or gone):
            return
        named = self.writes.partitions.get(pk) if values is None else None
        # New values alone never tell where a row was before.
        is_known = values is not None or named is not None or not self._partitions
        tokens = self._tokens(values, saved, named) if is_known else None
        if tokens is not None:
            yield from self._exact(table, changed, tokens, gone)
        elif values is not None or gone or self._moves(saved):
            yield self.keys.lists
        elif len(saved) > _FEW_COLUMNS:
            # The old row is not known, and one stamp is cheaper than a stamp for each column.
            yield self.keys.lists
        else:
            for column in changed | table.generated:
                yield self.keys.column(column)
                yield self.keys.loose_column(column)

    def _changed(self, table: Table, saved: Values, old: list[Any] | None) -> set[str]:
        """The columns that differ from the old row; all that were written if it is not known."""
        if old is None:
            return set(saved)
        return {
            column
            for column, new in saved.items()
            if any(self._differs(table, column, old, value) for value in new)
        }

    def _differs(self, table: Table, column: str, row: list[Any], new: Any) -> bool:
        """Whether a column changes from what it is in ``row``. True whenever that is not certain:
        the field may change what it is given, or load something else than it was given."""
        if new is UNKNOWN or column not in table.plain:
            return True
        position = table.positions[column]
        return not is_held(table.fields[position], row[position], new, self._connection)

    def _exact(
        self, table: Table, changed: set[str], tokens: dict[str, set[bytes]], gone: bool
    ) -> Iterator[bytes]:
        """The stamps of a row whose partitions are known."""
        for name, each in tokens.items():
            if gone or name in changed:
                for token in each:
                    yield self.keys.partition(name, token)
        for column in changed | table.generated if changed else ():
            yield self.keys.column(column)
            for name, each in tokens.items():
                for token in each:
                    yield self.keys.partition_column(name, token, column)

    def _moves(self, saved: Values) -> bool:
        return any(partition.column in saved for partition in self._partitions)

    def _memberships(self, tokens: dict[str, set[bytes]]) -> Iterator[bytes]:
        for name, each in tokens.items():
            for token in each:
                yield self.keys.partition(name, token)

    def _tokens(
        self, old: list[Any] | None, new: Values, named: dict[str, Any] | None = None
    ) -> dict[str, set[bytes]] | None:
        """By partition column, the values the row had or got; ``None`` if one is not certain.

        ``named`` holds values of before that the database itself gave.
        """
        found: dict[str, set[bytes]] = {}
        for partition in self._partitions:
            column = partition.column
            values: list[Any] = list(new.get(column, ()))
            if old is not None:
                values.append(old[partition.position])
            elif named is not None:
                values.append(named.get(column, UNKNOWN))
            elif not values:
                return None
            tokens = [
                None if value is UNKNOWN else partition.stored_token(value) for value in values
            ]
            certain = {token for token in tokens if token is not None}
            if None in tokens:
                return None
            found[column] = certain
        return found

    def _old_values(self, table: Table, old: bytes | None) -> list[Any] | None:
        if old is None or cells.scheme_of(self.generation) is None:
            return None
        prefix = cells.value_prefix(self.epoch, table.fingerprint, self.generation or b"")
        if not old.startswith(prefix):
            return None
        try:
            return table.codec.decode(old[cells.value_offset(prefix) :])
        except Corrupt:
            counters["corrupt"] += 1
            return None
