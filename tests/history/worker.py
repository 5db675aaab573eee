"""One process that reads and writes until it is killed or told to stop."""

from __future__ import annotations

import os
import random
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.db import connection, connections, transaction

from ormcache import runtime
from ormcache.stats import counters
from tests.history import breaks, reads, writes
from tests.history.board import Board
from tests.history.children import die_with_parent
from tests.history.journal import name_operation
from tests.history.names import HIT, MISS
from tests.history.outcomes import COMMITTED, ERROR, UNKNOWN, outcome_of
from tests.history.points import Plan, Points
from tests.history.records import Log, now

_TRIES = 30
"""Rounds after which a point is taken for one that this kind of operation does not reach."""
_OPERATIONS = 1 << 20
"""No process lives for as many operations."""
_COUNTED = ("release_mark_lost", "release_failed")


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do, and where its servers are."""

    directory: Path
    books: int
    shelves: int
    write_share: float
    batch: int
    linger: float
    snapshots: bool
    """Transactions read from a snapshot taken at their first statement."""
    breaks: str
    kinds: tuple[str, ...]
    """Of operations, all if there is none."""
    redis_urls: tuple[str, ...]
    """By slot; likewise the ports of the database."""
    database_ports: tuple[int, ...]
    store: dict[str, Any] = field(default_factory=dict)
    """Further settings of ORMCACHE."""


def use_store(job: Job, slot: int) -> None:
    """Let ormcache talk to the Redis of the run; before that, the tables were made without it."""
    settings.ORMCACHE = {**settings.ORMCACHE, **job.store, "URL": job.redis_urls[slot]}
    runtime.reset()


def main(job: Job, board: Board, slot: int, serial: int, plan: Plan, seed: str) -> NoReturn:
    """The whole life of a worker, in a process forked for it."""
    die_with_parent()
    log = Log(job.directory / f"worker-{serial}.log")
    try:
        Worker(job, board, slot, serial, plan, random.Random(seed), log).work()
    except BaseException:
        log.write("error", now(), "worker", traceback.format_exc())
    finally:
        log.flush()
        os._exit(0)


class Worker:
    def __init__(
        self,
        job: Job,
        board: Board,
        slot: int,
        serial: int,
        plan: Plan,
        rng: random.Random,
        log: Log,
    ) -> None:
        self._job, self._board, self._slot = job, board, slot
        self._rng, self._log = rng, log
        self._operation = serial * _OPERATIONS
        use_store(job, slot)
        connections.databases["default"]["PORT"] = str(job.database_ports[slot])
        self._points = Points(plan, log, rng, job.linger)
        breaks.apply(job.breaks)
        self._points.install()
        self._reads, self._writes = reads.weighted(job.kinds), writes.weighted(job.kinds)

    def work(self) -> None:
        if self._points.plan.kind:
            self._look_for_the_end()
            return
        while not self._board.stopped:
            if self._rng.random() < self._job.write_share:
                self._write(self._any(self._writes))
            else:
                self._read_some()
            self._log.flush()

    def _look_for_the_end(self) -> None:
        """Run the kind of operation that this process is to be killed in."""
        plan = self._points.plan
        for _ in range(_TRIES):
            if self._board.stopped:
                return
            if plan.kind in reads.READS:
                # What others read before is a hit; a write makes it a miss again.
                self._write(self._rng.choice(("move", "shelf write")))
                for _ in range(3):
                    self._read(plan.kind)
                self._log.flush()
            else:
                self._write(plan.kind)
        self._log.write("unreached", now(), plan.point, plan.kind)

    def _read_some(self) -> None:
        """A batch, now and then in one transaction."""
        if self._rng.random() < 0.9:
            for _ in range(self._job.batch):
                self._read(self._any(self._reads))
            return
        began = now() if self._job.snapshots else None
        try:
            with transaction.atomic():
                for _ in range(self._job.batch):
                    self._read(self._any(self._reads), began)
        except Exception as error:
            self._fail("read", error)

    def _read(self, kind: str, began: int | None = None) -> None:
        book, shelf = self._any_book(), self._any_shelf()
        self._points.begin(kind)
        hits = counters["row_hit"] + counters["list_hit"]
        misses = counters["row_miss"] + counters["list_miss"]
        start = began or now()
        try:
            asked, answer = reads.READS[kind](book, shelf)
        except Exception as error:
            if connection.in_atomic_block:
                raise
            self._fail("read", error)
            return
        end = now()
        is_hit = (
            counters["row_hit"] + counters["list_hit"] > hits
            and counters["row_miss"] + counters["list_miss"] == misses
        )
        how = HIT if is_hit else MISS
        self._log.hold("read", kind, start, end, how, asked, answer)
        self._board.count_read(self._slot)

    def _write(self, kind: str) -> None:
        self._operation += 1
        operation, points = self._operation, self._points
        others = sorted(self._rng.sample(range(1, self._job.books + 1), 3))
        target = writes.Target(
            operation, self._any_book(), tuple(others), self._any_shelf(), self._rng
        )
        points.begin(kind)
        points.operation, points.committed_at = operation, 0
        before = self._counted()
        self._log.write("begin", now(), operation, kind)
        outcome, committed_at = COMMITTED, 0
        try:
            name_operation(operation)
            writes.WRITES[kind](target)
            committed_at = points.committed_at
        except Exception as error:
            outcome = self._fail("write", error)
        counted = [after - old for after, old in zip(self._counted(), before, strict=True)]
        self._log.write("end", now(), operation, outcome, committed_at, counted)

    def _fail(self, during: str, error: Exception) -> str:
        outcome = outcome_of(error)
        if outcome == ERROR:
            text = "".join(traceback.format_exception(error))
            self._log.write("error", now(), during, text)
        elif outcome == UNKNOWN:
            self._log.write("lost", now(), during, repr(error))
        if outcome in (ERROR, UNKNOWN):
            # As Django does between two requests.
            connection.close()
        return outcome

    def _counted(self) -> list[int]:
        """What the operation counts of its invalidation: lost marks and failed releases."""
        return [counters[name] for name in _COUNTED]

    def _any(self, weighted: tuple[list[str], list[int]]) -> str:
        return self._rng.choices(*weighted)[0]

    def _any_book(self) -> int:
        # Half of all operations meet on four rows.
        most = min(4, self._job.books) if self._rng.random() < 0.5 else self._job.books
        return self._rng.randint(1, most)

    def _any_shelf(self) -> int:
        return self._rng.randint(1, self._job.shelves)
