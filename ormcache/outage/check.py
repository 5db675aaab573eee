"""Whether what the store holds may be believed: while the outbox is known to hold nothing.

A process that could not reach the store may have committed meanwhile, with a note in the outbox.
Only the database tells. So every process looks there

- before it believes the first value of a database,
- after every connection to the store that was lost,
- every ``INTERVAL`` seconds besides, as it may not notice that another process was cut off, and
- before every single read while any entry is there: it is *alert* then.

A writer who has put an entry acknowledges its commit only when all the others must have seen
one: it waits for ``INTERVAL`` seconds, unless an earlier entry has made everybody alert. These two
rules together keep the promise during an outage that some do not notice.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ormcache import interrupts, runtime
from ormcache.conf import OUTBOX
from ormcache.exceptions import StoreError
from ormcache.locks import Claim, ExpiringLock
from ormcache.outage import outbox, table
from ormcache.outage.outbox import State

if TYPE_CHECKING:
    from ormcache.writes.transaction import ConnectionState

logger = logging.getLogger("ormcache")

# Of its time, how much may pass before the next look: the rest is for the read under way.
_RENEW = 0.75
_RETRY = 0.5
_MINUTE = 60.0
_PATIENCE = 2.0
"""Seconds a thread waits for another that looks, unless it is known that this takes long."""
_CLEAR_EVERY = 5.0
_LONGEST = 30.0
"""Seconds for which one thread looks, or replays, before another may begin it once more."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What one look into the outbox is good for. Times are monotonic seconds."""

    store: Any
    contact: int
    renew_at: float
    until: float
    is_alert: bool

    def confirm(self) -> None:
        """To be called when the reply is there. Raises ``StoreError`` if the connection was lost
        or too much time has passed since the look: then the reply may be older than a commit
        noted in the outbox."""
        if self.contact != self.store.contact or time.monotonic() >= self.until:
            raise StoreError("what came can not be believed: the connection was lost meanwhile")

    def confirm_late(self, state: ConnectionState) -> None:
        """The same for a reply that was waited for. An outbox that is empty now was so when the
        reply came, because entries are kept."""
        now = check_outbox(state)
        if now.contact != self.contact or now.is_alert:
            raise StoreError("what came can not be believed: somebody was cut off meanwhile")


