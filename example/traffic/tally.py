"""What one process has counted; plain data, so that it can be sent and added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from traffic.check import Difference


@dataclass
class Visits:
    """Visits to one kind of page, either with the cache or without."""

    seconds: list[float] = field(default_factory=list)
    queries: int = 0
    without_sql: int = 0

    def add(self, seconds: float, queries: int) -> None:
        self.seconds.append(seconds)
        self.queries += queries
        self.without_sql += not queries

    def __add__(self, other: Visits) -> Visits:
        return Visits(
            self.seconds + other.seconds,
            self.queries + other.queries,
            self.without_sql + other.without_sql,
        )


def _by_page() -> defaultdict[str, Visits]:
    return defaultdict(Visits)


@dataclass
class Tally:
    """Everything the report is made of."""

    cached: defaultdict[str, Visits] = field(default_factory=_by_page)
    uncached: defaultdict[str, Visits] = field(default_factory=_by_page)
    writes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0
    still: int = 0
    differences: list[Difference] = field(default_factory=list)
    stats: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take in what another process has counted."""
        for mine, theirs in ((self.cached, other.cached), (self.uncached, other.uncached)):
            for kind, visits in theirs.items():
                mine[kind] += visits
        self.writes.update(other.writes)
        self.refused.update(other.refused)
        self.comparisons += other.comparisons
        self.still += other.still
        self.differences += other.differences
        self.stats.update(other.stats)
