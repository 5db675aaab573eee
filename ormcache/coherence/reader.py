"""Reading row cells and list entries, and filling them with proof.

A fill needs positive proof that what was read from the database is still the newest: a row needs
its lease, still there, and the generation captured before the SQL ran; a list needs the stamps
captured before its SQL ran. Absence is never proof. The lease of a list proves nothing: it only
elects the reader that runs the SQL (see ``coherence.flight``).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ormcache import cells
from ormcache.coherence.entry import Entry
from ormcache.coherence.store import Command, Store, unlinking

LEASE_MS = 3000
"""How long a reader may take from lease to fill. A killed reader blocks a cell no longer."""

GRACE_MS = 10_000
"""How long at most a list entry is kept beyond its expiry, to be served while one reader
refreshes it."""

LONGEST_MS = 30 * 86_400_000
"""How long a list entry or a stamp is there after a reader has last stored one."""

MOST_BYTES = 1 << 20
"""Of one value. A larger one would hold up everybody who shares the server, for little: what is
this long to send is no faster than the database."""

_JITTER = 0.1


def lifetime_ms(timeout: float | None) -> int:
    """``timeout`` seconds in milliseconds with up to 10 % taken off, so that what was filled
    together does not expire together; 0 stands for no expiry."""
    if timeout is None:
        return 0
    return max(1, int(timeout * 1000 * (1 - _JITTER * random.random())))


@dataclass(slots=True)
class Rows:
    """Row cells of one table wanted in one read, and after it what was found."""

    generation: bytes
    fingerprint: bytes
    keys: list[bytes]
    prefix: bytes | None = None
    """What a value starts with to be a hit; ``None`` while the generation is absent or marked."""
    found: Sequence[bytes | None] = ()
    """The cells as they are, hit or not, in the order of ``keys``."""
    epoch: bytes = b""
    stamp: bytes | None = None
    """The generation as it was found."""
    bases: Sequence[bytes] = ()
    """For cells of a view: what each rests on besides the generation, and writers mark. Empty for
    cells that writers mark themselves."""
    found_bases: Sequence[bytes | None] = ()

    @property
    def is_marked(self) -> bool:
        """Whether a writer is at work on all rows of the table, or has left its mark to expire."""
        return self.stamp is not None and self.prefix is None

    def payloads(self) -> list[bytes | None]:
        """The payload of every hit, ``None`` for every miss."""
        prefix = self.prefix
        if prefix is None:
            return [None] * len(self.keys)
        if self.bases:
            return self._payloads_in_view(prefix)
        start = cells.value_offset(prefix)
        return [
            cell[start:] if cell is not None and cell.startswith(prefix) else None
            for cell in self.found
        ]

    def _payloads_in_view(self, prefix: bytes) -> list[bytes | None]:
        payloads: list[bytes | None] = []
        for cell, base in zip(self.found, self.found_bases, strict=True):
            stamp = cells.join_stamps([base])
            whole = prefix + (stamp or b"")
            is_hit = stamp is not None and cell is not None and cell.startswith(whole)
            payloads.append(cell[cells.value_offset(whole) :] if is_hit and cell else None)
        return payloads


@dataclass(frozen=True, slots=True)
class Lease:
    """The only permission to fill one row cell. ``cell`` is empty for one of a view: as with a
    list entry, what comes late rests on stamps that are no more."""

    key: bytes
    cell: bytes
    nonce: bytes
    prefix: bytes
    taken_at: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What a reader that asked to run an entry's SQL was told."""

    prefix: bytes | None = None
    """As of ``capture``."""
    holder: bytes | None = None
    """Whose turn it is: the lease as it stands now."""
    granted: bool = False
    payload: bytes | None = None
    """What another reader has stored since the entry was read."""


