"""A few numbers in memory that all processes of a run share."""

from __future__ import annotations

import mmap

_STOP, _KILLS, _SLOTS = 0, 1, 2


class Board:
    """Made before the first fork. Each slot has its worker's pid and the reads done in it."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._cells = memoryview(mmap.mmap(-1, 8 * (_SLOTS + 2 * slots))).cast("q")

    @property
    def stopped(self) -> bool:
        """Whether every process is to come to its end."""
        return bool(self._cells[_STOP])

    def stop(self) -> None:
        self._cells[_STOP] = 1

    def seat(self, slot: int, pid: int) -> None:
        self._cells[_SLOTS + 2 * slot] = pid

    def pids(self) -> list[int]:
        return [pid for slot in range(self.slots) if (pid := self._cells[_SLOTS + 2 * slot])]

    def count_read(self, slot: int) -> None:
        self._cells[_SLOTS + 2 * slot + 1] += 1

    def count_kill(self) -> None:
        self._cells[_KILLS] += 1

    @property
    def reads(self) -> int:
        return sum(self._cells[_SLOTS + 2 * slot + 1] for slot in range(self.slots))

    @property
    def kills(self) -> int:
        return self._cells[_KILLS]
