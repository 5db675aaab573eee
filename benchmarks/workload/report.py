"""The tables of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.workload.systems import SYSTEMS
from benchmarks.workload.tally import Tally

SHOWN = 12
"""Causes of invalidations shown for a system."""


def lines(tallies: dict[str, Tally], seconds: dict[str, list[float]]) -> Iterator[str]:
    """The lines to print: ``seconds`` holds the time of each round of each system, if it was
    measured."""
    names = list(tallies)
    yield f"{'':42}" + "".join(f"{SYSTEMS[name].title:>12}" for name in names)
    for title, row in _figures(tallies, seconds).items():
        yield f"{title:42}" + "".join(f"{row[name]:>12}" for name in names)
    for name, tally in tallies.items():
        if tally.invalidated:
            yield from _causes(SYSTEMS[name].title, tally)
        stale = _stale(tally, tallies["none"])
        if stale:
            yield "stale: " + ", ".join(f"{kind} {n:,}" for kind, n in stale.most_common())


def _figures(
    tallies: dict[str, Tally], seconds: dict[str, list[float]]
) -> dict[str, dict[str, str]]:
    truth = tallies["none"]
    table: dict[str, dict[str, str]] = {}
    for name, tally in tallies.items():
        needless = sum(tally.needless().values())
        invalidated = tally.invalidated.total()
        figures = {
            "list reads": f"{_reads(tally, 'list'):,}",
            "  hit rate": _rate(tally, "list"),
            "row reads": f"{_reads(tally, 'row'):,}",
            "  hit rate ": _rate(tally, "row"),
            "reads answered without SQL": _share(
                tally.reads["all", "", "no SQL"], len(tally.answers)
            ),
            "rows of lists and reads, hit rate": _share(
                tally.counters["row_hit"], tally.counters["row_hit"] + tally.counters["row_miss"]
            ),
            "lists read again after an invalidation": f"{invalidated:,}",
            "  same rows in the same order": f"{tally.same_pointers.total():,}",
            "    share of them": _share(tally.same_pointers.total(), invalidated),
            "  all data the same": f"{tally.same_data.total():,}",
            "    share of them ": _share(tally.same_data.total(), invalidated),
            "lists invalidated, read again or not": f"{tally.lost.total():,}",
            "  by columns no such list depends on": f"{needless:,}",
            "lists that could not be stored": f"{0 if name == 'none' else tally.uncached:,}",
            "calls Redis did not answer": f"{tally.counters['store_error']:,}",
            "misses or hits without explanation": f"{tally.unexplained:,}",
            "SQL statements a list or row read": _mean(
                tally.statements["read"], len(tally.answers)
            ),
            "SQL statements a write": _mean(tally.statements["write"], tally.writes.total()),
            "stale answers": f"{_stale(tally, truth).total():,}",
        }
        if seconds:
            figures["time, no cache = 1"] = f"{_time(seconds[name], seconds['none']):.2f}"
        for title, figure in figures.items():
            table.setdefault(title, {})[name] = figure
    return table


def _causes(title: str, tally: Tally) -> Iterator[str]:
    yield ""
    yield f"{title}: lists read again, by what had invalidated them"
    yield f"{'write':16}{'list':26}{'lists':>8}{'same rows':>11}{'same data':>11}"
    for cause, count in tally.invalidated.most_common(SHOWN):
        pointers, data = tally.same_pointers[cause], tally.same_data[cause]
        yield f"{cause[0]:16}{cause[1]:26}{count:8,}{pointers:11,}{data:11,}"
    for part, name in ((0, "write"), (1, "list")):
        yield f"all, by {name}: " + ", ".join(_by(tally, part))


def _by(tally: Tally, part: int) -> Iterator[str]:
    all_of: Counter[Any] = Counter()
    same: Counter[Any] = Counter()
    for cause, count in tally.invalidated.items():
        all_of[cause[part]] += count
        same[cause[part]] += tally.same_pointers[cause]
    for kind, count in all_of.most_common():
        yield f"{kind} {same[kind]:,}/{count:,}"


def _reads(tally: Tally, sort: str) -> int:
    return sum(count for key, count in tally.reads.items() if key[0] == sort)


def _rate(tally: Tally, sort: str, how: str = "hit") -> str:
    hits = sum(count for key, count in tally.reads.items() if key[0] == sort and key[2] == how)
    return _share(hits, _reads(tally, sort))


def _stale(tally: Tally, truth: Tally) -> Counter[str]:
    """Answers that differ from the true ones, by kind."""
    both = zip(tally.answers, truth.answers, strict=True)
    return Counter(ours[0] for ours, true in both if ours != true)


def _time(ours: list[float], plain: list[float]) -> float:
    return median(a / b for a, b in zip(ours, plain, strict=True))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _mean(total: int, count: int) -> str:
    return f"{total / count:.2f}" if count else "-"
