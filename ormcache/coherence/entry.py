"""A list entry: what its cell and its stamps say of it.

A hit is a cell that starts with the epoch, the shape of the tables and the stamps as they are now.
``coherence.reader`` exchanges all this with the store.
"""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ormcache import cells
from ormcache.coherence.store import Command
from ormcache.keys import is_of_value

# The earliest an entry can be refreshed, in times of its cost: exp(-20) of the reads come sooner.
_EARLIEST = 20
_EXPIRY = struct.Struct(">df")
_NO_SCHEME = bytes(cells.SCHEME_SIZE)


@dataclass(slots=True)
class Entry:
    """One list entry wanted, and after the read what was found."""

    key: bytes
    fingerprint: bytes
    stamps: Sequence[bytes]
    """Keys of the stamps it relies on."""
    rows: frozenset[bytes] = frozenset()
    """Those of the stamps that are row cells: what counts of them is their nonce."""
    schemes: Mapping[bytes, bytes] = field(default_factory=dict)
    """By key of a table's lists stamp: the scheme of partitions whose stamps are kept for it."""
    is_narrow: bool = False
    """Whether stamps of partitions stand among the stamps: they count only under that scheme."""
    found: Sequence[bytes | None] = ()
    """The stamps as they are."""
    cell: bytes | None = None
    epoch: bytes = b""
    kept_ms: int = 0
    """How long it will be there at most once it is stored. As long live the stamps of single
    values: anybody may ask for any value."""
    covered: frozenset[int] = frozenset()
    """The positions of the stamps that were made, or whose lives were prolonged, for this turn."""
    late: float | None = None
    """Of a hit that should be refreshed: the seconds since its expiry, negative before it."""

    def judge(self, cell: bytes | None) -> bytes | None:
        """The payload of the entry's cell under the stamps just found, if it is a hit."""
        self.cell, self.late = cell, None
        if cell is None or cell[:1] != cells.VALUE:
            return None
        stamps = _as_stamps(self.found)
        if stamps is None:
            return None
        prefix = cells.value_prefix(self.epoch, self.fingerprint, stamps)
        start = cells.value_offset(prefix)
        if len(cell) < start or not cell.startswith(prefix):
            return None
        soft, cost = _EXPIRY.unpack_from(cell, start - _EXPIRY.size)
        now = time.time()
        # XFetch: the dearer the fill and the nearer the expiry, the likelier.
        if (
            soft
            and now + cost * _EARLIEST >= soft
            and now - cost * math.log(1 - random.random()) >= soft
        ):
            self.late = now - soft
        return cell[start:]

    @property
    def is_marked(self) -> bool:
        """Whether a writer is about to commit something it relies on."""
        return any(map(cells.is_mark, self.found))

    @property
    def tokens(self) -> list[bytes]:
        """The tokens of those writers."""
        return [token for cell in self.found for token in cells.tokens_of(cell)]

    @property
    def is_foreign(self) -> bool:
        """Whether a table's writers keep the stamps of another scheme than it relies on."""
        return self.is_narrow and any(
            cells.scheme_of(stamp) not in (None, scheme) for stamp, scheme in self._schemes()
        )

    @property
    def payload(self) -> bytes:
        """What the cell holds, valid or not; empty when it is no value."""
        value = cells.unpack_value(self.cell, len(self.stamps))
        return b"" if value is None else value.payload

    @property
    def prefix(self) -> bytes | None:
        """What its value has to start with under the stamps found; ``None`` if one is no stamp."""
        stamps = _as_stamps(self.found)
        if stamps is None or (
            self.is_narrow
            and any(cells.scheme_of(stamp) != scheme for stamp, scheme in self._schemes())
        ):
            return None
        return cells.value_prefix(self.epoch, self.fingerprint, stamps)

    def absent(self) -> list[int] | None:
        """The positions of stamps that have to be made; ``None`` if they cannot: only a fill puts
        a value into a row cell."""
        absent = [
            i
            for i, key in enumerate(self.stamps)
            if not _is_known(self.found[i], key in self.rows)
        ]
        return None if any(self.stamps[i] in self.rows for i in absent) else absent

    def stamping(self, positions: Sequence[int], stamp_ms: int) -> list[Command]:
        """What makes the stamps at these positions, or prolongs their lives."""
        keys = [self.stamps[i] for i in positions]
        return [
            (
                "STAMP",
                key,
                cells.new_stamp(self.schemes.get(key, _NO_SCHEME)),
                self._life_ms(key, stamp_ms),
            )
            for key in keys
        ]

    def outlived(self, stamp_ms: int) -> list[int]:
        """The positions of the stamps found that may live shorter than what is to be stored."""
        return [
            i
            for i, key in enumerate(self.stamps)
            if i not in self.covered
            and key not in self.rows
            and (self.kept_ms > stamp_ms or is_of_value(key))
        ]

    def _life_ms(self, key: bytes, stamp_ms: int) -> int:
        if self.kept_ms and is_of_value(key):
            return self.kept_ms
        return max(stamp_ms, self.kept_ms)

    def note(self, positions: Sequence[int], stamps: Sequence[bytes]) -> None:
        """Take ``stamps`` for what was found at these positions."""
        found = list(self.found)
        for i, stamp in zip(positions, stamps, strict=True):
            found[i] = stamp
        self.found = found
        self.covered = self.covered.union(positions)

    def _schemes(self) -> list[tuple[bytes | None, bytes]]:
        """The lists stamps found, each with the scheme it should have."""
        found = zip(self.stamps, self.found, strict=True)
        return [(stamp, self.schemes[key]) for key, stamp in found if key in self.schemes]


def as_stamp(cell: bytes | None) -> bytes | None:
    """A stamp as it is; of a row cell what stands for it among stamps."""
    value = cells.unpack_value(cell)
    return cell if value is None else cells.stamp_of_value(value)


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
    return cells.join_stamps(list(map(as_stamp, found)))
