"""Rows a statement touches, asked of the statement itself: ``UPDATE … RETURNING``.

Django's bulk statements say how many rows they touched, not which. Where the database can, the
statement is made to return them, so that no further SQL is needed to invalidate them exactly.
"""

from __future__ import annotations

import re
from typing import Any

from ormcache.schema.tables import Table
from ormcache.writes.pending import MOST_ROWS


class Returning:
    """Extends the statements on one table that pass while it is set on a connection.

    Afterwards ``rows`` holds, for each row touched, its key and its partitions' values;
    ``None`` when they are not known. An UPDATE returns the values the rows have after it.
    """

    def __init__(self, connection: Any, table: Table) -> None:
        quote = connection.ops.quote_name
        name = quote(table.name)
        able = {"UPDATE": _updates_return(connection), "DELETE": _deletes_return(connection)}
        heads = {"UPDATE": f"UPDATE {name}", "DELETE": f"DELETE FROM {name}"}
        self._heads = {verb: heads[verb] for verb, returns in able.items() if returns}
        self._columns = [table.pk_column, *(each.column for each in table.scheme.partitions)]
        listed = ", ".join(quote(column) for column in self._columns)
        self._tail = f" RETURNING {listed}"
        # Not a condition within a subquery: a bracket would follow.
        own_key = re.escape(f"{name}.{quote(table.pk_column)}")
        self._named = re.compile(
            rf"UPDATE {re.escape(name)} SET .* WHERE {own_key} IN \((%s(?:, %s)*)\)", re.DOTALL
        )
        self._table = table
        self._keeps_open = connection.vendor == "sqlite"
        self.rows: dict[Any, dict[str, Any]] | None = {}

    def can(self, verb: str) -> bool:
        """Whether the database returns the rows of such a statement."""
        return verb in self._heads

    def extend(self, sql: str) -> str | None:
        """``sql`` made to return its rows, ``None`` if it is none of the statements meant."""
        if not sql.startswith(tuple(self._heads.values())) or " RETURNING " in sql:
            return None
        return sql + self._tail

    def take(self, cursor: Any) -> None:
        """Take the rows an extended statement returned."""
        most = MOST_ROWS - len(self.rows or ())
        found = cursor.fetchmany(most + 1)
        if self.rows is None or len(found) > most:
            self.rows = None
            if self._keeps_open:
                # SQLite counts the rows, and lets go of the statement, once all are fetched.
                while cursor.fetchmany(MOST_ROWS):
                    pass
            return
        self._add(found)

    def read(self, sql: str, params: Any) -> None:
        """Take the rows that a statement names by their keys, as Django makes it where an UPDATE
        with joins cannot be: it selects the keys first."""
        named = self._named.fullmatch(sql)
        if named is not None and self.rows is not None:
            self._add([(key,) for key in params[-named[1].count("%s") :]])

    def _add(self, found: Any) -> None:
        assert self.rows is not None
        for key, *values in found:
            pk = self._table.normalise(key)
            if pk is None:
                self.rows = None
                return
            self.rows[pk] = dict(zip(self._columns[1:], values, strict=bool(values)))


def _updates_return(connection: Any) -> bool:
    # Both can return from an UPDATE since they can from an INSERT.
    return connection.vendor in ("postgresql", "sqlite") and bool(
        connection.features.can_return_columns_from_insert
    )


def _deletes_return(connection: Any) -> bool:
    return _updates_return(connection) or (
        connection.vendor == "mysql" and bool(connection.mysql_is_mariadb)
    )
