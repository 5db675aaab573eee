"""Reading row cells and list entries, and filling them with proof.

A fill needs positive proof that what was read from the database is still the newest: a row needs
its lease, still there, and the generation captured before the SQL ran; a list needs the stamps
captured before its SQL ran. Absence is never proof.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ormcache import cells
from ormcache.coherence.store import Command, Store

LEASE_MS = 3000
"""How long a reader may take from lease to fill. A killed reader blocks a cell no longer."""

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

    def payloads(self) -> list[bytes | None]:
        """The payload of every hit, ``None`` for every miss."""
        prefix = self.prefix
        if prefix is None:
            return [None] * len(self.keys)
        start = cells.value_offset(prefix)
        return [
            cell[start:] if cell is not None and cell.startswith(prefix) else None
            for cell in self.found
        ]


@dataclass(frozen=True, slots=True)
class Lease:
    """The only permission to fill one row cell."""

    key: bytes
    cell: bytes
    nonce: bytes
    prefix: bytes
    taken_at: float


@dataclass(slots=True)
class Entry:
    """One list entry wanted, and after the read what was found."""

    key: bytes
    fingerprint: bytes
    stamps: Sequence[bytes]
    """Keys of the stamps it relies on."""
    rows: frozenset[bytes] = frozenset()
    """Those of the stamps that are row cells: what counts of them is their nonce."""
    rosters: Mapping[bytes, bytes] = field(default_factory=dict)
    """By key of a table's lists stamp: the roster of partitions whose stamps are kept for it."""
    is_narrow: bool = False
    """Whether stamps of partitions stand among the stamps: they count only under that roster."""
    found: Sequence[bytes | None] = ()
    cell: bytes | None = None
    epoch: bytes = b""


