"""What the protocol asks of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Command = Sequence[Any]

MOST_KEYS = 1000
"""Keys of one command: the server does nothing else meanwhile."""


class Store(Protocol):
    """A key-value server with the protocol's atomic steps (see ``ormcache.store.scripts``)."""

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        """The cells under ``keys`` at one moment, and the server's epoch. One round trip."""

    def run(self, commands: Sequence[Command]) -> tuple[bytes, list[Any]]:
        """The results of the commands in order, and the server's epoch. One round trip."""


def unlinking(keys: Sequence[bytes]) -> list[Command]:
    """What unlinks keys, however many they are."""
    return [
        ("UNLINK", *keys[start : start + MOST_KEYS]) for start in range(0, len(keys), MOST_KEYS)
    ]
