"""The log of one process: msgpack records in a file of its own, readable after a SIGKILL."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

Record = list[Any]
# Reads that are lost with their process are reads nobody checks, no more.
_HELD = 1 << 14


def now() -> int:
    """Nanoseconds of a clock that all processes of the machine share."""
    return time.monotonic_ns()


class Log:
    """Appends records. ``write`` reaches the file before it returns; ``hold`` may wait."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._held = bytearray()
        self._pack = msgpack.Packer(autoreset=True).pack

    def write(self, *record: Any) -> None:
        os.write(self._file, self._pack(record))

    def hold(self, *record: Any) -> None:
        self._held += self._pack(record)
        if len(self._held) > _HELD:
            self.flush()

    def flush(self) -> None:
        if self._held:
            os.write(self._file, self._held)
            self._held.clear()


def read_all(directory: Path) -> Iterator[Record]:
    """Every record of every process. A record that its process died in is left out."""
    for path in sorted(directory.glob("*.log")):
        with path.open("rb") as file:
            yield from msgpack.Unpacker(file, strict_map_key=False)
