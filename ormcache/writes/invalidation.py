"""From what a transaction wrote to the cells it marks, before the commit and after."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from ormcache import cells, runtime
from ormcache.codec.values import pack
from ormcache.coherence.writer import MARK_MS, Marked, new_token
from ormcache.exceptions import Corrupt, Unrepresentable
from ormcache.keys import TableKeys
from ormcache.schema import Table
from ormcache.stats import counters
from ormcache.writes.errors import InvalidationFailed
from ormcache.writes.pending import UNKNOWN, Pending, TableWrites

logger = logging.getLogger("ormcache")

STATEMENT_MARK_MS = 60_000
"""Life of marks set before a statement that commits by itself: it may wait for a lock first."""


class Invalidation:
    """The marks of one transaction: ``mark`` before its COMMIT, ``release`` after it.

    Never released when the outcome is unknown: the marks then expire by themselves.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._token = new_token()
        self._marked: list[bytes] = []
        self._unlink: list[bytes] = []

    def mark(self, pending: Pending, ttl_ms: int = MARK_MS) -> None:
        """Mark every cell the transaction touches: one round trip for the rows and what is known
        to change, a second for what the old rows show to have changed.

        Raises ``InvalidationFailed`` when the store does not take the marks, and nothing else:
        after any other error Django would not roll back.
        """
        try:
            self._mark(pending, ttl_ms)
        except Exception as error:
            counters["store_error"] += 1
            raise InvalidationFailed(
                f"The transaction was not committed: its rows could not be invalidated ({error}). "
                "Readers would have been served old data."
            ) from error

    def _mark(self, pending: Pending, ttl_ms: int) -> None:
        keys: list[bytes] = []
        rows: list[tuple[TableKeys, TableWrites, Any]] = []
        generations: list[bytes] = []
        set_keys: list[bytes] = []
        for name, writes in pending.tables.items():
            table_keys = runtime.current().keys(self._database, name)
            keys += _known_stamps(table_keys, writes)
            if not writes.rows:
                continue
            generations.append(table_keys.generation)
            for pk in writes.rows:
                rows.append((table_keys, writes, pk))
                set_keys.append(table_keys.dependents(pk))
                if pk in writes.deleted:
                    set_keys.append(table_keys.holders(pk))
        row_keys = [table_keys.row(pk) for table_keys, _, pk in rows]
        marked = self._send([*row_keys, *keys], ttl_ms, generations, set_keys)
        self._unlink = [key for members in marked.lists for key in members]
        stamps = dict(zip(generations, marked.looked_up, strict=True))
        more: set[bytes] = set()
        for (table_keys, writes, pk), old in zip(rows, marked.old, strict=False):
            stamp = stamps[table_keys.generation]
            more.update(_changed(table_keys, writes, pk, old, stamp, marked.epoch))
        more.difference_update(keys)
        if more:
            self._send(sorted(more), ttl_ms)

    def _send(
        self,
        keys: list[bytes],
        ttl_ms: int,
        look_up: list[bytes] | None = None,
        list_sets: list[bytes] | None = None,
    ) -> Marked:
        # Noted first: a mark whose reply is lost may be there all the same.
        self._marked += keys
        counters["mark"] += len(keys)
        return runtime.current().writer.mark(
            self._token, keys, look_up=look_up or (), list_sets=list_sets or (), ttl_ms=ttl_ms
        )

    def release(self) -> None:
        """Make the marked cells free again: one round trip. Never raises: the database has
        committed, and marks that stay expire by themselves."""
        marked, self._marked = self._marked, []
        if not marked:
            return
        try:
            lost = runtime.current().writer.release(self._token, marked, self._unlink)
        except Exception as error:
            counters["release_failed"] += 1
            logger.warning("ormcache.release.failed: %s", error)
            return
        counters["release"] += len(marked)
        counters["release_mark_lost"] += lost


def _known_stamps(keys: TableKeys, writes: TableWrites) -> Iterator[bytes]:
    """The stamps that change whatever the old values were."""
    if writes.table is None:
        yield keys.lists
        return
    if writes.whole:
        yield keys.generation
        yield keys.lists
        return
    if writes.membership:
        yield keys.rows
    for column in writes.columns:
        yield keys.column(column)
    if writes.columns:
        for column in writes.table.generated - writes.columns:
            yield keys.column(column)


def _changed(
    keys: TableKeys,
    writes: TableWrites,
    pk: Any,
    old: bytes | None,
    generation: bytes | None,
    epoch: bytes,
) -> Iterator[bytes]:
    """The stamps a saved row changes, by comparison with the row it replaces."""
    table, saved = writes.table, writes.rows[pk]
    if table is None or not saved:
        return
    values = _old_values(table, old, generation, epoch)
    if values is None:
        # The old row is not known. Few columns are named one by one; a full save says nothing
        # about which of them changed, and one stamp is cheaper than a stamp for each.
        if len(saved) > _FEW_COLUMNS:
            yield keys.lists
            return
        changed = set(saved)
    else:
        changed = {
            column
            for column, new in saved.items()
            if any(
                _differs(table, column, values[table.positions[column]], value) for value in new
            )
        }
    if changed:
        for column in changed | table.generated:
            yield keys.column(column)


_FEW_COLUMNS = 4


def _old_values(
    table: Table, old: bytes | None, generation: bytes | None, epoch: bytes
) -> list[Any] | None:
    if old is None or generation is None or cells.join_stamps([generation]) is None:
        return None
    prefix = cells.value_prefix(epoch, table.fingerprint, generation)
    if not old.startswith(prefix):
        return None
    try:
        return table.codec.decode(old[cells.value_offset(prefix) :])
    except Corrupt:
        counters["corrupt"] += 1
        return None


def _differs(table: Table, column: str, old: Any, new: Any) -> bool:
    """Whether a column changes. True whenever it is not certain that the database sees no
    difference between the two values."""
    if new is UNKNOWN:
        return True
    if type(new) is not type(old):
        if old is None or new is None:
            return True
        try:
            new = table.fields[table.positions[column]].to_python(new)
        except Exception:
            return True
        if type(new) is not type(old):
            return True
    if isinstance(old, dict | list):
        # Equal in Python does not mean equal in JSON: [1] == [True].
        try:
            return pack(old) != pack(new)
        except Unrepresentable:
            return True
    return bool(old != new)
