"""Runs one write against every read, in two processes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection
from django.test.utils import CaptureQueriesContext

import ormcache
from ormcache.stats import counters
from tests.integration.matrix.other import Answers, Other, answers
from tests.integration.matrix.reads import READS
from tests.integration.matrix.values import Read, evaluate
from tests.integration.matrix.world import Snapshot, World, build


class Stale(NamedTuple):
    """An answer that is not the database's; ``where`` is the process that gave it."""

    where: str
    read: str
    expected: Any
    got: Any


class Effect(NamedTuple):
    """How many reads a write was held against, how many of them it changed, and which were misses
    although it did not change them."""

    compared: int
    changed: int
    lost: list[str]


class Matrix:
    """One database, one Redis and two processes for all writes."""

    def __init__(self, other: Other) -> None:
        build()
        self.effects: dict[str, Effect] = {}
        self._other = other
        self._snapshot = Snapshot()
        self._before, self._tables = _fresh_answers(self._snapshot.tables)
        self._cold = list(READS)

    def run(self, name: str, write: Callable[[World], Any]) -> list[Stale]:
        """What is stale after ``write``.

        Reads whose SQL names no table the write touched are left out: ``rest`` compares them.
        """
        self._snapshot.restore()
        stale = list(_stale("there, before", self._there(self._cold, 1), self._before))
        with _statements() as statements:
            write(World())
        touched = set(self._snapshot.changed())
        writing = [each for each in statements if not each.startswith("SELECT")]
        touched |= {each for each in self._snapshot.tables if _names(writing, each)}
        self._cold = [read for read in READS if self._tables[read] & touched]
        self._other.ask(self._cold)
        try:
            with ormcache.bypass():
                expected = {read: evaluate(READS[read]) for read in self._cold}
        finally:
            there = self._other.take()
        here = answers({read: READS[read] for read in self._cold})
        self.effects[name] = self._effect(expected, there)
        stale += _stale("there", there, expected)
        stale += _stale("here", here, expected)
        return stale

    def rest(self) -> list[Stale]:
        """What is stale of all reads, when all rows are as they were."""
        self._snapshot.restore()
        there, here = self._there(list(READS)), answers(READS)
        return [*_stale("there", there, self._before), *_stale("here", here, self._before)]

    def restore(self) -> None:
        """Put the rows back, for a test of its own. What it touches is compared by ``rest``."""
        self._snapshot.restore()

    def close(self) -> None:
        self._snapshot.drop()

    def _there(self, reads: list[str], times: int = 2) -> Answers:
        self._other.ask(reads, times)
        return self._other.take()

    def _effect(self, expected: dict[str, Any], first: Answers) -> Effect:
        same = [read for read in expected if expected[read] == self._before[read]]
        lost = [read for read in same if not first[read][1] and read not in UNCACHED]
        return Effect(len(expected), len(expected) - len(same), lost)


UNCACHED: set[str] = set()
"""Reads that always ask the database; filled by the test that tells them."""


def reasons(read: Read) -> list[str]:
    """Why the database is asked each time, no reasons for a read the cache answers."""
    evaluate(read)
    log = _Log()
    logger = logging.getLogger("ormcache")
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    before = _answered()
    try:
        with _statements() as statements:
            evaluate(read)
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
    if log.texts:
        return sorted(log.texts)
    return ["passes the cache by"] if statements and before == _answered() else []


def _answered() -> int:
    return counters["row_hit"] + counters["list_hit"]


class _Log(logging.Handler):
    """Collects what the log says about reads that are not cached."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("ormcache.uncached: "):
            self.texts.add(record.__dict__["reason"])


def _fresh_answers(tables: list[str]) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """What the database answers to each read, and the tables its SQL names."""
    found, named = {}, {}
    with ormcache.bypass():
        for name, read in READS.items():
            with CaptureQueriesContext(connection) as captured:
                found[name] = evaluate(read)
            statements = [each["sql"] for each in captured.captured_queries]
            named[name] = {each for each in tables if _names(statements, each)}
    return found, named


def _names(statements: list[str], table: str) -> bool:
    name = re.compile(rf"\b{table}\b", re.IGNORECASE)
    return any(name.search(statement) for statement in statements)


@contextmanager
def _statements() -> Iterator[list[str]]:
    """The SQL that passes meanwhile."""
    found: list[str] = []

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        found.append(str(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield found


def _stale(where: str, found: Answers, expected: dict[str, Any]) -> Iterator[Stale]:
    for read, (got, _) in found.items():
        for each in got:
            if each != expected[read]:
                yield Stale(where, read, expected[read], each)
