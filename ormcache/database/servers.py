"""Which database an alias stands for, and what a connection to it allows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import TEST_DATABASE_PREFIX

_configured: dict[str, str] = {}


def remember_configured() -> None:
    """Note the configured database names, before a test run changes them."""
    for alias in connections:
        _configured[alias] = str(connections.settings[alias]["NAME"])


def is_test(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection leads to the database that a test run makes in place of its own."""
    name = str(connection.settings_dict["NAME"])
    configured = _configured.get(connection.alias, name)
    given = connection.settings_dict.get("TEST", {}).get("NAME")
    return name in (str(given), TEST_DATABASE_PREFIX + configured)


def label_alias(connection: BaseDatabaseWrapper) -> str:
    """The first alias with the same database behind it."""
    here = _identity(connection.settings_dict)
    for other in connections:
        if other == connection.alias or _identity(connections.settings[other]) == here:
            return other
    return connection.alias


def is_copy(replica: str, primary: str) -> bool:
    """Whether an alias is configured as the same database as another, on another server."""
    here, there = connections.settings[replica], connections.settings[primary]
    if here.get("TEST", {}).get("MIRROR") == primary:
        return True
    return here["ENGINE"] == there["ENGINE"] and str(here["NAME"]) == str(there["NAME"])


def is_second_address(connection: BaseDatabaseWrapper) -> bool:
    """Whether an earlier alias leads to a database of that name elsewhere, of which this may be a
    copy that lags behind: MySQL has no way to tell for sure."""
    if connection.vendor != "mysql":
        return False
    own = connection.settings_dict
    for alias in connections:
        other = connections.settings[alias]
        if alias == connection.alias or _identity(other) == _identity(own):
            return False
        if (other["ENGINE"], str(other["NAME"])) == (own["ENGINE"], str(own["NAME"])):
            return True
    return False


def sees_otherwise(connection: BaseDatabaseWrapper) -> bool:
    """Whether an alias shares its cells with another and may see other rows than that: as another
    user, or with another search_path."""
    first = label_alias(connection)
    if first == connection.alias:
        return False
    return _view(connection.settings_dict) != _view(connections.settings[first])


def _view(options: dict[str, Any]) -> tuple[str, ...]:
    own = options.get("OPTIONS", {})
    named = (own.get("options"), own.get("assume_role"), own.get("service"))
    return (str(options.get("USER", "")), *map(str, named))


def _identity(options: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(options.get(part, "")) for part in ("ENGINE", "HOST", "PORT", "NAME"))


def forget_answers() -> None:
    """Ask the servers again."""
    _answers.clear()


def is_replica(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server only follows another one."""
    if connection.vendor == "postgresql":
        # PostgreSQL 14 and newer say so unasked, and say it again when it changes.
        driver: Any = connection.connection
        info = getattr(driver, "info", None)
        known = info.parameter_status("in_hot_standby") if info is not None else None
        if known is not None:
            return bool(known == "on")
        return bool(_ask(connection, "SELECT pg_is_in_recovery()"))
    if connection.vendor == "mysql":
        return bool(_ask(connection, "SELECT @@global.read_only"))
    return False


READ_COMMITTED = "read committed"
COMMITTED_ONLY = frozenset({READ_COMMITTED, "repeatable read", "serializable"})
"""The levels at which a statement on its own sees the newest commits and nothing else."""


def isolation(connection: BaseDatabaseWrapper) -> str:
    """The isolation level of a PostgreSQL or MySQL connection, in small letters.

    In a transaction only READ COMMITTED shows each statement the newest commits: under the higher
    levels it may see a snapshot older than the lease its fill would rest on, under READ
    UNCOMMITTED what is never committed.
    """
    if connection.vendor == "postgresql":
        level = _answer(connection, "SHOW transaction_isolation")
    elif connection.vendor == "mysql":
        name = "tx_isolation" if _is_old_mariadb(connection) else "transaction_isolation"
        level = _answer(connection, f"SELECT @@{name}")
    else:
        return "unknown"
    found = str(level).lower().replace("-", " ")
    if found == "read uncommitted" and connection.vendor == "postgresql":
        # PostgreSQL knows it by name only.
        return READ_COMMITTED
    return found


def untransactional(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """The tables that take part in no transaction (MyISAM, Aria, MEMORY): what is written to them
    is seen at once, and not undone."""
    if connection.vendor != "mysql":
        return _NONE
    names = _ask(
        connection,
        "SELECT JSON_ARRAYAGG(t.table_name) FROM information_schema.tables t"
        " JOIN information_schema.engines e ON e.engine = t.engine"
        " WHERE t.table_schema = DATABASE() AND e.transactions <> 'YES'",
    )
    return frozenset(json.loads(names)) if names else _NONE


_NONE: frozenset[str] = frozenset()


def _is_old_mariadb(connection: Any) -> bool:
    return bool(connection.mysql_is_mariadb and connection.mysql_version < (11, 1))


def _ask(connection: BaseDatabaseWrapper, sql: str) -> Any:
    """What the server answers, remembered for a minute: a site that connects for every request
    would ask each time."""
    memo = (connection.alias, *_identity(connection.settings_dict), sql)
    known, until = _answers.get(memo, (None, 0.0))
    if time.monotonic() < until:
        return known
    answer = _answer(connection, sql)
    _answers[memo] = answer, time.monotonic() + _REMEMBERED
    return answer


def _answer(connection: BaseDatabaseWrapper, sql: str) -> Any:
    # The driver's own cursor: a question of the cache's is not a query of the application.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone()[0]
    finally:
        cursor.close()


_answers: dict[tuple[str, ...], tuple[Any, float]] = {}
_REMEMBERED = 60.0


def ask(connection: Any, sql: str) -> Any:
    """The first row of an answer. Not a query of the application: it is asked by the driver's own
    cursor, which nobody counts. Raises Django's error, and leaves a transaction as it was."""
    with connection.wrap_database_errors, set_apart(connection):
        cursor = connection.connection.cursor()
        try:
            cursor.execute(sql)
            return cursor.fetchone()
        finally:
            cursor.close()


@contextmanager
def set_apart(connection: Any) -> Iterator[None]:
    """Keep an error from the application's transaction, of which PostgreSQL would refuse every
    statement that follows."""
    if connection.vendor != "postgresql" or (
        connection.autocommit and not connection.connection.info.transaction_status
    ):
        yield
        return
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            yield
        except BaseException:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            raise
        finally:
            cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    finally:
        cursor.close()


_SAVEPOINT = "ormcache_question"
