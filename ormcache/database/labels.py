"""What names the database behind a connection in keys: whatever its address, and in every process.

PostgreSQL knows a number of each of its databases and one of itself. Elsewhere a migration puts a
random number into a table: it comes and goes with the database. A copy under another name, or in
another file, is another database.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache import interrupts
from ormcache.database.servers import ask, label_alias

TABLE = "ormcache_database"
_SIZE = 6


def identify(connection: BaseDatabaseWrapper) -> str | None:
    """The label of the database; ``None`` before the migration that names it. Connects.

    Raises the database's error when it does not answer.
    """
    connection.ensure_connection()
    find = _FINDERS.get(connection.vendor, _by_number)
    parts = find(connection)
    if parts is None:
        return None
    named = "\n".join((connection.vendor, *map(str, parts)))
    return hashlib.blake2b(named.encode(), digest_size=_SIZE).hexdigest()


def by_address(connection: BaseDatabaseWrapper) -> str:
    """A label for writes where the database has no name yet. Nothing is read under it."""
    named = f"{label_alias(connection)}\n{connection.settings_dict['NAME']}"
    return "at-" + hashlib.blake2b(named.encode(), digest_size=_SIZE).hexdigest()


def establish(connection: BaseDatabaseWrapper, *, renew: bool = False) -> None:
    """Give the database a number unless it has one; another one with ``renew``."""
    if connection.vendor == "postgresql":
        return
    quote = connection.ops.quote_name
    table, number = quote(TABLE), quote("number")
    with connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            columns = f"id smallint NOT NULL PRIMARY KEY, {number} char(32) NOT NULL"
            cursor.execute(f"CREATE TABLE {table} ({columns})")
        if renew:
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute(f"SELECT {number} FROM {table}")
        if cursor.fetchone() is None:
            cursor.execute(
                f"INSERT INTO {table} (id, {number}) VALUES (1, %s)", [uuid.uuid4().hex]
            )


Parts = tuple[object, ...]


def _of_postgresql(connection: Any) -> Parts | None:
    own = (connection.settings_dict["HOST"], connection.settings_dict["PORT"])
    if own not in _tells_system:
        allowed = "SELECT has_function_privilege('pg_control_system()', 'execute')"
        try:
            _tells_system[own] = bool(ask(connection, allowed)[0])
        except Error as error:
            interrupts.pass_on(error)
            # A server that only speaks the language of PostgreSQL.
            _tells_system[own] = False
    database = "SELECT oid FROM pg_database WHERE datname = current_database()"
    if not _tells_system[own]:
        return (*own, *ask(connection, database))
    return _row(connection, f"SELECT ({database}), system_identifier FROM pg_control_system()")


_tells_system: dict[Parts, bool] = {}
"""By address of a server: whether it tells everybody its number."""


def _of_sqlite(connection: Any) -> Parts | None:
    name = str(connection.settings_dict["NAME"])
    if name in ("", ":memory:"):
        # Of this connection alone.
        return (uuid.uuid4(),)
    if connection.is_in_memory_db():
        # Nobody else sees it; a shared Redis must not mix the databases of two processes.
        return os.getpid(), name
    number = _by_number(connection)
    if number is None:
        return None
    file = ask(connection, "SELECT file FROM pragma_database_list WHERE name = 'main'")[0]
    # A copied file has the number of the one it was copied from.
    return (*number, os.stat(file).st_ino)


def _of_mysql(connection: Any) -> Parts | None:
    number = _by_number(connection)
    # A dump that was loaded under another name has brought the number along.
    return number and (*number, *ask(connection, "SELECT DATABASE()"))


def _by_number(connection: Any) -> Parts | None:
    quote = connection.ops.quote_name
    try:
        return _row(connection, f"SELECT {quote('number')} FROM {quote(TABLE)}")
    except Error as error:
        interrupts.pass_on(error)
        with connection.cursor() as cursor:
            if TABLE in connection.introspection.table_names(cursor):
                raise
        return None


def _row(connection: Any, sql: str) -> Parts | None:
    found = ask(connection, sql)
    return None if found is None else tuple(found)


_FINDERS = {"postgresql": _of_postgresql, "sqlite": _of_sqlite, "mysql": _of_mysql}
