"""A verdict as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.history.options import Options
from tests.history.reads import ROWS
from tests.history.verdict import Verdict, median_and_most

_MOST_SHOWN = 5


def as_data(options: Options, verdict: Verdict) -> dict[str, Any]:
    """The figures, ready for JSON."""
    reads, hits = verdict.reads, verdict.hits
    rows = {kind: (hits[kind], reads[kind]) for kind in reads if kind in ROWS}
    lists = {kind: (hits[kind], reads[kind]) for kind in reads if kind not in ROWS}
    return {
        "database": options.database,
        "isolation": options.isolation,
        "break": options.breaks,
        "seed": options.seed,
        "seconds": round(verdict.seconds, 1),
        "reads": sum(reads.values()),
        "reads by kind": dict(reads),
        "hit rate of rows": _rate(rows),
        "hit rate of lists": _rate(lists),
        "writes": sum(verdict.writes.values()),
        "writes by kind": dict(verdict.writes),
        "writes by outcome": dict(verdict.outcomes),
        "versions committed": verdict.versions,
        "put into the outbox": verdict.outboxed,
        "kills": sum(verdict.kills.values()),
        "kills by point": dict(verdict.kills),
        "kills planned and not reached": verdict.unreached,
        "kills planned and not tried": verdict.planned_left,
        "faults": dict(verdict.faults),
        "recovery in ms": {
            name: dict(zip(("median", "most"), median_and_most(times), strict=True))
            for name, times in verdict.recovery.items()
        },
        "violations": sum(verdict.violations.values()),
        "violations by what": dict(verdict.violations),
        "older than seen": verdict.regressions,
        "in documented windows": dict(verdict.windows),
        "errors seen by the application": len(verdict.errors),
        "connections lost to faults of the database": verdict.lost_connections,
        "wrong outcomes": len(verdict.wrong_outcomes),
        "compared at the end": verdict.compared,
        "different at the end": len(verdict.different),
        "hits at the end": verdict.settled_hits,
        "examples": verdict.examples,
        "errors": verdict.errors[:_MOST_SHOWN],
        "differences": verdict.different[:_MOST_SHOWN],
        "outcomes that are wrong": verdict.wrong_outcomes[:_MOST_SHOWN],
        "holds": verdict.holds,
    }


def as_json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2) + "\n"


def as_text(data: dict[str, Any]) -> str:
    """The same for people, widest figures first."""
    lines = [f"{data['database']}, {data['isolation']}, seed {data['seed']}"]
    if data["break"]:
        lines.append(f"broken on purpose: {data['break']}")
    per_second = data["reads"] / max(data["seconds"], 0.001)
    lines += [
        f"{data['reads']:,} reads checked in {data['seconds']} s ({per_second:,.0f}/s), "
        f"hit: rows {data['hit rate of rows']:.0%}, lists {data['hit rate of lists']:.0%}; "
        f"  {_counts(data['reads by kind'])}",
        f"{data['writes']:,} writes ended: {_counts(data['writes by outcome'])}; "
        f"put into the outbox: {data['put into the outbox']:,}",
        f"  {_counts(data['writes by kind'])}",
        f"{data['kills']:,} processes killed at {len(data['kills by point'])} points; "
        f"{len(data['kills planned and not reached'])} combinations not reached, "
        f"{data['kills planned and not tried']} not tried",
        f"  {_counts(data['kills by point'])}",
        f"{sum(data['faults'].values()):,} faults; ms to the first hit after it, median and most",
    ]
    for name, number in sorted(data["faults"].items()):
        found = data["recovery in ms"].get(name, {"median": float("nan"), "most": float("nan")})
        lines.append(f"  {name:24} {number:4}  {found['median']:8.1f} {found['most']:8.1f}")
    lines += [
        f"connections the database lost in its own faults: "
        f"{data['connections lost to faults of the database']}",
        f"at the end {data['compared at the end']:,} answers compared, "
        f"{data['different at the end']} different, {data['hits at the end']:,} hits",
        f"STALE READS: {data['violations']} ({_counts(data['violations by what'])}); "
        f"older than seen before: {data['older than seen']}; "
        f"in documented windows: {_counts(data['in documented windows'])}",
        f"ERRORS SEEN BY THE APPLICATION: {data['errors seen by the application']}; "
        f"wrong outcomes: {data['wrong outcomes']}",
        *data["examples"][:_MOST_SHOWN],
        *data["errors"],
        *map(str, data["differences"]),
        *data["outcomes that are wrong"],
        "the promise HOLDS" if data["holds"] else "the promise is BROKEN",
    ]
    return "\n".join(lines)


def _rate(counts: dict[str, tuple[int, int]]) -> float:
    hits = sum(hit for hit, _ in counts.values())
    return hits / max(sum(reads for _, reads in counts.values()), 1)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in Counter(counts).most_common()) or "none"
