"""What a row may have been at a time, by the database's own journal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.history.journal import Version
from tests.history.names import GOOD

NEVER = 1 << 63
_BUCKET = 1 << 28
"""Nanoseconds, about a quarter of a second, for which candidates are looked up together."""


@dataclass(slots=True)
class Operation:
    """What is known of one write. Times are in nanoseconds; ``acknowledged`` is when the database
    answered its COMMIT or, if the outbox took note of it, when the call returned that made it;
    ``NEVER`` if nobody was told."""

    number: int
    kind: str = "?"
    began: int = 0
    ended: int = NEVER
    outcome: str = ""
    acknowledged: int = NEVER
    lost_marks: int = 0
    failed_releases: int = 0
    outboxed: bool = False


@dataclass(slots=True)
class Row:
    """The states of one row in the order of their commits. State 0 is that before the first."""

    versions: list[Version]
    begins: list[int] = field(default_factory=list)
    """By state: the earliest time it can have been seen; ascending."""
    ends: list[int] = field(default_factory=list)
    """By state: from when on it is too old; ascending."""
    by_version: dict[int, int] = field(default_factory=dict)
    """The state of a version; where it was deleted it has none."""

    def window(self, start: int, end: int) -> range:
        """The states that a read from ``start`` to ``end`` may answer with."""
        return range(bisect_left(self.ends, start), bisect_right(self.begins, end))

    def shelf(self, state: int) -> int | None:
        """Where the row stood; ``None`` where it was not there."""
        return self.versions[state - 1].shelf if state else None

    def is_there(self, state: int) -> bool:
        return self.shelf(state) is not None

    def is_gone(self, state: int) -> bool:
        return self.shelf(state) is None

    def stars(self, state: int) -> int:
        return self.versions[state - 1].stars

    def is_good(self, state: int) -> bool:
        """Whether it is shown, and has the stars for it."""
        return state > 0 and self.versions[state - 1].shown and self.stars(state) >= GOOD

    def version(self, state: int) -> int:
        return self.versions[state - 1].version if state else 0


class Timeline:
    """The rows of one table. ``seen`` holds, by row and state, when a read had returned it."""

    def __init__(
        self,
        versions: Iterable[Version],
        operations: Mapping[int, Operation],
        seen: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        self.rows: dict[int, Row] = {}
        for version in versions:
            self.rows.setdefault(version.pk, Row([])).versions.append(version)
        for pk, row in self.rows.items():
            _date(pk, row, operations, seen or {})
        self._candidates: dict[tuple[int, int], set[int]] = defaultdict(set)

    def index(self, start: int, end: int) -> None:
        """Prepare ``candidates`` for the time from ``start`` to ``end``."""
        last = end // _BUCKET
        for pk, row in self.rows.items():
            for state in range(1, len(row.versions) + 1):
                shelf = row.shelf(state)
                if shelf is None:
                    continue
                first = max(row.begins[state], start) // _BUCKET
                for bucket in range(first, min(row.ends[state] // _BUCKET, last) + 1):
                    self._candidates[shelf, bucket].add(pk)

    def candidates(self, shelf: int, start: int, end: int) -> set[int]:
        """The rows that may have stood on the shelf at some moment."""
        found: set[int] = set()
        for bucket in range(start // _BUCKET, end // _BUCKET + 1):
            found |= self._candidates.get((shelf, bucket), set())
        return found


def _date(
    pk: int,
    row: Row,
    operations: Mapping[int, Operation],
    seen: Mapping[tuple[int, int], int],
) -> None:
    unknown = Operation(0)
    begins, known = [0], [0]
    for state, version in enumerate(row.versions, 1):
        operation = operations.get(version.operation, unknown)
        # What came before a state was committed before it could begin to be seen.
        begins.append(max(begins[-1], operation.began))
        first_seen = seen.get((pk, state), NEVER)
        if operation.outboxed:
            # Between its COMMIT and its acknowledgement some see it and some do not.
            first_seen = NEVER
        known.append(min(operation.acknowledged, first_seen))
        if version.shelf is not None:
            row.by_version[version.version] = state
    # A state is too old once any later one is known to be there.
    ends = [NEVER] * len(begins)
    for state in range(len(begins) - 2, -1, -1):
        ends[state] = min(ends[state + 1], known[state + 1])
    row.begins, row.ends = begins, ends
