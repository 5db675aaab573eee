"""What a driver says of its connection, whatever Django knows of it.

Code that has the driver's connection in hand may begin a transaction there, end one, or send
statements whose answers are read later.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

_IDLE, _OPEN = 0, (2, 3)
"""Of PostgreSQL: no transaction; one that goes on or has failed."""
_IN_TRANSACTION, _MORE_RESULTS = 1, 8
"""Flags of the status that a MySQL server adds to its answers."""


def in_transaction(connection: BaseDatabaseWrapper) -> bool | None:
    """Whether the next statement is part of a transaction; ``None`` if the driver does not say."""
    driver: Any = connection.connection
    if connection.vendor == "postgresql":
        status = driver.info.transaction_status
        if status not in (_IDLE, *_OPEN):
            return None
        # Without autocommit it begins one with the next statement.
        return bool(status) or not driver.autocommit
    if connection.vendor == "sqlite":
        return bool(driver.in_transaction or driver.isolation_level is not None)
    if connection.vendor == "mysql":
        if not driver.get_autocommit():
            return True
        status = getattr(driver, "server_status", None)
        return None if status is None else bool(status & _IN_TRANSACTION)
    return None


def is_idle(connection: BaseDatabaseWrapper) -> bool:
    """Whether the driver says that nothing is under way: no transaction, no pipeline."""
    driver: Any = connection.connection
    if driver is None:
        return False
    if connection.vendor == "postgresql":
        return bool(driver.info.transaction_status == _IDLE)
    if connection.vendor == "sqlite":
        return not driver.in_transaction
    return in_transaction(connection) is False


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
