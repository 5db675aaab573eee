"""Single flight: of all readers that miss a list entry, in all processes, one runs its SQL.

Safety does not rest on it. What a waiter is given it reads from the store under the current
stamps, never from the flight itself, whose SQL may be older than a commit the waiter has to see.
So a lease that is lost or granted twice costs one more execution, and no wait outlasts its bound.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field

from ormcache import cells
from ormcache.coherence.entry import Entry
from ormcache.coherence.reader import LEASE_MS, Claim, Reader
from ormcache.exceptions import StoreError
from ormcache.stats import counters

CHEAP = 0.01
"""Seconds. SQL that took less the last time is run at once: a waiter would pause for longer."""

LONGEST_LEASE_MS = 10_000
"""A lease is twice as long as the SQL took the last time, within ``LEASE_MS`` and this."""

MOST_FLIGHTS = 2
"""Flights one reader waits for: the one it met, which may have begun before the commit it has to
see, and the next. After that writers are faster than the SQL, and waiting is in vain."""

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.01, 0.04, 1.5
# A commit takes milliseconds: its marks are worth a short wait, but none longer than the SQL.
_MARKED, _MARKED_UNKNOWN = 0.25, 0.05


@dataclass(slots=True)
class Flight:
    """One thread of this process on its way to fill an entry."""

    lease: bytes
    thread: int = field(default_factory=threading.get_ident)
    until: float = 0.0
    """When the others stop minding it, whatever became of it (monotonic)."""
    landed: threading.Event = field(default_factory=threading.Event)


# Tokens whose marks outlasted a wait: their writer was killed, or does not know the outcome.
_outlasting: tuple[bytes, ...] = ()
_MOST_OUTLASTING = 64

# By key of the lease.
_under_way: dict[bytes, Flight] = {}


@dataclass(slots=True)
class Turn:
    """What a reader does next: take ``payload``, or run the SQL and store it under ``prefix``.

    Without either it runs the SQL and stores nothing. A context manager around that: it gives back
    what the reader holds, and raises nothing of its own.
    """

    payload: bytes | None = None
    prefix: bytes | None = None
    lease: bytes | None = None
    """The lease it holds; to be set to ``None`` when that went with the storing of the entry."""
    reader: Reader | None = None
    flight: Flight | None = None

    def in_vain(self) -> None:
        """The result cannot be stored: let nobody wait for it."""
        lease, self.lease = self.lease, None
        if lease is not None and self.reader is not None:
            try:
                self.reader.disclaim(lease, LEASE_MS)
            except StoreError:
                counters["store_error"] += 1

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if self.lease is not None and self.reader is not None:
                self.reader.drop([self.lease])
        except StoreError:
            counters["store_error"] += 1
        finally:
            if self.flight is not None:
                _land(self.flight)


class Flights:
    """Says whose turn it is to run the SQL of an entry. All methods raise ``StoreError``."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def at_once(self, entry: Entry, stamp_ms: int) -> Turn:
        """Run the SQL whoever else does."""
        return Turn(prefix=self._reader.capture(entry, stamp_ms))

    def after_miss(self, entry: Entry, lease: bytes, stamp_ms: int) -> Turn:
        """Wait for another reader's result, or for one's own turn."""
        cost = _cost(entry)
        # A thread that is on a flight waits for no other: that one might be waiting for it.
        if (cost is not None and cost < CHEAP) or _is_flying():
            return self.at_once(entry, stamp_ms)
        missed, wait = entry.cell, _Wait(cost)
        own = Flight(lease)
        try:
            while (flight := _board(own, wait.lease_ms)) is not own:
                if _stays_marked(entry) or not wait.on(flight):
                    return Turn()
                payload = self._reader.read_entry(entry)
                if payload is not None and entry.cell != missed:
                    return Turn(payload)
            turn = self._election(entry, lease, stamp_ms, wait)
            turn.reader, turn.flight = self._reader, own
            return turn
        except BaseException:
            _land(own)
            raise

    def to_refresh(self, entry: Entry, lease: bytes, stamp_ms: int) -> Turn | None:
        """The turn to refresh an entry that was a hit; ``None`` while another reader does."""
        lease_ms = _lease_ms(_cost(entry))
        if _is_flying():
            return None
        own, turn = Flight(lease), None
        try:
            if _board(own, lease_ms) is own:
                claim = self._reader.elect(entry, lease, lease_ms, stamp_ms)
                if claim.granted:
                    turn = Turn(claim.payload, claim.prefix, lease, self._reader, own)
        finally:
            if turn is None:
                _land(own)
        return turn

    def _election(self, entry: Entry, lease: bytes, stamp_ms: int, wait: _Wait) -> Turn:
        """Ask for the lease until it is granted, the entry is there, or the time is over."""
        missed = entry.cell
        while True:
            holder = None
            if not entry.is_marked:
                claim = self._reader.elect(entry, lease, wait.lease_ms, stamp_ms)
                if (turn := self._judge(claim, entry, lease)) is not None:
                    return turn
                holder = claim.holder
            if (turn := self._watch(entry, lease, holder, missed, wait)) is not None:
                return turn

    def _judge(self, claim: Claim, entry: Entry, lease: bytes) -> Turn | None:
        """The turn that a claim gives; ``None``: it has to be waited for."""
        held = lease if claim.granted else None
        if claim.payload is not None:
            return Turn(payload=claim.payload, lease=held)
        if claim.prefix is not None and claim.granted:
            return Turn(prefix=claim.prefix, lease=held)
        if claim.granted:
            # Nothing can be stored now.
            self._reader.drop([lease])
        is_hopeless = claim.prefix is None and not entry.is_marked
        return Turn() if is_hopeless or claim.holder == cells.LEASE else None

    def _watch(
        self,
        entry: Entry,
        lease: bytes,
        holder: bytes | None,
        missed: bytes | None,
        wait: _Wait,
    ) -> Turn | None:
        """Wait for the holder's result. ``None`` when the lease has passed on without one."""
        while not _stays_marked(entry) and wait.pause(is_marked=entry.is_marked):
            payload, now = self._reader.poll(entry, lease)
            if payload is not None and entry.cell != missed:
                return Turn(payload)
            if not entry.is_marked and (now is None or now != holder):
                wait.flights += holder is not None
                return None
        if wait.is_marked_long:
            _note_outlasting(entry.tokens)
        if wait.is_over and not wait.flights:
            # No lease lasts that long: it has no expiry, or the key is of another type.
            self._reader.drop([lease])
        return Turn()


