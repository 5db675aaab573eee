"""The report: what the cache brought, what was written, and whether all pages were right."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from textwrap import wrap

from traffic.plan import WEIGHTS
from traffic.tally import Tally, Visits

SHOWN = 5
"""Differences printed; the rest are counted."""


def lines(tally: Tally, setting: str, neighbour: str, wall: float) -> Iterator[str]:
    """The lines to print. ``neighbour`` says who gave the second answers, ``wall`` is the duration
    of the traffic in seconds."""
    yield from ("", f"{setting}, {wall:.0f} s", "")
    yield from _pages(tally)
    yield ""
    yield from _cache(tally)
    yield ""
    yield from _writes(tally)
    yield from _verdict(tally, neighbour)


def _pages(tally: Tally) -> Iterator[str]:
    yield "               visits   median ms per page  speed-up   SQL queries per page   without"
    yield "page                    cache   no cache               cache   no cache       any SQL"
    for kind in WEIGHTS:
        cached, uncached = tally.cached[kind], tally.uncached[kind]
        if cached.seconds and uncached.seconds:
            yield _row(kind, cached, uncached)
    cached, uncached = sum(tally.cached.values(), Visits()), sum(tally.uncached.values(), Visits())
    if not (cached.seconds and uncached.seconds):
        return
    yield _row("all", cached, uncached)
    with_cache, without = (len(v.seconds) / sum(v.seconds) for v in (cached, uncached))
    yield f"pages/s of one process: {with_cache:,.0f} with the cache, {without:,.0f} without"
    saved = len(cached.seconds) * uncached.queries / len(uncached.seconds) - cached.queries
    yield f"SQL queries saved: about {saved:,.0f} in {len(cached.seconds):,} visits with the cache"


def _row(kind: str, cached: Visits, uncached: Visits) -> str:
    fast, slow = median(cached.seconds) * 1000, median(uncached.seconds) * 1000
    visits, others = len(cached.seconds), len(uncached.seconds)
    return (
        f"{kind:12} {visits + others:8,} {fast:7.2f} {slow:10.2f} {slow / fast:8.1f}x"
        f" {cached.queries / visits:11.1f} {uncached.queries / others:10.1f}"
        f" {cached.without_sql / visits:12.0%}"
    )


def _cache(tally: Tally) -> Iterator[str]:
    yield "hit rate of all reads, those of the checks right after a write included:"
    for kind in ("row", "list"):
        hits, misses = tally.stats[f"{kind}_hit"], tally.stats[f"{kind}_miss"]
        rate = hits / (hits + misses) if hits + misses else 0
        yield f"  {kind + 's':6} {rate:7.1%}  ({hits:,} hits, {misses:,} misses)"


def _writes(tally: Tally) -> Iterator[str]:
    kinds = ", ".join(f"{name} {count:,}" for name, count in tally.writes.most_common())
    yield from wrap(f"{sum(tally.writes.values()):,} writes: {kinds}", 88)
    if tally.refused:
        reasons = ", ".join(f"{name} {count:,}" for name, count in tally.refused.items())
        yield f"refused by the database, and checked all the same: {reasons}"


def why_slower(threads: bool) -> Iterator[str]:
    """Why the speed-up of so small a site may be below 1."""
    yield ""
    yield from wrap(_EMBEDDED if threads else _SMALL, 88)


_EMBEDDED = (
    "Slower with the cache? Its embedded store is a Redis written in Python, which takes turns "
    "with the site in this very process, beside a small database on the same machine. This run "
    "shows that the pages are right. For the speed, name a Redis server in REDIS_URL."
)
_SMALL = (
    "Slower with the cache? So small a site fits into the memory of a database on the same "
    "machine, which answers as fast as Redis does. A cache pays where the database is far away, "
    "large or busy: try EXAMPLE_DB=postgres, more --articles and more --processes."
)


def _verdict(tally: Tally, neighbour: str) -> Iterator[str]:
    yield (
        f"{tally.comparisons:,} times what the writer and {neighbour} got was compared with the"
        f" database,\n{tally.still:,} times of them with all writing stopped for a moment"
    )
    for difference in tally.differences[:SHOWN]:
        yield from ("", str(difference))
    found = len(tally.differences)
    verdict = "the site is wrong" if found else "every page equals the database"
    yield f"{found:,} differences: {verdict}"
