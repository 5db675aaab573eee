"""Writers pass the gate together; a check that needs a still database closes it for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext


class Gate:
    """Shared by all processes. Counts the writes begun and ended."""

    def __init__(self, context: BaseContext, writers: int) -> None:
        self._writers = writers
        self._turn = context.Lock()
        self._places = context.Semaphore(writers)
        self._begun = context.Value("q", 0)
        self._ended = context.Value("q", 0)

    @property
    def begun(self) -> int:
        return int(self._begun.value)

    @property
    def ended(self) -> int:
        return int(self._ended.value)

    @contextmanager
    def write(self) -> Iterator[None]:
        """One write, of one transaction, beside those of the other writers."""
        with self._turn:
            self._places.acquire()
        with self._begun.get_lock():
            self._begun.value += 1
        try:
            yield
        finally:
            with self._ended.get_lock():
                self._ended.value += 1
            self._places.release()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nobody writes while this is held."""
        with self._turn:
            for _ in range(self._writers):
                self._places.acquire()
        try:
            yield
        finally:
            for _ in range(self._writers):
                self._places.release()
