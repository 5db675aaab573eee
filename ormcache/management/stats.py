"""What all processes of the site have counted, and the server. Each adds its counts to the site's
every few seconds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from ormcache import runtime, totals
from ormcache.management.output import Output
from ormcache.management.reclaim import Census, walk
from ormcache.management.server import look, warn_of
from ormcache.text import columns


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--keys", action="store_true", help="Count the keys by kind, too (walks over all of them)."
    )
    parser.add_argument(
        "--reset", action="store_true", help="Set the site's counters to zero after showing them."
    )


def handle(options: dict[str, Any], out: Output) -> None:
    server = look()
    warnings = warn_of(server, out)
    cache = runtime.current()
    counts = totals.read(reset=options["reset"])
    data = {
        "namespace": cache.config.namespace,
        "row_hit_rate": _rate(counts, "row"),
        "list_hit_rate": _rate(counts, "list"),
        "counters": counts,
        "server": server.data(),
        "warnings": warnings,
    }
    counted = [[name, count] for name, count in counts.items() if count]
    text = [
        f"Site         {cache.config.namespace}",
        *server.lines(),
        f"Row hits     {_percent(counts, 'row')}",
        f"List hits    {_percent(counts, 'list')}",
        f"SQL saved    {counts['sql_saved']:,} queries",
    ]
    if counted:
        text += ["", *columns([["counter", "count"], *counted])]
    if options["keys"]:
        kinds = _count_keys(out)
        data["keys"] = kinds
        text += ["", *columns([["keys", "count"], *([kind, n] for kind, n in kinds.items())])]
    out.result(data, text)


def _count_keys(out: Output) -> dict[str, int]:
    census = Census()
    progress = out.progress("keys counted")
    walk(runtime.current(), None, census, progress, unlink=False)
    progress.end()
    return {**census.kinds(), "mark_or_lease": census.kept}


def _rate(counts: dict[str, int], what: str) -> float | None:
    """Hits as a share of all reads; ``None`` without any."""
    reads = counts[f"{what}_hit"] + counts[f"{what}_miss"]
    return round(counts[f"{what}_hit"] / reads, 4) if reads else None


def _percent(counts: dict[str, int], what: str) -> str:
    rate = _rate(counts, what)
    if rate is None:
        return "no reads yet"
    return f"{rate:.1%} of {counts[f'{what}_hit'] + counts[f'{what}_miss']:,} reads"
