"""What one transaction has written so far, table by table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ormcache.schema import Table

MOST_ROWS = 1000
"""Rows of one table a transaction names one by one; beyond it the whole table is invalidated."""

UNKNOWN = object()
"""Stands for a new value that only the database knows."""


@dataclass(slots=True)
class TableWrites:
    """The writes to one table. Everything only ever grows: a savepoint that is rolled back
    leaves what it wrote noted, which invalidates too much but never too little."""

    table: Table | None
    """``None`` for the table of a model that is not cached: only "something changed" is known."""
    whole: bool = False
    """Rows unknown: every row and list of the table."""
    membership: bool = False
    """Rows were inserted or deleted."""
    columns: set[str] = field(default_factory=set)
    """Columns that changed in some row, whatever the old value."""
    rows: dict[Any, dict[str, list[Any]]] = field(default_factory=dict)
    """By primary key: the columns saved and every value they were given, to be compared with the
    old row. All values count: the last may have been undone by a savepoint."""
    deleted: set[Any] = field(default_factory=set)

    def touches(self, pk: Any) -> bool:
        """Whether the row may differ from its committed state."""
        return self.whole or pk in self.rows

    def write_row(self, pk: Any, values: dict[str, Any] | None = None) -> None:
        """A row was written; ``values`` are to be compared with its old values."""
        if self.whole:
            return
        if len(self.rows) >= MOST_ROWS and pk not in self.rows:
            self.write_all()
            return
        row = self.rows.setdefault(pk, {})
        for column, value in (values or {}).items():
            row.setdefault(column, []).append(value)

    def delete_row(self, pk: Any) -> None:
        self.membership = True
        self.write_row(pk)
        self.deleted.add(pk)

    def write_all(self) -> None:
        self.whole = True
        self.rows.clear()
        self.columns.clear()
        self.deleted.clear()


class Pending:
    """The writes of one transaction."""

    __slots__ = ("tables",)

    def __init__(self) -> None:
        self.tables: dict[str, TableWrites] = {}

    def table(self, name: str, table: Table | None) -> TableWrites:
        """The writes to a table, to be added to."""
        try:
            return self.tables[name]
        except KeyError:
            made = self.tables[name] = TableWrites(table)
            return made