class _Wait:
    """How long one reader waits: bounded, in growing pauses with jitter."""

    def __init__(self, cost: float | None) -> None:
        self.lease_ms = _lease_ms(cost)
        # The lease of a dead process, and one execution after it.
        execution = min(max(cost or 0.0, 0.5), LONGEST_LEASE_MS / 2000)
        longest = self.lease_ms / 1000 + execution
        self._until = time.monotonic() + longest * random.uniform(1, 1.2)
        self._marked = _MARKED_UNKNOWN if cost is None else min(cost, _MARKED)
        self._marked_until: float | None = None
        self._pause = _FIRST_PAUSE
        self._is_counted = False
        self.flights = 0
        """How many have landed without a result for this reader."""

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def on(self, flight: Flight) -> bool:
        """Wait for another thread of this process; false when the time is over."""
        if not self._goes_on():
            return False
        flight.landed.wait(min(self._until, flight.until) - time.monotonic())
        self.flights += 1
        return True

    def pause(self, *, is_marked: bool) -> bool:
        """Sleep a little; false when the time is over."""
        if not is_marked:
            self._marked_until = None
        elif self._marked_until is None:
            self._marked_until = time.monotonic() + self._marked
        if not self._goes_on():
            return False
        time.sleep(self._pause * random.uniform(0.5, 1.5))
        self._pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)
        return True

    @property
    def is_marked_long(self) -> bool:
        return self._marked_until is not None and time.monotonic() >= self._marked_until

    def _goes_on(self) -> bool:
        if self.flights >= MOST_FLIGHTS or self.is_over or self.is_marked_long:
            counters["list_wait_timeout"] += 1
            return False
        if not self._is_counted:
            self._is_counted = True
            counters["list_wait"] += 1
        return True


def _cost(entry: Entry) -> float | None:
    """The seconds the SQL took the last time, as the cell last read says."""
    value = cells.unpack_value(entry.cell, len(entry.stamps))
    if value is None or value.fingerprint != entry.fingerprint or not value.cost >= 0:
        return None
    return value.cost


def _lease_ms(cost: float | None) -> int:
    return int(min(max(LEASE_MS, 2000 * (cost or 0.0)), LONGEST_LEASE_MS))


def _stays_marked(entry: Entry) -> bool:
    """Whether the entry relies on something whose marks are not worth a wait."""
    return any(token.startswith(cells.LEFT) or token in _outlasting for token in entry.tokens)


def _note_outlasting(tokens: list[bytes]) -> None:
    global _outlasting
    # Whoever does the same at once may undo this: that costs one more wait.
    known = _outlasting
    _outlasting = (*known, *(t for t in tokens if t not in known))[-_MOST_OUTLASTING:]


def _board(own: Flight, lease_ms: int) -> Flight:
    """The flight of another thread, or ``own`` if there is none."""
    now = time.monotonic()
    own.until = now + lease_ms / 1000
    # One step: no two threads see it free.
    flight = _under_way.setdefault(own.lease, own)
    if flight is not own and flight.until <= now:
        _under_way[own.lease] = flight = own
    return flight


def _land(flight: Flight) -> None:
    if _under_way.get(flight.lease) is flight:
        _under_way.pop(flight.lease, None)
    flight.landed.set()


def _is_flying() -> bool:
    thread, now = threading.get_ident(), time.monotonic()
    return any(
        flight.thread == thread and flight.until > now for flight in list(_under_way.values())
    )


def _after_fork() -> None:
    # The threads that fly are the parent's.
    _under_way.clear()


os.register_at_fork(after_in_child=_after_fork)
