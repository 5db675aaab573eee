"""Hooks on a database connection: its statements, its cursors, the ends of its transactions.

Everything is set on the connection object itself; no class of Django's is patched.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import class_prepared

from ormcache import interrupts
from ormcache.modelset import HISTORICAL
from ormcache.writes.driver_calls import watch_driver_calls
from ormcache.writes.transaction import ConnectionState
from ormcache.writes.watch import Watch

_states: weakref.WeakSet[ConnectionState] = weakref.WeakSet()
_lock = threading.RLock()


def state_of(connection: BaseDatabaseWrapper) -> ConnectionState:
    """The state of a connection; on first sight the connection's hooks are set."""
    try:
        return connection._ormcache_state  # type: ignore[attr-defined,no-any-return]
    except AttributeError:
        return install(connection)


def install(connection: BaseDatabaseWrapper) -> ConnectionState:
    """Hook a connection: its statements, and the ends of its transactions."""
    state = ConnectionState(connection)
    connection._ormcache_state = state  # type: ignore[attr-defined]
    with _lock:
        _states.add(state)
    watch = Watch(state)
    connection.execute_wrappers.insert(0, watch)
    if connection.vendor == "postgresql":
        watch_driver_calls(connection, watch)
    for name, wrap in (
        ("commit", _wrap_commit),
        ("rollback", _wrap_rollback),
        ("set_autocommit", _wrap_set_autocommit),
        ("close", _wrap_close),
    ):
        setattr(connection, name, wrap(getattr(connection, name), state))
    if connection.vendor == "sqlite":
        connection.create_cursor = _wrap_create_cursor(  # type: ignore[method-assign]
            connection.create_cursor, state, watch
        )
    return state


def _wrap_create_cursor(
    original: Callable[..., Any], state: ConnectionState, watch: Watch
) -> Callable[..., Any]:
    def create_cursor(name: str | None = None) -> Any:
        cursor = original(name)
        state.cursors.add(cursor)
        reference = weakref.ref(cursor)

        def close_and_forget() -> None:
            close_of = reference()
            if close_of is not None:
                type(close_of).close(close_of)
                state.cursor_closed(close_of)

        def executescript(sql: str, /) -> Any:
            script_of = reference()
            assert script_of is not None
            return watch.script(sql, lambda: type(script_of).executescript(script_of, sql))

        cursor.close = close_and_forget
        cursor.executescript = executescript
        return cursor

    return create_cursor


def _wrap_commit(original: Callable[[], None], state: ConnectionState) -> Callable[[], None]:
    def commit() -> None:
        try:
            state.before_commit()
        except DatabaseError:
            raise
        except BaseException:
            # Django rolls back after a database error only, and would leave the transaction open.
            _roll_back(state.connection)
            raise
        # When COMMIT fails its outcome is open until a rollback succeeds on the same connection.
        original()
        state.end_raw()
        state.after_commit()

    return commit


def _roll_back(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.rollback()
    except BaseException:
        # Without the connection the server does.
        connection.close()
        raise


def _wrap_rollback(original: Callable[[], None], state: ConnectionState) -> Callable[[], None]:
    def rollback() -> None:
        original()
        state.end_raw()
        state.after_commit(committed=False)

    return rollback


def _wrap_set_autocommit(
    original: Callable[..., None], state: ConnectionState
) -> Callable[..., None]:
    def set_autocommit(autocommit: bool, *args: Any, **kwargs: Any) -> None:
        if not autocommit:
            was_in_transaction = state.in_transaction
            state.begins()
            try:
                # Nothing after it: an interrupt would leave autocommit off.
                return original(autocommit, *args, **kwargs)
            except BaseException:
                if state.in_transaction and not was_in_transaction:
                    # An interrupt came just after BEGIN: nobody would end what it began.
                    _roll_back(state.connection)
                    if state.connection.connection is not None:
                        original(True)
                raise
        try:
            # Switching autocommit on ends a transaction that nobody committed.
            ends = state.pending is not None and not state.connection.in_atomic_block
            if ends and interrupts.is_interrupted(sys.exception()):
                # It was to be committed, and an interrupt came first.
                _roll_back(state.connection)
                ends = False
            if ends:
                state.before_commit()
        except DatabaseError:
            raise
        except BaseException:
            # Whoever was interrupted finds the connection as Django leaves it.
            if state.pending is not None:
                _roll_back(state.connection)
            original(autocommit, *args, **kwargs)
            raise
        original(autocommit, *args, **kwargs)
        if ends:
            state.end_raw()
            state.after_commit()
        return None

    return set_autocommit


def _wrap_close(original: Callable[[], None], state: ConnectionState) -> Callable[[], None]:
    def close() -> None:
        try:
            try:
                if state.unseen:
                    state.look()
            finally:
                original()
        finally:
            # The server rolls back what was open. Marks of a COMMIT that failed stay: nobody
            # knows whether it happened. A database in memory is not closed at all.
            connection = state.connection
            if connection.connection is None or connection.closed_in_transaction:
                state.forget()

    return close


def _model_appears(sender: type[models.Model], **kwargs: Any) -> None:
    if sender.__module__ == HISTORICAL:
        return
    with _lock:
        states = list(_states)
    for state in states:
        # Those of models that are gone would keep them alive.
        state.statements.clear()
        if state.in_transaction and not sender._meta.proxy:
            # It may have written to the table before anybody watched it.
            for writes in state.writes().lasting(sender._meta.db_table, None):
                writes.write_all()


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.RLock()


class_prepared.connect(_model_appears, dispatch_uid="ormcache.transactions")
os.register_at_fork(after_in_child=_after_fork)
