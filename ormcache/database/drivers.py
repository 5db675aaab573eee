"""What a driver says of its connection, whatever Django knows of it.

Code that has the driver's connection in hand may begin a transaction there, end one, or send
statements whose answers are read later.
"""

from __future__ import annotations

import enum
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
        left = getattr(driver, _LEFT, None)
        if left is Left.PERHAPS:
            left = driver._ormcache_left = _asked(driver)
        return None if left is None else left is not Left.NOTHING
    return None


class Left(enum.Enum):
    """What is left of a transaction when a text is over."""

    TRANSACTION = "a transaction"
    PERHAPS = "a transaction, perhaps"
    NOTHING = "nothing"
    NOTHING_AT_LAST = "nothing, once the last of several results is read"


def _asked(driver: Any) -> Left:
    """What the server itself says is left; while results are to be read it cannot be asked."""
    try:
        return _of_mariadb(driver) if "MariaDB" in driver.get_server_info() else _of_mysql(driver)
    except Exception as error:
        interrupts.pass_on(error)
        return Left.PERHAPS


def _of_mariadb(driver: Any) -> Left:
    type(driver).query(driver, b"SELECT @@in_transaction")
    (answer,) = driver.store_result().fetch_row(0)
    return Left.TRANSACTION if int(answer[0]) else Left.NOTHING


def _of_mysql(driver: Any, setting: bytes = b"transaction_read_only") -> Left:
    # Without SESSION it is about the next transaction, and refused in one that goes on.
    try:
        type(driver).query(driver, b"SET @@%s = @@session.%s" % (setting, setting))
    except driver.OperationalError as error:
        if error.args[:1] == (_NOT_IN_A_TRANSACTION,):
            return Left.TRANSACTION
        raise
    return Left.NOTHING


_NOT_IN_A_TRANSACTION = 1568


def watch_transactions(
    connection: BaseDatabaseWrapper, read: Callable[[Any, Any], Left | None]
) -> None:
    """Note what begins and ends a transaction on a driver that does not say (mysqlclient). All
    that its cursors and its own methods send passes its ``query``, but for two.

    ``read`` says what a text leaves, ``None`` for what it found, given the text and the driver.
    """
    driver: Any = connection.connection
    if connection.vendor != "mysql" or hasattr(driver, "server_status") or hasattr(driver, _LEFT):
        return
    # Without a reference to the driver: in a cycle it would wait for the garbage collector.
    reference, kind = weakref.ref(driver), type(driver)

    # Once the server has answered no function is called before the driver reads the answer: an
    # exception that struck there would leave it unread, and the next statement out of turn.

    def query(sql: Any) -> Any:
        live: Any = reference()
        left = read(sql, live)
        found = live._ormcache_left
        if left is None or left is found is Left.NOTHING:
            return kind.query(live, sql)
        live.__dict__.pop("next_result", None)
        if left is Left.NOTHING_AT_LAST:
            live.next_result = last_result
        # Whatever comes in between.
        live._ormcache_left = left if left is Left.TRANSACTION else Left.PERHAPS
        try:
            result = kind.query(live, sql)
        except kind.ProgrammingError as error:
            live.__dict__.pop("next_result", None)
            if error.args[:1] == (_SYNTAX_ERROR,) and left is not Left.PERHAPS:
                live._ormcache_left = found
            raise
        except BaseException:
            live.__dict__.pop("next_result", None)
            raise
        if left is Left.NOTHING:
            live._ormcache_left = left
        return result

    def last_result() -> Any:
        live: Any = reference()
        try:
            found = kind.next_result(live)
        except BaseException:
            # What came after it was not run.
            live.__dict__.pop("next_result", None)
            raise
        if found == _NO_MORE:
            live._ormcache_left = Left.NOTHING
            live.__dict__.pop("next_result", None)
        return found

    def ending(end: Any) -> Any:
        def ended() -> None:
            live: Any = reference()
            end(live)
            live._ormcache_left = Left.NOTHING

        return ended

    driver._ormcache_left = Left.NOTHING
    driver.query = query
    driver.commit, driver.rollback = ending(kind.commit), ending(kind.rollback)


_LEFT = "_ormcache_left"
_SYNTAX_ERROR, _NO_MORE = 1064, -1


def has_perhaps_begun(connection: BaseDatabaseWrapper) -> bool:
    """Whether a text was sent of which nobody can tell whether a transaction is open since."""
    return getattr(connection.connection, _LEFT, None) is Left.PERHAPS


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
