"""What a page costs while Redis is away, against the same page without a cache.

``python -m benchmarks.outage [--crews N] [--rounds N] [--pages N]`` needs PostgreSQL and
``redis-server``. The pages are those of ``benchmarks.workload``. Redis either refuses connections
or takes them and never answers. In each round every side answers the same pages, in turn with the
others. Two processes of one side differ by more than what is measured, so several crews of
processes are started one after the other.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.workers import workers
from benchmarks.workload.data import Size
from benchmarks.workload.worker import start

SIDES = {
    "none": "no cache",
    "refuses": "Redis refuses connections",
    "silent": "Redis does not answer",
    "alive": "Redis answers",
}


class Asker:
    """Answers the reads of pages and throws the answers away."""

    def row(self, kind: str, model: Any, pk: int) -> Any:
        return model.objects.filter(pk=pk).first()

    def rows(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> list[Any]:
        return list(queryset)

    def count(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> int:
        return int(queryset.count())


@contextmanager
def gone(side: str) -> Iterator[str]:
    """A socket at which nobody answers, or no socket."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(directory) / "redis.sock")
        if side == "silent":
            listener.bind(path)
            listener.listen(1000)
        yield path


def work(side: str, place: dict[str, Any], line: Connection, pages: int) -> None:
    """Set up Django, fill the database, take Redis away; then answer all pages for each message
    and say how long it took, and how long the longest of them."""
    start("none" if side == "none" else "ormcache", place)

    from django.conf import settings

    from benchmarks.workload.load import load
    from benchmarks.workload.pages import PAGES
    from benchmarks.workload.plan import plan
    from ormcache.store import connect

    site, operations = plan(1, pages, 100, Size())
    load(site, Size())
    with gone(side) as path:
        if side in ("refuses", "silent"):
            from ormcache import runtime

            # The benchmark of traffic is patient; what is measured here is a product that is not.
            connect.TIMEOUT = 0.25
            settings.ORMCACHE = {**settings.ORMCACHE, "URL": f"unix://{path}?db=0"}
            runtime.reset()
        asker = Asker()
        while line.recv():
            taken = []
            for operation in operations:
                before = time.perf_counter()
                PAGES[operation.kind](asker, *operation.arguments)
                taken.append(time.perf_counter() - before)
            line.send(taken)


def crew(pages: int, rounds: int) -> list[dict[str, list[float]]]:
    """The seconds of each page, by side, of each round of one crew."""
    with workers("outage", SIDES, work, pages) as lines:
        found = []
        # The first round opens the breaker and fills what can be filled.
        for _ in range(rounds + 1):
            taken = {}
            for side, line in lines.items():
                line.send(True)
                taken[side] = line.recv()
            found.append(taken)
    return found[1:]


def against_none(
    crews: list[list[dict[str, list[float]]]], side: str, measure: Callable[[list[float]], float]
) -> str:
    """The median of the crews, of which each stands for the median of its rounds; and their
    least and their largest."""
    ratios = [
        median(measure(each[side]) / measure(each["none"]) for each in rounds) for rounds in crews
    ]
    return f"{median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crews", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--pages", type=int, default=400)
    options = parser.parse_args()
    crews = [crew(options.pages, options.rounds) for _ in range(options.crews)]
    print(f"{options.pages} pages, {options.rounds} rounds, {options.crews} crews; no cache = 1")
    print(f"{'':28}{'all pages':>24}{'median page':>24}{'longest ms':>12}{'pages > 100 ms':>16}")
    for side, title in SIDES.items():
        total = against_none(crews, side, sum)
        page = against_none(crews, side, median)
        pages = [seconds for rounds in crews for each in rounds for seconds in each[side]]
        slow = sum(seconds > 0.1 for seconds in pages)
        print(f"{title:28}{total:>24}{page:>24}{max(pages) * 1000:12.0f}{slow:16}")


if __name__ == "__main__":
    main()
