"""Rows locked before a bulk statement touches them, where the statement itself returns none.

MySQL returns rows from no UPDATE or DELETE, MariaDB from no UPDATE. Such a statement is sent as it
is, after one more that locks the rows it will find. They are all it touches, if it then counts
as many: each of them is found again, as nobody else can change it and the condition is about its
own columns; so one row more would show in the count, whoever committed it in between.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet

from ormcache.database.servers import READ_COMMITTED
from ormcache.schema.tables import Table
from ormcache.writes.pending import MOST_ROWS
from ormcache.writes.transaction import ConnectionState

_LOCKING_READS = frozenset({"repeatable read", "serializable"})
_FOUND_ROWS = 2
"""The flag of a connection that counts rows found, not rows changed (``CLIENT.FOUND_ROWS``)."""

Rows = dict[Any, dict[str, Any]]


def lock_rows(state: ConnectionState, table: Table, query: Any) -> Rows | None:
    """Lock the rows that ``query`` finds; for each its key and its partitions' values.

    ``query`` is a condition on the table's own columns, which tells of a row alone whether it
    is found. Of more rows than a transaction names, one more is locked. ``None`` if the rows are
    not to be known, as the connection does not lock or count as needed.
    """
    connection: Any = state.connection
    connection.ensure_connection()
    if not getattr(connection.connection, "client_flag", 0) & _FOUND_ROWS:
        return None
    try:
        found = _statement(state, table, query)
    except EmptyResultSet:
        return {}
    if found is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(*found)
        rows = cursor.fetchall()
    columns = [each.column for each in table.scheme.partitions]
    named = {table.normalise(key): dict(zip(columns, row, strict=True)) for key, *row in rows}
    return None if None in named else named


def _statement(state: ConnectionState, table: Table, query: Any) -> tuple[str, Any] | None:
    compiler = query.get_compiler(connection=state.connection)
    quote = state.connection.ops.quote_name
    name, key = quote(table.name), quote(table.pk_column)
    try:
        condition, params = compiler.compile(query.where)
    except FullResultSet:
        condition, params = "TRUE", ()
    columns = [table.pk_column, *(each.column for each in table.scheme.partitions)]
    selected = "SELECT " + ", ".join(f"{name}.{quote(column)}" for column in columns)
    limit = f"LIMIT {MOST_ROWS + 1}"
    isolation = state.isolation()
    if isolation in _LOCKING_READS:
        return f"{selected} FROM {name} WHERE {condition} {limit} FOR UPDATE", params
    if isolation != READ_COMMITTED:
        return None
    # An UPDATE passes over rows that others have locked, if they do not match; a locking SELECT
    # waits for them. So the rows are found first, without locks, and then locked by their keys.
    keys = f"SELECT {name}.{key} AS pk FROM {name} WHERE {condition} {limit}"
    joined = f"({keys}) AS found STRAIGHT_JOIN {name} ON {name}.{key} = found.pk"
    return f"{selected} FROM {joined} WHERE {condition} FOR UPDATE", (*params, *params)
