"""The database: contents that never change, and SQL that says what follows from them.

SQLite answers each statement on a copy of the contents it concerns. What a transaction sees and
who waits for whom is not SQLite's affair; ``state`` decides it.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any, NamedTuple

from ormcache.models import OutboxEntry
from tests.testapp.models import Comment

Row = tuple[Any, ...]
Contents = tuple[Row, ...]
"""The rows of the one table in question, by primary key, which is their first column."""

MODEL = Comment
TABLE = MODEL._meta.db_table
COLUMNS = tuple(field.column for field in MODEL._meta.local_concrete_fields)
PK = COLUMNS[0]

OUTBOX = OutboxEntry._meta.db_table
_COLUMNS = {
    TABLE: COLUMNS,
    OUTBOX: tuple(field.column for field in OutboxEntry._meta.local_concrete_fields),
}
_WAITING = _COLUMNS[OUTBOX].index("waiting")


def is_outbox(sql: str) -> bool:
    """Whether a statement is about the outbox."""
    return f'"{OUTBOX}"' in sql


def is_look(sql: str) -> bool:
    """Whether it is the look that a reader takes."""
    return is_outbox(sql) and sql.startswith("SELECT waiting ")


def is_waiting(entry: Row) -> bool:
    """Whether an entry has yet to be replayed."""
    return bool(entry[_WAITING])


class Written(NamedTuple):
    """What an UPDATE, INSERT or DELETE did: the contents after it, the keys it locked, how many
    rows it wrote, and those it returned."""

    contents: Contents
    touched: frozenset[Any]
    number: int
    rows: tuple[Row, ...]


@cache
def select(sql: str, params: Row, contents: Contents) -> tuple[Row, ...]:
    """The rows a query finds."""
    return tuple(_opened(contents, _table(sql)).execute(sql, params).fetchall())


@cache
def write(sql: str, params: Row, contents: Contents) -> Written:
    """What a write does."""
    table = _table(sql)
    connection = _open(contents, table)
    returns = " RETURNING " in sql
    found = connection.execute(sql if returns else f'{sql} RETURNING "{PK}"', params).fetchall()
    after = tuple(connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall())
    connection.close()
    touched = frozenset(row[0] for row in found)
    return Written(after, touched, len(found), tuple(found) if returns else ())


@cache
def _opened(contents: Contents, table: str) -> sqlite3.Connection:
    return _open(contents, table)


def _table(sql: str) -> str:
    return OUTBOX if is_outbox(sql) else TABLE


def _open(contents: Contents, table: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    columns = _COLUMNS[table]
    listed = f'"{PK}" INTEGER PRIMARY KEY, ' + ", ".join(f'"{column}"' for column in columns[1:])
    connection.execute(f'CREATE TABLE "{table}" ({listed})')
    holes = ", ".join("?" * len(columns))
    connection.executemany(f'INSERT INTO "{table}" VALUES ({holes})', contents)
    return connection


Overlay = tuple[tuple[Any, Row | None], ...]
"""What a transaction has changed: rows by primary key, ``None`` where it deleted one."""


def changes(before: Contents, after: Contents, touched: frozenset[Any]) -> Overlay:
    """The rows a write locked, as they are after it."""
    rows = {row[0]: row for row in after}
    return tuple((pk, rows.get(pk)) for pk in sorted(touched))


def overlaid(contents: Contents, overlay: Overlay) -> Contents:
    """The contents with a transaction's changes."""
    rows: dict[Any, Row | None] = {row[0]: row for row in contents}
    rows.update(overlay)
    return tuple(row for _, row in sorted(rows.items()) if row is not None)
