"""Rows a statement touches, asked of the statement itself: ``UPDATE … RETURNING``.

Django's bulk statements say how many rows they touched, not which. Where the database can, the
statement is made to return them, so that no further SQL is needed to invalidate them exactly.
"""

from __future__ import annotations

from typing import Any

from ormcache.schema import Table
from ormcache.writes.pending import MOST_ROWS


class Returning:
    """Extends the statements on one table that pass while it is set on a connection.

    Afterwards ``rows`` holds, for each row touched, its key and its partitions' values;
    ``None`` when they are not known. An UPDATE returns the values the rows have after it.
    """

    def __init__(self, connection: Any, table: Table) -> None:
        quote = connection.ops.quote_name
        name = quote(table.name)
        self._heads = tuple(
            head + name
            for head, able in (
                ("UPDATE ", _updates_return(connection)),
                ("DELETE FROM ", _deletes_return(connection)),
            )
            if able
        )
        self._columns = [table.pk_column, *(each.column for each in table.roster.partitions)]
        listed = ", ".join(quote(column) for column in self._columns)
        self._tail = f" RETURNING {listed}"
        self._table = table
        self.rows: dict[Any, dict[str, Any]] | None = {}

    def extend(self, sql: str) -> str | None:
        """``sql`` made to return its rows, ``None`` if it is none of the statements meant."""
        if not sql.startswith(self._heads) or " RETURNING " in sql:
            return None
        return sql + self._tail

    def take(self, cursor: Any) -> None:
        """Take the rows an extended statement returned."""
        found = cursor.fetchall()
        if self.rows is None or len(found) + len(self.rows) > MOST_ROWS:
            self.rows = None
            return
        for key, *values in found:
            pk = self._table.normalise(key)
            if pk is None:
                self.rows = None
                return
            self.rows[pk] = dict(zip(self._columns[1:], values, strict=True))


def _updates_return(connection: Any) -> bool:
    # Both can return from an UPDATE since they can from an INSERT.
    return connection.vendor in ("postgresql", "sqlite") and bool(
        connection.features.can_return_columns_from_insert
    )


def _deletes_return(connection: Any) -> bool:
    return _updates_return(connection) or (
        connection.vendor == "mysql" and bool(connection.mysql_is_mariadb)
    )
