"""Which of the windows told in the docs, if any, covers a stale read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.history.checker import STALE, Checker, Finding, Read
from tests.history.names import LOSE_MARKS
from tests.history.timeline import Operation, Row, Timeline

MARK_LOST = "mark lost"
"""A writer's mark was gone before its COMMIT, and the read came before the writer noticed."""
MARK_LOST_AND_KILLED = "mark lost and nobody left to notice"

_MARK = 5_000_000_000
"""Nanoseconds a mark lives."""
_EARLIER = 15_000_000_000
"""Nanoseconds for which a write is looked for that a figure does not show."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected. Times are in nanoseconds."""

    name: str
    start: int
    end: int


class Windows:
    """Knows what befell the writers."""

    def __init__(
        self,
        checker: Checker,
        operations: Mapping[int, Operation],
        faults: Sequence[Injected],
    ) -> None:
        self._checker = checker
        self._operations = operations
        self._losses = [fault for fault in faults if fault.name in LOSE_MARKS]

    def covering(self, read: Read, finding: Finding) -> str | None:
        """The name of the window, ``None`` if there is none: the promise is broken."""
        if finding.what != STALE:
            return None
        for operation in self._missed(read, finding):
            name = self._window(read, operation)
            if name is not None:
                return name
        return None

    def row_of(self, finding: Finding) -> Row | None:
        """The row that a finding is about; a figure is about none."""
        if finding.table == "figure":
            return None
        timeline = self._checker.books if finding.table == "book" else self._checker.shelves
        return timeline.rows.get(finding.pk)

    def _missed(self, read: Read, finding: Finding) -> Iterable[Operation]:
        """The writes that the read should have shown."""
        if finding.table == "figure":
            return self._missed_by_figure(read)
        timeline = self._checker.books if finding.table == "book" else self._checker.shelves
        return self._between(timeline, finding.pk, finding.state, finding.due)

    def _between(self, timeline: Timeline, pk: int, first: int, last: int) -> Iterable[Operation]:
        for version in timeline.rows[pk].versions[first:last]:
            if version.operation in self._operations:
                yield self._operations[version.operation]

    def _missed_by_figure(self, read: Read) -> Iterable[Operation]:
        """Those writes to the shelf without which the figure would be right."""
        # A row that the figure still counts may have left the shelf long before.
        since = max(read.start - _EARLIER, 0)
        for pk in self._checker.books.candidates(read.asked, since, read.end):
            row = self._checker.books.rows[pk]
            newest = row.window(read.start, read.end).start
            first = max(bisect_left(row.begins, since) - 1, 0)
            for operation in self._between(self._checker.books, pk, first, newest):
                earlier = Read(read.kind, operation.began, read.end, True, read.asked, read.answer)
                if not self._checker.check(earlier):
                    yield operation

    def _window(self, read: Read, operation: Operation) -> str | None:
        if operation.outboxed:
            return None
        # A mark that goes without a fault is a fault of the product's.
        is_lost = self._lost_within(operation)
        if not operation.outcome or operation.failed_releases:
            return MARK_LOST_AND_KILLED if is_lost else None
        is_lost = is_lost or operation.ended - operation.began > _MARK
        if is_lost and operation.lost_marks and read.start < operation.ended:
            return MARK_LOST
        return None

    def _lost_within(self, operation: Operation) -> bool:
        last = min(operation.ended, operation.began + _MARK)
        return any(fault.start <= last and fault.end >= operation.began for fault in self._losses)
