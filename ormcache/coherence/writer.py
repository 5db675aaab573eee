"""Marking cells before a commit and releasing them after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ormcache import cells
from ormcache.coherence.store import Command, Store, unlinking

_NO_SCHEMES: Mapping[bytes, bytes] = MappingProxyType({})

MARK_MS = 5000
"""How long a mark lives if its writer dies: as long is a cell uncached at most."""


class Released(NamedTuple):
    """What one round of releasing found."""

    lost: int
    """Marks that were gone."""
    foreign: list[bytes]
    """Lists stamps that had meanwhile been made anew under another scheme: entries may rely on
    stamps that were not marked. They have to go (see ``drop``)."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What one round of marking found."""

    epoch: bytes
    old: list[bytes | None]
    """The value each cell held, in the order asked; ``None`` for none."""
    looked_up: list[bytes | None]


class Writer:
    """The write side of the protocol. ``token`` names the transaction in all its cells."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def mark(
        self,
        token: bytes,
        keys: Sequence[bytes],
        *,
        look_up: Sequence[bytes] = (),
        ttl_ms: int = MARK_MS,
    ) -> Marked:
        """Mark cells; also read the cells ``look_up``.

        One round trip. While the caller holds the row's lock in the database, the value a row
        cell held is exactly the committed row that is about to be replaced.
        """
        commands: list[Command] = [("MARK", key, token, ttl_ms) for key in keys]
        commands += [("GET", key) for key in look_up]
        epoch, replies = self._store.run(commands)
        return Marked(epoch, replies[: len(keys)], replies[len(keys) :])

    def release(
        self,
        token: bytes,
        keys: Sequence[bytes],
        schemes: Mapping[bytes, bytes] = _NO_SCHEMES,
    ) -> Released:
        """Take the marks off again: one round trip.

        To be called after the commit or a known rollback, never when the outcome is unknown.
        ``schemes``: by key of a lists stamp the scheme whose stamps were marked.
        """
        commands: list[Command] = [("RELEASE", key, token) for key in keys]
        if schemes:
            commands.append(("MGET", *schemes))
        _, replies = self._store.run(commands)
        found = zip(schemes.items(), replies[-1] if schemes else (), strict=True)
        foreign = [
            key for (key, scheme), stamp in found if cells.scheme_of(stamp) not in (None, scheme)
        ]
        return Released(sum(1 for reply in replies[: len(keys)] if reply == 0), foreign)

    def drop(self, keys: Sequence[bytes]) -> None:
        """Unlink stamps, which every entry that relies on them misses: one round trip."""
        self._store.run(unlinking(keys))


def new_token() -> bytes:
    """A token for one transaction."""
    return cells.new_token()
