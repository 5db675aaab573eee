"""What one transaction has written so far, table by table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ormcache.schema.tables import Table

if TYPE_CHECKING:
    from ormcache.writes.savepoints import Savepoints

MOST_ROWS = 1000
"""Rows of one table a transaction names one by one; beyond it the whole table is invalidated."""

UNKNOWN: Any = object()
"""Stands for a new value that only the database knows."""

Values = dict[str, list[Any]]
"""By column, every value a row was given. All count: the last may have been undone by a
savepoint."""


@dataclass(slots=True)
class TableWrites:
    """The writes to one table. Everything only ever grows; where a savepoint that is rolled back
    leaves what it wrote noted, that invalidates too much but never too little."""

    table: Table | None
    """``None`` for the table of a model that is not cached: only "something changed" is known."""
    whole: bool = False
    """Rows unknown: every row and list of the table."""
    lists: bool = False
    """Every list of the table: rows came or went, and it is not known which."""
    membership: bool = False
    """Rows were inserted or deleted."""
    rows: dict[Any, Values] = field(default_factory=dict)
    """By primary key: the columns written, to be compared with the old row."""
    deleted: set[Any] = field(default_factory=set)
    inserted: dict[Any, Values] = field(default_factory=dict)
    """New rows; by primary key where the database gave it: then no older row had the same."""

    partitions: dict[Any, dict[str, Any]] = field(default_factory=dict)
    """By primary key: values of partitions that the database named for a row, as it was before
    the first write to it and is to the last one."""

    def touches(self, pk: Any) -> bool:
        """Whether the row may differ from its committed state."""
        return self.whole or pk in self.rows or pk in self.inserted

    def write_row(self, pk: Any, values: dict[str, Any]) -> None:
        """A row was given values; ``UNKNOWN`` where only the database knows them."""
        if self.whole:
            return
        if self.table is not None and not values.keys() <= self.table.positions.keys():
            # A column of another model's, or another spelling of one.
            self.write_all()
            return
        if pk not in self.inserted and pk not in self.rows and self._is_full():
            self.write_all()
            return
        # After a savepoint was rolled back others may have written the row in between.
        self.partitions.pop(pk, None)
        row = self.rows.setdefault(pk, {})
        # What happens to a row of this transaction's own concerns lists by its new values only.
        into = self.inserted.get(pk, row)
        for column, value in values.items():
            into.setdefault(column, []).append(value)

    def insert_row(self, pk: Any, values: dict[str, Any]) -> None:
        """A row was inserted; ``pk`` if the database gave it one, else ``None``."""
        self.membership = True
        if self.whole or self.lists:
            return
        if self._is_full():
            self.lists = True
            return
        # The key may be that of a row this transaction has deleted: that one was elsewhere.
        key = object() if pk is None or pk in self.rows else pk
        self.inserted[key] = {column: [value] for column, value in values.items()}

    def insert_unknown(self) -> None:
        """Rows were inserted whose values are not known."""
        self.membership = self.lists = True

    def delete_row(self, pk: Any) -> None:
        self.membership = True
        self.write_row(pk, {})
        if not self.whole:
            self.deleted.add(pk)

    def write_all(self) -> None:
        self.whole = True
        self.rows.clear()
        self.deleted.clear()
        self.inserted.clear()
        self.partitions.clear()

    def copy(self) -> TableWrites:
        """The rows that were written so far. The values of each are shared, and go on growing."""
        return replace(
            self,
            rows=self.rows.copy(),
            deleted=self.deleted.copy(),
            inserted=self.inserted.copy(),
            partitions=self.partitions.copy(),
        )

    def _is_full(self) -> bool:
        return len(self.rows) + len(self.inserted) >= MOST_ROWS


class Pending:
    """The writes of one transaction."""

    __slots__ = ("_savepoints", "tables")

    def __init__(self, savepoints: Savepoints | None = None) -> None:
        self.tables: dict[str, TableWrites] = {}
        self._savepoints = savepoints

    def table(self, name: str, table: Table | None) -> TableWrites:
        """The writes to a table, to be added to."""
        found = self.tables.get(name)
        if self._savepoints is not None:
            self._savepoints.keep(name, found)
        if found is None:
            found = self.tables[name] = TableWrites(table)
        return found

    def lasting(self, name: str, table: Table | None) -> list[TableWrites]:
        """The same for what no savepoint takes back: all of them are to be added to."""
        own = self.table(name, table)
        return [own] if self._savepoints is None else [own, *self._savepoints.kept(name, table)]
