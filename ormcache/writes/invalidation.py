"""From what a transaction wrote to the cells it marks, before the commit and after."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache import interrupts, runtime
from ormcache.coherence.writer import MARK_MS, Marked, new_token
from ormcache.conf import OUTBOX
from ormcache.database.catalog import catalog, names_rows, scheme_in
from ormcache.exceptions import InvalidationFailed, StoreError
from ormcache.outage import outbox
from ormcache.schema.partitions import Scheme
from ormcache.stats import counters
from ormcache.writes.pending import Pending, TableWrites
from ormcache.writes.stamps import TableChanges

logger = logging.getLogger("ormcache")

STATEMENT_MARK_MS = 60_000
"""Life of marks set before a statement that commits by itself: it may wait for a lock first."""


# An entry that was announced is there for longer than a commit takes that is as fast as this.
_SOON = outbox.KEPT / 4


@dataclass(frozen=True, slots=True)
class Noted:
    """That the outbox holds an entry for the write. ``at``: since when (monotonic seconds)."""

    entry: int
    keys: list[bytes]
    is_statement: bool
    is_announced: bool
    at: float


class Invalidation:
    """The marks of one transaction: set before its COMMIT, taken off by ``release`` after it.

    Never released when the outcome is unknown: the marks then expire by themselves.

    Every way of marking raises ``InvalidationFailed`` when nothing could be promised, and nothing
    else: after any other error Django would not roll back.
    """

    def __init__(self, database: str, connection: BaseDatabaseWrapper) -> None:
        self._database = database
        self._connection = connection
        self._token = new_token()
        self._marked: list[bytes] = []
        self._schemes: dict[bytes, bytes] = {}
        """By key of a lists stamp, the scheme of the stamps that were marked in its table."""
        self._noted: Noted | None = None
        self._remembered: list[bytes] = []

    def mark(self, pending: Pending) -> None:
        """Mark every cell a transaction touches, while it holds the locks of its rows.

        One round trip for the rows and what is known to change, a second for what the old rows
        show to have changed. If the store does not take them the outbox does.
        """
        self._mark(pending, MARK_MS, True, self._put)

    def mark_statement(self, pending: Pending) -> None:
        """The same before a statement that commits by itself. As it does not hold the locks yet,
        what the cells of its rows held tells nothing: others may still commit before it does."""

        def put(keys: list[bytes]) -> None:
            # Nobody knows when it commits: the entry has to be there before, and to stay.
            self._put(keys, time.time() + STATEMENT_MARK_MS / 1000)

        self._mark(pending, STATEMENT_MARK_MS, False, put)

    def mark_done(self, pending: Pending, *, in_transaction: bool) -> None:
        """The same for what has been written already, by somebody else."""

        def put(keys: list[bytes]) -> None:
            if in_transaction and not outbox.is_private(self._connection):
                # A rollback would take the entry with it, but not what it is about.
                raise StoreError("inside a transaction it cannot be noted for later")
            self._put(keys)

        self._mark(pending, MARK_MS, False, put)

    def _mark(
        self, pending: Pending, ttl_ms: int, holds_locks: bool, put: Callable[[list[bytes]], Any]
    ) -> None:
        try:
            changes = [
                TableChanges(
                    runtime.current().keys(self._database, name),
                    writes,
                    self._scheme(writes),
                    self._connection,
                )
                for name, writes in pending.tables.items()
            ]
            try:
                self._set_marks(changes, ttl_ms, holds_locks)
            except StoreError:
                counters["store_error"] += 1
                if not self._has_outbox():
                    raise
                keys = [key for each in changes for key in each.coarse_keys()]
                if keys:
                    put(keys)
        except Exception as error:
            interrupts.pass_on(error)
            raise InvalidationFailed(
                f"The write was not committed: it could not be invalidated ({error}), and readers "
                "would have been served old data."
            ) from error

    def _scheme(self, writes: TableWrites) -> Scheme | None:
        """The partitions whose stamps are kept in this database."""
        table = writes.table
        if table is None:
            return None
        try:
            catalog.learns(self._database, table, self._connection)
        except Exception as error:
            interrupts.pass_on(error)
            logger.warning("ormcache.catalog.unknown: %s: %s", table.name, error)
            writes.write_all()
        if not names_rows(self._database, table):
            # Two spellings of a key are one row, and nobody knows which.
            writes.write_all()
        return scheme_in(self._database, self._connection.vendor, table)

    def _has_outbox(self) -> bool:
        return runtime.current().config.on_outage == OUTBOX

    def _put(self, keys: list[bytes], running_until: float = 0.0) -> None:
        if outbox.is_private(self._connection):
            outbox.remember(self._database, keys)
            self._remembered = keys
            return
        try:
            is_announced = outbox.is_announced(self._connection)
            entry = outbox.put(self._connection, keys, running_until)
        except Error as error:
            interrupts.pass_on(error)
            raise StoreError(
                f"the outbox took no note of it: {error}. Was manage.py migrate run for ormcache "
                f"on the database {self._connection.alias!r}?"
            ) from error
        self._noted = Noted(entry, keys, running_until > 0, is_announced, time.monotonic())

    def _set_marks(self, changes: list[TableChanges], ttl_ms: int, holds_locks: bool) -> None:
        known = [key for each in changes for key in each.known_stamps()]
        rows = [(each, pk) for each in changes for pk in each.writes.rows]
        marked = self._send(
            [*(each.keys.row(pk) for each, pk in rows), *known],
            ttl_ms,
            [key for each in changes for key in (each.keys.generation, each.keys.lists)],
        )
        more: set[bytes] = set()
        for each, generation, lists in zip(
            changes, marked.looked_up[::2], marked.looked_up[1::2], strict=True
        ):
            each.generation, each.epoch = generation, marked.epoch
            if each.scheme is not None:
                self._schemes[each.keys.lists] = each.scheme
            more |= _touched(each, each.inserted_stamps(lists))
        for (each, pk), old in zip(rows, marked.old, strict=False):
            more |= _touched(each, each.row_stamps(pk, old if holds_locks else None))
        if more := more.difference(known):
            self._send(sorted(more), ttl_ms)

    def _send(
        self,
        keys: list[bytes],
        ttl_ms: int,
        look_up: list[bytes] | None = None,
    ) -> Marked:
        # Noted first: a mark whose reply is lost may be there all the same.
        self._marked += keys
        counters["mark"] += len(keys)
        return runtime.current().writer.mark(
            self._token,
            keys,
            look_up=look_up or (),
            ttl_ms=ttl_ms,
        )

    def release(self, *, committed: bool = True) -> None:
        """Make the marked cells free again: one round trip. Never raises: the outcome is known,
        and marks that stay expire by themselves.

        Afterwards the commit may be acknowledged. If the outbox took note of it, that is when
        every process has had the time to see it.
        """
        noted, self._noted = self._noted, None
        marked, self._marked = self._marked, []
        if self._remembered:
            # Once more: whoever recalled it before the commit may have been too early.
            outbox.remember(self._database, self._remembered)
        if noted is not None:
            # A server that refused the marks may still answer readers of this process, and one of
            # them may have found the outbox empty a moment before the commit.
            runtime.current().store.contact += 1
            if noted.is_statement:
                noted = replace(noted, entry=self._settle(noted))
        if marked:
            self._release(marked)
        if noted is not None and committed:
            self._await_notice(noted)

    def _release(self, marked: list[bytes]) -> None:
        try:
            schemes = {key: self._schemes[key] for key in self._schemes.keys() - set(marked)}
            writer = runtime.current().writer
            lost, foreign = writer.release(self._token, marked, schemes)
            counters["release"] += len(marked)
            counters["release_mark_lost"] += lost
            if foreign:
                counters["release_scheme_changed"] += len(foreign)
                writer.drop(foreign)
        except StoreError:
            # The store has said what is wrong with it, once.
            counters["release_failed"] += 1
        except Exception as error:
            interrupts.pass_on(error)
            counters["release_failed"] += 1
            logger.exception("ormcache.release.failed")

    def _settle(self, noted: Noted) -> int:
        try:
            return outbox.settle(self._connection, noted.entry, noted.keys)
        except Exception as error:
            interrupts.pass_on(error)
            logger.warning("ormcache.outbox.unsettled: %s", error)
            return noted.entry

    def _await_notice(self, noted: Noted) -> None:
        """Wait until no process can believe that the outbox holds nothing. Not when an earlier
        entry has made all of them look before every read, and will be there for long."""
        if noted.is_announced and time.monotonic() - noted.at < _SOON:
            return
        time.sleep(outbox.INTERVAL)
        try:
            outbox.announce(self._connection, noted.entry)
        except Exception as error:
            interrupts.pass_on(error)
            logger.debug("ormcache.outbox.unannounced: %s", error)


def _touched(changes: TableChanges, stamps: Iterator[bytes]) -> set[bytes]:
    """The stamps; those of the whole table when they cannot be worked out."""
    try:
        return set(stamps)
    except Exception as error:
        interrupts.pass_on(error)
        logger.exception("ormcache.invalidation.coarse: %s", changes.keys.table)
        return {changes.keys.generation, changes.keys.lists}