class Reader:
    """The read side of the protocol."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_row(self, generation: bytes, fingerprint: bytes, key: bytes) -> Rows:
        """Read one row cell: one round trip."""
        epoch, (cell, stamp) = self._store.mget((key, generation))
        rows = Rows(generation, fingerprint, [key], None, (cell,), epoch, stamp)
        if stamp is not None and stamp[:1] == cells.STAMP:
            rows.prefix = cells.value_prefix(epoch, fingerprint, stamp)
        return rows

    def read_rows(self, groups: Sequence[Rows]) -> None:
        """Read all cells of all groups: one round trip."""
        wanted = [key for rows in groups for key in rows.keys]
        bases = len(wanted)
        wanted += [base for rows in groups for base in rows.bases]
        stamps_at = len(wanted)
        wanted += [rows.generation for rows in groups]
        epoch, found = self._store.mget(wanted)
        start = 0
        stamps = found[stamps_at:]
        for rows, stamp in zip(groups, stamps, strict=True):
            end = start + len(rows.keys)
            rows.found = found[start:end]
            rows.epoch, rows.stamp = epoch, stamp
            start = end
            if rows.bases:
                rows.found_bases = found[bases : bases + len(rows.bases)]
                bases += len(rows.bases)
            rows.prefix = None
            if stamp is not None and stamp[:1] == cells.STAMP:
                rows.prefix = cells.value_prefix(epoch, rows.fingerprint, stamp)

    def lease(
        self, groups: Sequence[Rows], misses: Sequence[Sequence[int]], stamp_ms: int
    ) -> list[dict[int, Lease]]:
        """Ask for a lease on every missing cell: one round trip, to be made before the SQL.

        ``misses`` holds the missing positions of each group. Returns the leases granted, by
        position; none for a cell that is marked or leased, nor under a marked generation.
        """
        commands: list[Command] = []
        asked: list[tuple[int, int, bytes, bytes]] = []
        for rows in groups:
            # Also where it is known: asking for it prolongs its life.
            fresh = cells.new_stamp()
            commands.append(("STAMP", rows.generation, fresh, stamp_ms))
        for number, rows in enumerate(groups):
            # Under a mark nothing can be filled, and a lease would keep everybody from it after.
            for position in () if rows.is_marked else misses[number]:
                if rows.bases:
                    commands.append(("STAMP", rows.bases[position], cells.new_stamp(), stamp_ms))
                    asked.append((number, position, b"", cells.new_nonce()))
                    continue
                observed = rows.found[position]
                if observed is not None and observed[:1] in (cells.MARK, cells.LEASE):
                    continue
                nonce = cells.new_nonce()
                lease = cells.pack_lease(rows.epoch, nonce)
                key = rows.keys[position]
                # A value nobody can use any more gives way only if it is still that value.
                seen = b"" if observed is None else observed[:_OBSERVED]
                commands.append(("LEASE", key, seen, lease, LEASE_MS))
                asked.append((number, position, lease, nonce))
        granted: list[dict[int, Lease]] = [{} for _ in groups]
        # A mark whose time is over gives way to a stamp.
        if not asked and not any(rows.is_marked for rows in groups):
            return granted
        epoch, replies = self._store.run(commands)
        for rows, stamp in zip(groups, replies, strict=False):
            known = epoch == rows.epoch and cells.join_stamps([stamp]) is not None
            if rows.prefix is None and known:
                rows.prefix = cells.value_prefix(epoch, rows.fingerprint, stamp)
        now = time.time()
        for (number, position, lease, nonce), reply in zip(
            asked, replies[len(groups) :], strict=True
        ):
            rows = groups[number]
            if rows.bases:
                stamps = cells.join_stamps([replies[number], reply])
                if stamps is not None and epoch == rows.epoch:
                    prefix = cells.value_prefix(epoch, rows.fingerprint, stamps)
                    granted[number][position] = Lease(rows.keys[position], b"", nonce, prefix, now)
            elif reply != 0 and rows.prefix is not None:
                granted[number][position] = Lease(
                    rows.keys[position], lease + reply, nonce, rows.prefix, now
                )
        return granted

    def fill(self, filled: Sequence[tuple[Lease, bytes]], timeout: float | None) -> int:
        """Write the payloads under their leases: one round trip. Returns how many were taken.

        A lease that is gone (a writer marked the cell, it expired) refuses its fill.
        """
        now = time.time()
        commands: list[Command] = []
        for lease, payload in filled:
            px = lifetime_ms(timeout)
            soft = now + px / 1000 if px else 0.0
            cell = cells.pack_value(lease.prefix, lease.nonce, soft, now - lease.taken_at, payload)
            if lease.cell:
                commands.append(("FILL", lease.key, lease.cell, cell, px))
            elif px:
                commands.append(("SET", lease.key, cell, "PX", px))
            else:
                commands.append(("SET", lease.key, cell))
        return sum(map(bool, self._store.run(commands)[1]))

    def read_entry(self, entry: Entry) -> bytes | None:
        """The payload of a list entry if it is a hit: one round trip."""
        entry.epoch, found = self._store.mget((entry.key, *entry.stamps))
        entry.found = found[1:]
        return entry.judge(found[0])

    def poll(self, entry: Entry, lease: bytes) -> tuple[bytes | None, bytes | None]:
        """As ``read_entry``, and the entry's lease as it stands: one round trip."""
        entry.epoch, found = self._store.mget((entry.key, lease, *entry.stamps))
        entry.found = found[2:]
        return entry.judge(found[0]), found[1]

    def capture(self, entry: Entry, stamp_ms: int) -> bytes | None:
        """The prefix under which the entry may be stored, to be made before its SQL runs.

        Creates absent stamps, which takes one round trip. ``None``: a writer is at work on
        something the list relies on, it may not be stored now.
        """
        absent = entry.absent()
        if absent is None:
            return None
        if absent:
            epoch, replies = self._store.run(entry.stamping(absent, stamp_ms))
            if epoch != entry.epoch:
                return None
            entry.note(absent, replies)
        return entry.prefix

    def elect(self, entry: Entry, lease: bytes, lease_ms: int, stamp_ms: int) -> Claim:
        """``capture``, and ask for the entry's lease: one round trip.

        The entry is looked at once more after that: whoever held the lease before has stored it.
        """
        absent = entry.absent()
        if absent is None:
            return Claim()
        token = cells.pack_lease(entry.epoch, cells.new_nonce())
        # The holder is compared, not the reply of SET: a client that sent it twice was granted it.
        # MGET, because GET refuses a key of another type.
        commands: list[Command] = [
            *entry.stamping(absent, stamp_ms),
            ("SET", lease, token, "NX", "PX", lease_ms),
            ("MGET", lease),
            ("MGET", entry.key),
        ]
        epoch, replies = self._store.run(commands)
        stamps, (_, (holder,), (cell,)) = replies[: len(absent)], replies[len(absent) :]
        granted = holder == token
        if epoch != entry.epoch:
            return Claim(None, holder, granted)
        entry.note(absent, stamps)
        prefix = entry.prefix
        if prefix is None or cell == entry.cell:
            return Claim(prefix, holder, granted)
        return Claim(prefix, holder, granted, entry.judge(cell))

    def store_entry(
        self,
        entry: Entry,
        prefix: bytes,
        payload: bytes,
        timeout: float | None,
        cost: float,
        stamp_ms: int,
        dependents: Sequence[bytes] = (),
        lease: bytes | None = None,
    ) -> None:
        """Store a list entry, give its lease back and note the entry in the sets
        ``dependents``: one round trip.

        No lease is needed: the stamps in the prefix were captured before the SQL ran, so an entry
        that comes late is a miss. A lease that has meanwhile passed to another reader goes, too:
        the SQL runs once more than it needs to.
        """
        now = time.time()
        px = lifetime_ms(timeout)
        soft = now + px / 1000 if px else 0.0
        cell = cells.pack_value(prefix, cells.new_nonce(), soft, cost, payload)
        key, keep = entry.key, kept_ms(px)
        commands: list[Command] = [("SET", key, cell, "PX", keep)]
        if lease is not None:
            commands.append(("UNLINK", lease))
        stamps = entry.outlived(stamp_ms)
        if random.random() < _PROLONG:
            stamps = [i for i, stamp in enumerate(entry.stamps) if stamp not in entry.rows]
        commands += entry.stamping(stamps, stamp_ms)
        expires = int(now * 1000) + keep
        commands += [
            ("HOLD", each, key, expires, int(now * 1000), MOST_DEPENDENTS, keep)
            for each in dependents
        ]
        self._store.run(commands)

    def drop(self, keys: Sequence[bytes]) -> None:
        """Unlink entries or leases of entries: one round trip."""
        if keys:
            self._store.run(unlinking(keys))

    def disclaim(self, lease: bytes, lease_ms: int) -> None:
        """Tell readers of an entry that nobody will store it: one round trip."""
        self._store.run([("SET", lease, cells.LEASE, "PX", lease_ms)])


MOST_DEPENDENTS = 256
"""Entries noted beside a row that they declare; more are forgotten, oldest expiry first."""

# How often a stored entry prolongs the life of its stamps: they live far longer than entries.
_PROLONG = 1 / 16
# Epoch, fingerprint, one stamp and nonce: enough to know a row's value again.
_OBSERVED = 1 + cells.EPOCH_SIZE + cells.FINGERPRINT_SIZE + cells.STAMP_SIZE + cells.NONCE_SIZE


def kept_ms(px: int) -> int:
    """How long an entry that expires in ``px`` milliseconds, 0 for never, is there at most."""
    return min(px + min(px, GRACE_MS), LONGEST_MS) if px else LONGEST_MS