class Reader:
    """The read side of the protocol."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_row(self, generation: bytes, fingerprint: bytes, key: bytes) -> Rows:
        """Read one row cell: one round trip."""
        epoch, (cell, stamp) = self._store.mget((key, generation))
        rows = Rows(generation, fingerprint, [key], None, (cell,), epoch)
        if stamp is not None and stamp[:1] == cells.STAMP:
            rows.prefix = cells.value_prefix(epoch, fingerprint, stamp)
        return rows

    def read_rows(self, groups: Sequence[Rows]) -> None:
        """Read all cells of all groups: one round trip."""
        wanted = [key for rows in groups for key in rows.keys]
        wanted += [rows.generation for rows in groups]
        epoch, found = self._store.mget(wanted)
        start = 0
        stamps = found[len(found) - len(groups) :]
        for rows, stamp in zip(groups, stamps, strict=True):
            end = start + len(rows.keys)
            rows.found = found[start:end]
            rows.epoch = epoch
            start = end
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
            for position in misses[number]:
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
        if not asked:
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
            if reply == 1 and rows.prefix is not None:
                granted[number][position] = Lease(
                    rows.keys[position], lease, nonce, rows.prefix, now
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
            commands.append(("FILL", lease.key, lease.cell, cell, px))
        return sum(self._store.run(commands)[1])

    def read_entry(self, entry: Entry) -> bytes | None:
        """The payload of a list entry if it is a hit: one round trip."""
        entry.epoch, found = self._store.mget((entry.key, *entry.stamps))
        entry.cell = cell = found[0]
        entry.found = found[1:]
        if cell is None or cell[:1] != cells.VALUE:
            return None
        stamps = _as_stamps(entry.found)
        if stamps is None:
            return None
        prefix = cells.value_prefix(entry.epoch, entry.fingerprint, stamps)
        return cell[cells.value_offset(prefix) :] if cell.startswith(prefix) else None

    def capture(self, entry: Entry, stamp_ms: int) -> bytes | None:
        """The prefix under which the entry may be stored, to be made before its SQL runs.

        Creates absent stamps, which takes one round trip. ``None``: a writer is at work on
        something the list relies on, it may not be stored now.
        """
        found = list(entry.found)
        absent = [
            i for i, key in enumerate(entry.stamps) if not _is_known(found[i], key in entry.rows)
        ]
        if any(entry.stamps[i] in entry.rows for i in absent):
            # Only a fill puts a value into a row cell.
            return None
        if absent:
            commands: list[Command] = [
                ("STAMP", key, cells.new_stamp(entry.rosters.get(key, _NO_ROSTER)), stamp_ms)
                for key in (entry.stamps[i] for i in absent)
            ]
            epoch, replies = self._store.run(commands)
            if epoch != entry.epoch:
                return None
            for i, reply in zip(absent, replies, strict=True):
                found[i] = reply
        stamps = _as_stamps(found)
        if stamps is None or not _has_rosters(entry, found):
            return None
        return cells.value_prefix(entry.epoch, entry.fingerprint, stamps)

    def store_entry(
        self,
        entry: Entry,
        prefix: bytes,
        payload: bytes,
        timeout: float | None,
        cost: float,
        stamp_ms: int,
        holders: Sequence[bytes] = (),
    ) -> None:
        """Store a list entry and note it beside every row in ``holders``: one round trip.

        No lease is needed: the stamps in the prefix were captured before the SQL ran, so an entry
        that comes late is a miss.
        """
        now = time.time()
        px = lifetime_ms(timeout)
        soft = now + px / 1000 if px else 0.0
        cell = cells.pack_value(prefix, cells.new_nonce(), soft, cost, payload)
        key = entry.key
        commands: list[Command] = [
            ("SET", key, cell, "PX", px) if px else ("SET", key, cell),
        ]
        if random.random() < _PROLONG:
            commands += [
                ("STAMP", stamp, cells.new_stamp(entry.rosters.get(stamp, _NO_ROSTER)), stamp_ms)
                for stamp in entry.stamps
                if stamp not in entry.rows
            ]
        keep = px or _HOLD_MS
        expires = int(now * 1000) + keep
        commands += [
            ("HOLD", holder, key, expires, int(now * 1000), MOST_HOLDERS, keep)
            for holder in holders
        ]
        self._store.run(commands)

    def drop(self, keys: Sequence[bytes]) -> None:
        """Unlink entries: one round trip."""
        if keys:
            self._store.run([("UNLINK", *keys)])


MOST_HOLDERS = 256
"""Reverse dependencies kept beside one row; more are forgotten, oldest expiry first."""

_HOLD_MS = 86_400_000
# How often a stored entry prolongs the life of its stamps: they live far longer than entries.
_PROLONG = 1 / 16
# Epoch, fingerprint, one stamp and nonce: enough to know a row's value again.
_OBSERVED = 1 + cells.EPOCH_SIZE + cells.FINGERPRINT_SIZE + cells.STAMP_SIZE + cells.NONCE_SIZE


_NO_ROSTER = bytes(cells.ROSTER_SIZE)


def is_foreign(entry: Entry) -> bool:
    """Whether a table's writers keep the stamps of another roster than the entry relies on."""
    found = zip(entry.stamps, entry.found, strict=True)
    return entry.is_narrow and any(
        key in entry.rosters and cells.roster_of(stamp) not in (None, entry.rosters[key])
        for key, stamp in found
    )


def _has_rosters(entry: Entry, found: Sequence[bytes | None]) -> bool:
    return not entry.is_narrow or all(
        cells.roster_of(stamp) == entry.rosters[key]
        for key, stamp in zip(entry.stamps, found, strict=True)
        if key in entry.rosters
    )


def _is_known(cell: bytes | None, is_row: bool) -> bool:
    """Whether a stamp, or a row cell that counts as one, is there; a mark counts as there."""
    if cell is None:
        return False
    return cell[:1] in ((cells.VALUE, cells.MARK) if is_row else (cells.STAMP, cells.MARK))


def _as_stamps(found: Sequence[bytes | None]) -> bytes | None:
    """Stamps joined; a row cell among them counts by its nonce, which every fill renews."""
    try:
        joined = b"".join(found)  # type: ignore[arg-type]  # None raises, which is the answer
    except TypeError:
        return None
    if len(joined) == len(found) * cells.STAMP_SIZE and all(
        cell[:1] == cells.STAMP  # type: ignore[index]
        for cell in found
    ):
        return joined
    stamps: list[bytes | None] = []
    for cell in found:
        value = cells.unpack_value(cell)
        stamps.append(cell if value is None else cells.stamp_of_value(value))
    return cells.join_stamps(stamps)
