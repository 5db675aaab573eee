"""The transaction of one database connection, as the cache sees it.

Marks go out just before COMMIT and are released just after it, before any ``on_commit`` hook runs:
the hooks of ``transaction.on_commit`` come later, in order, and can be dropped.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from django.db import DatabaseError, Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache import interrupts
from ormcache.database import drivers, labels, servers
from ormcache.database.catalog import catalog
from ormcache.database.sight import Sight
from ormcache.exceptions import InvalidationFailed
from ormcache.schema.watched import watched_tables
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.noting import Announcement
from ormcache.writes.pending import Pending
from ormcache.writes.results import until_read
from ormcache.writes.returning import Returning
from ormcache.writes.savepoints import Savepoints, of_django
from ormcache.writes.sql.ends import left_by
from ormcache.writes.unseen import Unseen

logger = logging.getLogger("ormcache")


# Driver connections changed by a statement. A pool keeps them when Django's connection is closed.
_isolated: weakref.WeakSet[Any] = weakref.WeakSet()


_CHANGED = "changed"


def _remember(changed: weakref.WeakSet[Any], driver: Any) -> None:
    # Drivers whose connections cannot be referred to weakly (SQLite's) have no pools.
    with suppress(TypeError):
        changed.add(driver)


class ConnectionState:
    """What the cache knows of one connection; see ``hooks.state_of``."""

    __slots__ = (
        "__weakref__",
        "_committing",
        "_isolation",
        "_isolation_inside",
        "_primary",
        "_raw_transaction",
        "announcement",
        "connection",
        "cursors",
        "pending",
        "returning",
        "savepoints",
        "sight",
        "statements",
        "unfinished",
        "unseen",
    )

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.announcement: Announcement | None = None
        """Set while the statement of an announced write is made and run."""
        self.cursors: weakref.WeakSet[Any] = weakref.WeakSet()
        """Cursors of SQLite that are neither closed nor forgotten; see ``sees_newest``."""
        self.unfinished: weakref.WeakKeyDictionary[Any, list[tuple[Invalidation, Pending]]]
        self.unfinished = weakref.WeakKeyDictionary()
        """Marks of statements that are not over when they return, by cursor: on SQLite those that
        return rows, on MySQL those with more results than one. They are over when the last row
        is fetched or the cursor is closed. Those of a forgotten cursor expire."""
        self.returning: Returning | None = None
        """Set while the rows of the running statement are asked for."""
        self.statements: dict[Any, Any] = {}
        """Statements compiled for this connection, by whoever compiles them."""
        self.sight = Sight(connection)
        """What the connection sees, and whether the cache may speak for it."""
        self.savepoints = Savepoints()
        """Those of the running transaction."""
        self.forget()

    def forget(self) -> None:
        """Another connection to the database: of the old one nothing is left, but a pool may hand
        out one that was changed before."""
        driver = self.connection.connection
        self.pending: Pending | None = None
        self.savepoints.clear()
        self.sight.forget()
        self.unseen = Unseen()
        self._committing: Invalidation | None = None
        self._raw_transaction = False
        self._primary: bool | None = None
        self._isolation = _CHANGED if driver is not None and driver in _isolated else None
        self._isolation_inside: str | None = None
        """That of the running transaction, asked of each."""

    def connected(self) -> None:
        """Django has just connected, with settings of its own."""
        if self.connection.vendor == "mysql":
            # It sets the isolation level by a statement; that one is asked for, not feared.
            _isolated.discard(self.connection.connection)
            drivers.watch_transactions(self.connection, left_by)
        self.forget()

    @property
    def label(self) -> str:
        """What names the database in keys. Asked for once a connection, and raises the database's
        error when it does not answer; reads have it asked by ``sight``."""
        sight = self.sight
        try:
            return sight.label or sight.identify() or labels.by_address(self.connection)
        except Error as error:
            interrupts.pass_on(error)
            raise InvalidationFailed(
                f"The database could not be asked which one it is ({error}), so nothing that is "
                "written to it can be invalidated."
            ) from error

    @property
    def in_transaction(self) -> bool:
        return self._is_django_in_transaction or (
            self.connection.connection is not None and self._is_driver_in_transaction
        )

    @property
    def is_begun_unseen(self) -> bool:
        """Whether the driver is in a transaction that nobody saw begin: nobody may see it end."""
        return (
            not self._is_django_in_transaction
            and not self._raw_transaction
            and self.connection.connection is not None
            and self._is_driver_in_transaction
        )

    @property
    def _is_django_in_transaction(self) -> bool:
        connection = self.connection
        return connection.in_atomic_block or (
            connection.connection is not None and not connection.autocommit
        )

    @property
    def _is_driver_in_transaction(self) -> bool:
        found = drivers.in_transaction(self.connection)
        return self._raw_transaction if found is None else found

    def look(self) -> None:
        """See whether a transaction has ended on the driver, where nobody saw it. To be called
        when something was written."""
        if self._is_django_in_transaction or not drivers.is_idle(self.connection):
            return
        pending, self.pending = self.pending, None
        self.savepoints.clear()
        self._raw_transaction = False
        if pending is not None and pending.tables:
            self.unseen.keep(Invalidation(self.label, self.connection), pending)
        self.unseen.settle(self.label, self.connection)

    def writes(self) -> Pending:
        """The writes of the running transaction, to be added to."""
        if self.pending is None:
            self.pending = Pending(self.savepoints)
        return self.pending

    def may_fill(self, tables: list[str]) -> bool:
        """Whether what a statement reads now may be stored for others."""
        if self.pending is not None and any(name in self.pending.tables for name in tables):
            return False
        try:
            if self.unseen:
                return False
            # Only once connected it is known what a pool has handed out.
            sees = self._is_primary() and self.sight.may_read(tables) and self.sees_newest()
            if not sees and logger.isEnabledFor(logging.DEBUG):
                logger.debug("ormcache.fill.refused: %s", self.fill_refusal())
            return sees and self._knows(tables)
        except Exception as error:
            interrupts.pass_on(error)
            logger.debug("ormcache.fill.refused: %s", error)
            return False

    def _knows(self, tables: Iterable[str]) -> bool:
        """Whether what is to be stored rests on what is known of the columns of the tables. When
        something new is learned the next read will."""
        known, learned = watched_tables(), False
        for name in tables:
            table = known[name].table if name in known else None
            if table is not None:
                learned |= catalog.learns(self.label, table, self.connection)
        return not learned

    def _is_primary(self) -> bool:
        if self._primary is None:
            self.connection.ensure_connection()
            self._primary = not (
                servers.is_second_address(self.connection) or servers.is_replica(self.connection)
            )
        return self._primary

    def sees_newest(self) -> bool:
        """Whether the next statement sees every commit and nothing else."""
        if self.asks_isolation:
            self.isolation()
        return not self._old_snapshot()

    def isolation(self) -> str:
        """The isolation level of the connection, as ``databases.isolation`` names it. Asked for
        in each transaction, as it may be set on the driver."""
        level = self._known_isolation
        if level is None:
            level = servers.isolation(self.connection)
            if self.in_transaction:
                self._isolation_inside = level
            else:
                self._isolation = level
        return level

    @property
    def _known_isolation(self) -> str | None:
        if self._isolation == _CHANGED or not self.in_transaction:
            return self._isolation
        return self._isolation_inside

    @property
    def asks_isolation(self) -> bool:
        """Whether the isolation level decides what may be stored, and is not known yet."""
        vendor = self.connection.vendor
        by_level = vendor == "mysql" or (self.in_transaction and vendor != "sqlite")
        return by_level and self._known_isolation is None

    def _old_snapshot(self) -> str:
        """Why the next statement may see something else than the newest commits; empty when it
        surely sees them, or when the isolation level matters and was not asked for yet."""
        if self.is_begun_unseen or self._is_pipelined:
            if drivers.has_perhaps_begun(self.connection):
                return "a statement may have begun a transaction that no COMMIT has ended yet"
            return "a transaction begun on the driver may see an old snapshot"
        vendor, level = self.connection.vendor, self._known_isolation
        if vendor == "sqlite":
            if self.in_transaction:
                return "a transaction of SQLite may see an old snapshot"
            # An unfinished statement keeps the snapshot of all that follow.
            return "an open cursor of SQLite may keep an old snapshot" if self.cursors else ""
        if level is None or not (self.in_transaction or vendor == "mysql"):
            return ""
        if level == _CHANGED:
            return "a statement may have changed the isolation level"
        allowed = {servers.READ_COMMITTED} if self.in_transaction else servers.COMMITTED_ONLY
        return "" if level in allowed else f"the isolation level is {level.upper()}"

    def fill_refusal(self) -> str:
        """Why ``may_fill`` refuses for any table, in words; empty if it does not, as far as is
        known without asking the database."""
        if self._primary is False:
            return "the database server is a replica"
        return self._old_snapshot()

    def isolation_changes(self) -> None:
        """The statement about to run may change the isolation level: ask no more, refuse."""
        self._isolation = _CHANGED
        _remember(_isolated, self.connection.connection)

    # The end of a transaction

    def before_commit(self) -> None:
        """Mark what the transaction wrote. Raises ``InvalidationFailed``."""
        if self.pending is None:
            return
        self._committing = Invalidation(self.label, self.connection)
        if self._is_pipelined:
            # COMMIT will be sent, and nobody knows when it is done.
            self._committing.mark_statement(self.pending)
        else:
            self._committing.mark(self.pending)

    def after_commit(self, *, committed: bool = True) -> None:
        """The outcome is known, a rollback perhaps: release the marks."""
        self.sight.ends()
        pending, self.pending = self.pending, None
        self.savepoints.clear()
        committing, self._committing = self._committing, None
        if self.connection.connection is not None and self._is_pipelined:
            # COMMIT was sent, and that is all.
            if pending is not None and committing is not None:
                self.unseen.keep(committing, pending)
            return
        if committing is not None:
            committing.release(committed=committed)
        if self.unseen:
            self.unseen.release(committed=committed)

    def savepoint(self, text: str, run: Callable[[], Any]) -> Any:
        """Around a statement about a savepoint: see ``savepoints``."""
        verb, name = of_django(text)
        if verb == "SAVEPOINT":
            self.savepoints.before(name, is_kept=self._keeps_savepoints)
        result = run()
        if verb == "SAVEPOINT":
            self.savepoints.begun(name)
        elif verb.startswith("RELEASE"):
            self.savepoints.released(name)
        elif verb and self.pending is not None and self._keeps_savepoints:
            tables = self.savepoints.returned(name, self.pending.tables)
            # At once, or not at all.
            self.pending.tables = tables
            self.savepoints.settled(name)
            if not tables:
                self.pending = None
        return result

    @property
    def _keeps_savepoints(self) -> bool:
        connection = self.connection
        return (
            connection.vendor in ("postgresql", "sqlite")
            and connection.in_atomic_block
            and connection.commit_on_exit
            and self.announcement is None
            and not self._is_pipelined
        )

    @property
    def _is_pipelined(self) -> bool:
        return self.connection.connection is not None and drivers.is_pipelined(self.connection)

    def begin_raw(self) -> None:
        """``BEGIN`` went through a cursor: Django does not know of the transaction."""
        self._raw_transaction = True
        self._isolation_inside = None

    def begins(self) -> None:
        """Django begins a transaction."""
        self._isolation_inside = None

    def settle_raw(self) -> None:
        """After a text that may have begun a transaction and ended it: the driver knows, but not
        that of MySQL. What passes for one that is not there would never be committed."""
        driver: Any = self.connection.connection
        if self.connection.vendor == "sqlite":
            self._raw_transaction = driver.in_transaction
        elif self.connection.vendor == "postgresql":
            self._raw_transaction = bool(driver.info.transaction_status)
        if not self.in_transaction:
            self.pending = None
            self.savepoints.clear()

    def end_raw(self) -> None:
        """What began through a cursor is over, or may be: the driver is believed from now on."""
        self._raw_transaction = False
        self._isolation_inside = None

    @contextmanager
    def committing_statement(self, pending: Pending, cursor: Any = None) -> Iterator[None]:
        """Around a statement that commits by itself: marks before it, release after it.

        ``cursor`` is the driver's, if the statement may return rows.
        """
        invalidation = Invalidation(self.label, self.connection)
        invalidation.mark_statement(pending)
        try:
            yield
        except Exception as error:
            if is_refusal(self.connection, error):
                # Of several statements some may have been committed, and of MyISAM's some rows.
                invalidation.release(committed=self.connection.vendor == "mysql")
            raise
        if self._stays_open(cursor):
            self._keep_open(cursor, invalidation, pending)
        else:
            self._is_over(invalidation, pending)

    def _is_over(self, invalidation: Invalidation, pending: Pending) -> None:
        if self._is_pipelined or self.is_begun_unseen:
            self.unseen.keep(invalidation, pending)
        else:
            invalidation.release()
            if pending is self.pending and not self.in_transaction:
                self.pending = None

    def _stays_open(self, cursor: Any) -> bool:
        """Whether a statement goes on after it has returned, until its cursor is at its end."""
        if self.connection.vendor == "sqlite":
            return bool(getattr(cursor, "description", None))
        return cursor is not None and drivers.has_more_results(self.connection)

    def _keep_open(self, cursor: Any, invalidation: Invalidation, pending: Pending) -> None:
        self.unfinished.setdefault(cursor, []).append((invalidation, pending))
        if self.connection.vendor == "mysql":
            reference = weakref.ref(cursor)

            def over() -> None:
                if (read := reference()) is not None:
                    self.cursor_closed(read)

            until_read(cursor, over, partial(is_refusal, self.connection))

    def cursor_closed(self, cursor: Any) -> None:
        """A cursor is closed, and with it what it had not fetched is committed."""
        self.cursors.discard(cursor)
        for invalidation, pending in self.unfinished.pop(cursor, ()):
            self._is_over(invalidation, pending)

    @contextmanager
    def announcing(self, announcement: Announcement) -> Iterator[None]:
        """Around the statement of a write that is noted by who announces it."""
        before, self.announcement = self.announcement, announcement
        try:
            yield
        finally:
            self.announcement = before


def is_refusal(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether an error says that the server has refused the statement.

    Only the driver knows: of a time limit, of an error of another execute wrapper, of a lost
    connection nobody can tell what the server goes on to do.
    """
    driver: Any = connection.Database  # type: ignore[attr-defined]
    cause = error if isinstance(error, driver.Error) else error.__cause__
    known = (
        driver.IntegrityError,
        driver.ProgrammingError,
        driver.DataError,
        driver.NotSupportedError,
    )
    if not isinstance(error, (DatabaseError, driver.Error)) or not isinstance(cause, known):
        return False
    return not interrupts.is_interrupted(error)


def own_atomic(state: ConnectionState) -> AbstractContextManager[Any]:
    """A transaction for one announced write, if there is none: the marks have to be set while
    the write holds its row locks and is not yet committed."""
    connection = state.connection
    if state.in_transaction or not connection.get_autocommit():
        return nullcontext()
    return transaction.atomic(using=connection.alias, savepoint=False)