class OutboxCheck:
    """What is known of the outbox of one database."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._lock = ExpiringLock(_LONGEST)
        self._takes_long_until = 0.0
        self._has_table = self._is_warned = False
        self._retry_at = self._clear_at = 0.0
        self._complain_at = -_MINUTE
        self.checked = Checked(store, -1, 0.0, 0.0, False)

    def renew(self, state: ConnectionState) -> Checked:
        """Look into the outbox, and replay what waits there. Raises ``StoreError``."""
        may_hold = _may_hold(state.connection)
        if may_hold:
            # Not under the lock: in a pool, who has the connection may be waiting for the lock.
            _connect(state.connection)
        claim = Claim()
        try:
            if not self._lock.take(claim):
                # Another thread looks already: what it has not refuted goes on until its time is
                # over.
                old = self.checked
                if not old.is_alert and self._is_current(old, old.until):
                    return old
                if not self._takes_in_time(claim):
                    raise StoreError("somebody is still looking into the outbox")
            return self._renew(state, may_hold=may_hold)
        except StoreError:
            raise
        except BaseException:
            # An interrupt says nothing of the outbox.
            self._retry_at = 0.0
            raise
        finally:
            if self._lock.holder is claim:
                self._takes_long_until = 0.0
            self._lock.give_back(claim)

    def _renew(self, state: ConnectionState, *, may_hold: bool) -> Checked:
        old, now = self.checked, time.monotonic()
        if self._is_current(old, old.renew_at):
            return old
        if now < self._retry_at:
            raise StoreError("the outbox could not be replayed a moment ago")
        self._retry_at = now + _RETRY
        if old.contact != self._store.contact:
            self._store.reach()
            now = time.monotonic()
        # Before the look: what is lost from now on, and the time it takes, count.
        contact, lasts = self._store.contact, outbox.INTERVAL
        if may_hold:
            is_alert = self._look(state) is not State.EMPTY
        else:
            outbox.recall(state.label)
            is_alert = False
        self._retry_at = 0.0
        renew_at = now if is_alert else now + lasts * _RENEW
        self.checked = Checked(self._store, contact, renew_at, now + lasts, is_alert)
        return self.checked

    def _takes_in_time(self, claim: Claim) -> bool:
        """Take the lock another look holds; false when that takes too long."""
        until = time.monotonic() + _PATIENCE
        while not self._lock.take(claim):
            now, holder = time.monotonic(), self._lock.holder
            if holder is None:
                continue
            # Not for oneself: a look may open a connection, and whoever is told of that may read.
            if now < self._takes_long_until or holder.thread == claim.thread:
                return False
            if now >= until:
                self._takes_long_until = now + _LONGEST
                return False
            over = holder.over
            # Not to be kept by those who wait for it.
            del holder
            over.wait(until - now)
        return True

    def _is_current(self, checked: Checked, until: float) -> bool:
        return checked.contact == self._store.contact and time.monotonic() < until

    def _look(self, state: ConnectionState) -> State:
        """What was found. An outbox that is not there is empty: writes were refused."""
        try:
            found = State.WAITING
            if state.sees_newest():
                if not self._finds_table(state.connection):
                    return State.EMPTY
                found = outbox.look(state.connection)
            is_due = found is not State.EMPTY and time.monotonic() >= self._clear_at
            if found is State.WAITING or is_due:
                with outbox.own_connection(state.connection) as other:
                    return self._replay(other) if self._finds_table(other) else State.EMPTY
            return found
        except StoreError:
            raise
        except Exception as error:
            interrupts.pass_on(error)
            self._complain(error)
            raise StoreError(f"the outbox could not be read: {error}") from error

    def _finds_table(self, connection: Any) -> bool:
        if not self._has_table:
            self._has_table = table.exists(connection)
            if not self._has_table and not self._is_warned:
                self._is_warned = True
                alias = connection.alias
                text = f"{table.missing_text(alias)} {table.missing_hint(alias)}"
                logger.warning("ormcache.outbox.missing: %s", text)
        return self._has_table

    def _complain(self, error: Exception) -> None:
        """Nothing is cached while this lasts, and nobody is told by an error."""
        now = time.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _MINUTE
            logger.error("ormcache.outbox.unreadable: reads go to the database: %s", error)

    def _replay(self, connection: Any) -> State:
        found = outbox.look(connection)
        if found is State.EMPTY:
            return found
        self._takes_long_until = time.monotonic() + _LONGEST
        replayed = outbox.replay(connection)
        if replayed:
            logger.warning("ormcache.outbox.replayed: %d entries", replayed)
        self._clear_at = time.monotonic() + _CLEAR_EVERY
        outbox.clear(connection)
        return found


def check_outbox(state: ConnectionState) -> Checked:
    """That the store may be believed about a connection's database, looked into the outbox for if
    need be. What the store says is to be confirmed with it.

    Raises ``StoreError`` when it may not: then the database answers.
    """
    cache = runtime.current()
    check: OutboxCheck = cache.outbox_checks.get(state.label) or _check_of(state)
    checked = check.checked
    if checked.contact != cache.store.contact or time.monotonic() >= checked.renew_at:
        return check.renew(state)
    return checked


def _check_of(state: ConnectionState) -> OutboxCheck:
    cache = runtime.current()
    check: OutboxCheck = cache.outbox_checks.setdefault(state.label, OutboxCheck(cache.store))
    return check


def check_outbox_now(state: ConnectionState) -> Checked:
    """``check_outbox`` after a look into the outbox that begins now."""
    check = _check_of(state)
    check.checked = replace(check.checked, renew_at=0.0, until=0.0)
    return check.renew(state)


def _connect(connection: Any) -> None:
    try:
        connection.ensure_connection()
    except Exception as error:
        interrupts.pass_on(error)
        raise StoreError(f"the outbox cannot be reached: {error}") from error


def _may_hold(connection: Any) -> bool:
    """Whether the outbox of a database can hold anything that this process did not see."""
    cache = runtime.current()
    return (
        cache.store.shared
        and cache.config.on_outage == OUTBOX
        and not outbox.is_private(connection)
    )
