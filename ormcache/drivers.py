"""What a driver says of its connection, whatever Django knows of it.

Code that has the driver's connection in hand may begin a transaction there, end one, or send
statements whose answers are read later.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache import interrupts

_IDLE, _OPEN = 0, (2, 3)
"""Of PostgreSQL: no transaction; one that goes on or has failed."""
_IN_TRANSACTION, _MORE_RESULTS = 1, 8
"""Flags of the status that a MySQL server adds to its answers."""


def in_transaction(connection: BaseDatabaseWrapper) -> bool | None:
    """Whether the next statement is part of a transaction; ``None`` if the driver does not say."""
    return _told(_in_transaction, connection)


def _told(ask: Callable[[str, Any], bool | None], connection: BaseDatabaseWrapper) -> bool | None:
    try:
        return ask(connection.vendor, connection.connection)
    except Exception as error:
        # It was closed without Django's knowledge.
        interrupts.pass_on(error)
        return None


def _in_transaction(vendor: str, driver: Any) -> bool | None:
    if vendor == "postgresql":
        status = driver.info.transaction_status
        if status not in (_IDLE, *_OPEN):
            return None
        # Without autocommit it begins one with the next statement.
        return bool(status) or not driver.autocommit
    if vendor == "sqlite":
        return bool(driver.in_transaction or driver.isolation_level is not None)
    if vendor == "mysql":
        if not driver.get_autocommit():
            return True
        status = getattr(driver, "server_status", None)
        if status is not None:
            return bool(status & _IN_TRANSACTION)
        begun: bool | None = getattr(driver, _BEGUN, None)
        return begun
    return None


def watch_transactions(connection: BaseDatabaseWrapper) -> None:
    """Note what begins and ends a transaction on a driver that does not say (mysqlclient). All
    that its cursors and its own methods send passes its ``query``, but for two."""
    driver: Any = connection.connection
    if connection.vendor != "mysql" or hasattr(driver, "server_status") or hasattr(driver, _BEGUN):
        return
    # Without a reference to the driver: in a cycle it would wait for the garbage collector.
    reference, kind = weakref.ref(driver), type(driver)

    def query(sql: Any) -> Any:
        live = reference()
        result = kind.query(live, sql)
        if (begun := _begins(sql)) is not None:
            setattr(live, _BEGUN, begun)
        return result

    def ending(end: Any) -> Any:
        def ended() -> None:
            live = reference()
            end(live)
            setattr(live, _BEGUN, False)

        return ended

    setattr(driver, _BEGUN, False)
    driver.query = query
    driver.commit, driver.rollback = ending(kind.commit), ending(kind.rollback)


def _begins(sql: Any) -> bool | None:
    """Whether a statement begins a transaction, or ends one; ``None`` for neither."""
    head = bytes(sql[:_HEAD]) if isinstance(sql, bytes | bytearray) else str(sql)[:_HEAD].encode()
    verb = _VERB.match(head)
    if verb is None:
        return None
    if verb[1]:
        return True
    # A savepoint that is rolled back to ends nothing; a chain begins the next one.
    return None if b" TO " in head.upper() else b"CHAIN" in head.upper()


_BEGUN, _HEAD = "_ormcache_begun", 200
_VERB = re.compile(
    rb"(?:[\s(]|(?:--|\#)[^\n]*+\n|/\*.*?\*/)*+"
    rb"(?:(BEGIN(?!\s+NOT)|START\s+TRANSACTION|XA\s+(?:START|BEGIN))|COMMIT|ROLLBACK|XA\s+COMMIT)\b",
    re.IGNORECASE | re.DOTALL,
)


def is_idle(connection: BaseDatabaseWrapper) -> bool:
    """Whether the driver says that nothing is under way: no transaction, no pipeline."""
    return connection.connection is not None and _told(_is_idle, connection) is True


def _is_idle(vendor: str, driver: Any) -> bool:
    if vendor == "postgresql":
        return bool(driver.info.transaction_status == _IDLE)
    if vendor == "sqlite":
        return not driver.in_transaction
    return _in_transaction(vendor, driver) is False


def is_pipelined(connection: BaseDatabaseWrapper) -> bool:
    """Whether statements are sent before the answers to those of before are there (psycopg's
    ``pipeline()``): that one has returned says nothing about it."""
    if connection.vendor != "postgresql":
        return False
    driver: Any = connection.connection
    return bool(getattr(driver.info, "pipeline_status", 0))


def has_more_results(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server may still run what the last text asked for: MySQL sends the result of
    each statement as soon as it has it."""
    if connection.vendor != "mysql":
        return False
    driver: Any = connection.connection
    more = getattr(driver, "more_results", None)
    if more is not None:
        return bool(more())
    return bool(getattr(driver, "server_status", 0) & _MORE_RESULTS)
