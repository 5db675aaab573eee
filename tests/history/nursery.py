"""The parent of the workers: whenever one dies, another takes its place.

It has Django set up and no connection open, so a worker costs a fork and no more.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from tests.history import worker
from tests.history.board import Board
from tests.history.children import die_with_parent
from tests.history.points import POINTS, READ_POINTS, WRITE_POINTS, Plan
from tests.history.reads import DATA, READS, ROWS
from tests.history.records import Log, now
from tests.history.worker import Job
from tests.history.writes import WRITES

_PATIENCE = 60.0
"""Seconds a worker may take to end when it is told to."""


@dataclass(frozen=True, slots=True)
class Mortality:
    """How the workers are killed: at every point of every kind of operation once, if
    ``exhaustive``, and then at random, each after about ``life`` operations (0: never)."""

    exhaustive: bool
    life: int


def start(job: Job, board: Board, mortality: Mortality, seed: int) -> int:
    """Fork the nursery, as the leader of a process group of its own. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    die_with_parent()
    try:
        _Nursery(job, board, mortality, seed).run()
    finally:
        os._exit(0)


def enumeration() -> list[Plan]:
    """Every point of every kind of operation that can reach it."""
    plans = [Plan(point, kind) for kind in READS for point in READ_POINTS]
    plans += [Plan(point, kind) for kind in WRITES for point in WRITE_POINTS]
    return [plan for plan in plans if _can_reach(plan.point, plan.kind)]


def _can_reach(point: str, kind: str) -> bool:
    step = point.partition(" ")[2]
    if step in ("read list", "capture", "store"):
        return kind not in ROWS
    if step in ("read row", "lease", "fill"):
        return kind not in DATA
    # Savepoints are rolled back by a statement.
    return step != "rollback" or kind == "rollback"


class _Nursery:
    def __init__(self, job: Job, board: Board, mortality: Mortality, seed: int) -> None:
        self._job, self._board, self._mortality, self._seed = job, board, mortality, seed
        self._rng = random.Random(seed)
        self._plans = self._make_plans()
        self._slots: dict[int, int] = {}
        # The first operations are those that put in the rows.
        self._serial = 1
        self._log = Log(job.directory / "nursery.log")

    def run(self) -> None:
        _warm_up()
        for number in range(self._board.slots):
            self._bear(number)
        while self._slots:
            pid, status = self._wait()
            slot = self._slots.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            self._log.write("died", now(), slot, pid, code)
            if code == -signal.SIGKILL:
                self._board.count_kill()
            if not self._board.stopped:
                self._bear(slot)
        self._log.write("left", now(), sum(1 for _ in self._remaining()))

    def _bear(self, slot: int) -> None:
        self._serial += 1
        plan, seed = next(self._plans), f"{self._seed}-{self._serial}"
        pid = os.fork()
        if not pid:
            worker.main(self._job, self._board, slot, self._serial, plan, seed)
        self._slots[pid] = slot
        self._board.seat(slot, pid)

    def _wait(self) -> tuple[int, int]:
        """Wait for the next death; past the end of the run not for long."""
        stopped_at = 0.0
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                return pid, status
            time.sleep(0.002)
            if not self._board.stopped:
                continue
            stopped_at = stopped_at or time.monotonic()
            if time.monotonic() - stopped_at > _PATIENCE:
                for late in self._slots:
                    self._log.write("error", now(), "worker", f"{late} did not end in time")
                    os.kill(late, signal.SIGKILL)
                return os.wait()

    def _make_plans(self) -> Iterator[Plan]:
        if self._mortality.exhaustive:
            plans = enumeration()
            self._rng.shuffle(plans)
            yield from plans
            self._log.write("enumerated", now())
        while True:
            if not self._mortality.life:
                yield Plan()
                continue
            after = round(self._rng.expovariate(1 / self._mortality.life))
            yield Plan(self._rng.choice(POINTS), "", after)

    def _remaining(self) -> Iterator[Plan]:
        """The plans of the enumeration that nobody got to."""
        if self._mortality.exhaustive:
            for plan in self._plans:
                if not plan.kind:
                    return
                yield plan


def _warm_up() -> None:
    """Work out once, for all workers, what depends on the code alone."""
    for read in READS.values():
        read(1, 1)
    connection.close()
    # What all workers share need not be copied by the garbage collector of each.
    gc.freeze()
