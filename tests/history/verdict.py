"""From the logs and the journal to what a run has shown."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.history.checker import Checker, Finding, Read
from tests.history.journal import BOOK, SEEDING, SHELF, Version
from tests.history.names import BREAK_DATABASE, HIT
from tests.history.outcomes import COMMITTED, NOT_COMMITTED
from tests.history.records import Record, read_all
from tests.history.timeline import Operation, Timeline
from tests.history.windows import Injected, Windows

_MOST_EXAMPLES = 20
_AFTERMATH = 5_000_000_000
"""Nanoseconds in which a worker may still meet a connection that a fault of the database broke."""


@dataclass(slots=True)
class Verdict:
    """The figures of a run. ``violations`` and ``errors`` are those that must be zero."""

    seconds: float = 0.0
    reads: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    """Lists that a write had invalidated, and that the rows written showed to be right."""
    writes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    outboxed: int = 0
    """Entries put into the outbox, those of transactions that were rolled back included."""
    kills: Counter[str] = field(default_factory=Counter)
    unreached: list[str] = field(default_factory=list)
    planned_left: int = 0
    enumerated_at: int = 0
    """When every combination had been tried, in nanoseconds; 0 if that was not asked for."""
    faults: Counter[str] = field(default_factory=Counter)
    recovery: dict[str, list[float]] = field(default_factory=dict)
    """Milliseconds from the end of each fault to the end of the first hit after it."""
    violations: Counter[str] = field(default_factory=Counter)
    """Reads that broke the promise, by what was wrong."""
    windows: Counter[str] = field(default_factory=Counter)
    """Stale reads covered by a window told in the docs, by its name."""
    regressions: int = 0
    """Reads older than what an earlier read had returned, though nobody had been told."""
    examples: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost_connections: int = 0
    wrong_outcomes: list[str] = field(default_factory=list)
    compared: int = 0
    different: list[Any] = field(default_factory=list)
    settled_hits: int = 0

    @property
    def holds(self) -> bool:
        """Whether the promise was kept, and nobody saw an error."""
        return not (
            self.violations
            or self.regressions
            or self.errors
            or self.wrong_outcomes
            or self.different
            or not self.compared
        )


def judge(directory: Path, versions: Sequence[Version], faults: Sequence[Injected]) -> Verdict:
    """Read all logs, and check every read."""
    verdict = Verdict(versions=len(versions))
    operations = {SEEDING: Operation(SEEDING, "seed", 0, 0, COMMITTED, 0)}
    times: list[tuple[int, int]] = []
    for record in read_all(directory):
        _note(record, operations, verdict, times, faults)
    _check_outcomes(versions, operations, verdict)
    times.sort()
    # Before that hardly a process lived long enough for a hit.
    usual = [fault for fault in faults if fault.start >= verdict.enumerated_at]
    verdict.recovery = _recoveries(usual, times)
    verdict.faults.update(fault.name for fault in faults)
    _check_reads(directory, versions, operations, faults, verdict)
    return verdict


def _note(
    record: Record,
    operations: dict[int, Operation],
    verdict: Verdict,
    times: list[tuple[int, int]],
    faults: Sequence[Injected],
) -> None:
    match record:
        case ["read", kind, start, end, how, *_]:
            verdict.reads[kind] += 1
            if how == HIT:
                verdict.hits[kind] += 1
                times.append((start, end))
        case ["begin", at, number, kind]:
            operations[number] = Operation(number, kind, at)
        case ["end", at, number, outcome, committed_at, [lost, failed]]:
            operation = operations[number]
            operation.ended, operation.outcome = at, outcome
            if outcome == COMMITTED:
                # What the outbox took note of is acknowledged when everybody must have noticed.
                operation.acknowledged = at if operation.outboxed else committed_at
            operation.lost_marks, operation.failed_releases = lost, failed
            verdict.writes[operation.kind] += 1
            verdict.outcomes[outcome] += 1
        case ["outboxed", _, number]:
            operations[number].outboxed = True
            verdict.outboxed += 1
        case ["killed", _, point, kind]:
            verdict.kills[point] += 1
        case ["unreached", _, point, kind]:
            verdict.unreached.append(f"{point} of {kind}")
        case ["enumerated", at]:
            verdict.enumerated_at = at
        case ["left", _, plans]:
            verdict.planned_left = plans
        case ["error", _, during, text]:
            verdict.errors.append(f"{during}: {text}")
        case ["lost", at, during, text]:
            verdict.lost_connections += 1
            if not _is_explained(at, faults):
                verdict.errors.append(f"{during}, without a fault of the database: {text}")
        case ["settled", _, compared, different, hits]:
            verdict.compared, verdict.different, verdict.settled_hits = compared, different, hits
        case ["died", _, _, _, status]:
            if status not in (0, -9):
                verdict.errors.append(f"a worker ended with {status}")


def _is_explained(at: int, faults: Sequence[Injected]) -> bool:
    return any(
        fault.name in BREAK_DATABASE and fault.start <= at <= fault.end + _AFTERMATH
        for fault in faults
    )


def _check_outcomes(
    versions: Sequence[Version], operations: dict[int, Operation], verdict: Verdict
) -> None:
    """What was taken back, or refused, must not have been committed."""
    for version in versions:
        operation = operations.get(version.operation)
        if operation is not None and operation.outcome in NOT_COMMITTED:
            verdict.wrong_outcomes.append(f"{operation} is in the journal: {version}")


def _recoveries(faults: Sequence[Injected], hits: list[tuple[int, int]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for fault in faults:
        first = bisect_left(hits, (fault.end, 0))
        # A hit that began later may have ended sooner.
        ends = [end for _, end in hits[first : first + 100]]
        if ends:
            found[fault.name].append((min(ends) - fault.end) / 1e6)
    return dict(found)


def _check_reads(
    directory: Path,
    versions: Sequence[Version],
    operations: dict[int, Operation],
    faults: Sequence[Injected],
    verdict: Verdict,
) -> None:
    first = last = 0
    for read in _reads(directory):
        first, last = min(first or read.start, read.start), max(last, read.end)
    verdict.seconds = (last - first) / 1e9
    strict = _checker(versions, operations, {}, first, last)
    windows = Windows(strict, operations, faults)
    seen: dict[tuple[int, int], int] = {}
    wrong: set[tuple[int, int]] = set()
    for read in _reads(directory):
        for state in strict.shown(read):
            seen[state] = min(seen.get(state, read.end), read.end)
        findings = strict.check(read)
        if findings:
            wrong.add((read.start, read.end))
            _count(read, findings, windows, verdict, operations)
    stricter = _checker(versions, operations, seen, first, last)
    windows = Windows(stricter, operations, faults)
    for read in _reads(directory):
        if (read.start, read.end) in wrong:
            continue
        findings = stricter.check(read)
        if findings:
            names = {windows.covering(read, finding) for finding in findings}
            if None in names:
                verdict.regressions += 1
                _example(f"older than seen: {read} {findings}", verdict)
            else:
                verdict.windows[f"{names.pop()} (older than seen)"] += 1


def _checker(
    versions: Sequence[Version],
    operations: dict[int, Operation],
    seen: dict[tuple[int, int], int],
    first: int,
    last: int,
) -> Checker:
    books = Timeline([each for each in versions if each.table == BOOK], operations, seen)
    books.index(first, last)
    return Checker(books, Timeline([each for each in versions if each.table == SHELF], operations))


def _count(
    read: Read,
    findings: list[Finding],
    windows: Windows,
    verdict: Verdict,
    operations: dict[int, Operation],
) -> None:
    """A read counts once, and as covered only if all that is wrong with it is."""
    names = [windows.covering(read, finding) for finding in findings]
    if None not in names:
        verdict.windows[str(names[0])] += 1
        return
    finding = findings[names.index(None)]
    verdict.violations[finding.what] += 1
    rows = windows.row_of(finding)
    newest = rows.versions[finding.due - 1] if rows and finding.due > 0 else None
    operation = operations.get(newest.operation) if newest else None
    _example(f"{read} {finding}; newest: {newest} {operation}", verdict)


def _example(text: str, verdict: Verdict) -> None:
    if len(verdict.examples) < _MOST_EXAMPLES:
        verdict.examples.append(text)


def _reads(directory: Path) -> Iterator[Read]:
    for record in read_all(directory):
        if record[0] == "read":
            yield Read(*record[1:])


def median_and_most(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), max(values)
