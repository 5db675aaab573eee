"""What the protocol asks of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Command = Sequence[Any]


class Store(Protocol):
    """A key-value server with the protocol's atomic steps (see ``ormcache.store.scripts``)."""

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        """The cells under ``keys`` at one moment, and the server's epoch. One round trip."""

    def run(self, commands: Sequence[Command]) -> tuple[bytes, list[Any]]:
        """The results of the commands in order, and the server's epoch. One round trip."""
