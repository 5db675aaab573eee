"""How many instructions a page costs while Redis is away, against the same page without a cache.

``python -m benchmarks.outage_count [--pages N]`` needs PostgreSQL, ``redis-server`` and valgrind.
Two processes that do the same take times that differ by some per cent; instructions are the same
each time. Only those of the process that answers the pages are counted, not those of the database.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.outage import Asker, gone
from benchmarks.servers import database, redis_server
from benchmarks.workload.data import Size
from benchmarks.workload.worker import start

SIDES = ("none", "ormcache")
# Of two numbers of rounds the difference tells: both begin alike.
FEW, MANY = 1, 5


def answer(side: str, pages: int, rounds: int) -> None:
    """Answer all pages so many times while Redis refuses connections."""
    with database(f"count_{side}") as settings_of_it, redis_server() as server:
        start(side, {"database": settings_of_it, "socket": server})

        from django.conf import settings

        from benchmarks.workload.load import load
        from benchmarks.workload.models import Category
        from benchmarks.workload.pages import PAGES
        from benchmarks.workload.plan import plan

        site, operations = plan(1, pages, 100, Size())
        load(site, Size())
        with gone("refuses") as path:
            if side == "ormcache":
                from ormcache import runtime

                settings.ORMCACHE = {**settings.ORMCACHE, "URL": f"unix://{path}?db=0"}
                runtime.reset()
                list(Category.objects.all())
                # Probes come by the clock, not by the page.
                runtime.current().store.breaker._retry_at = time.monotonic() + 3600
            asker = Asker()
            for _ in range(rounds):
                for operation in operations:
                    PAGES[operation.kind](asker, *operation.arguments)


def count(side: str, pages: int, rounds: int) -> int:
    """The instructions of a process that does ``answer``."""
    with tempfile.TemporaryDirectory() as directory:
        valgrind = f"valgrind --tool=callgrind --callgrind-out-file={Path(directory) / 'out'}"
        module = f"-m benchmarks.outage_count --side {side} --pages {pages} --rounds {rounds}"
        done = subprocess.run(
            [*valgrind.split(), os.path.realpath(sys.executable), *module.split()],
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"The process that was counted failed:\n{done.stderr[-2000:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=FEW, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        answer(options.side, options.pages, options.rounds)
        return
    plain, cached = (
        (count(side, options.pages, MANY) - count(side, options.pages, FEW))
        / (MANY - FEW)
        / options.pages
        for side in SIDES
    )
    print(f"instructions of a page: {plain:,.0f} without a cache, {cached:,.0f} with Redis away")
    print(f"{cached / plain:.3f} times as many")


if __name__ == "__main__":
    main()
