"""Replays the same traffic on each system and compares what their caches made of it.

``python -m benchmarks.workload [--operations N] [--mix 95 80] [--seed N]`` needs PostgreSQL,
``redis-server`` and the optional dependencies ``benchmarks``. Every system runs in a process of
its own, with a database and a Redis server of its own, in turn with the others.
"""

from __future__ import annotations

import argparse

from benchmarks.workers import workers
from benchmarks.workload import report
from benchmarks.workload.systems import SYSTEMS
from benchmarks.workload.tally import Tally
from benchmarks.workload.worker import work

ROUND = 500
"""Operations each system does in its turn."""


def run(
    seed: int, operations: int, reads: int, at_once: bool
) -> tuple[dict[str, Tally], dict[str, list[float]]]:
    """The tallies of all systems, and the seconds of each of their rounds."""
    with workers("workload", SYSTEMS, work, (seed, operations, reads)) as lines:
        seconds: dict[str, list[float]] = {name: [] for name in lines}
        for start in range(0, operations, ROUND):
            number = min(ROUND, operations - start)
            for turn in [list(lines)] if at_once else [[name] for name in lines]:
                for name in turn:
                    lines[name].send(number)
                for name in turn:
                    seconds[name].append(lines[name].recv())
        tallies = {}
        for name, line in lines.items():
            line.send(0)
            tallies[name] = line.recv()
        return tallies, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=6_000)
    parser.add_argument("--mix", type=int, nargs="+", default=[95, 80], help="per cent of reads")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--at-once", action="store_true", help="all systems at once: quicker, but no times"
    )
    options = parser.parse_args()
    for reads in options.mix:
        writes = 100 - reads
        print(f"\n{options.operations:,} operations, {reads} % pages and {writes} % writes")
        tallies, seconds = run(options.seed, options.operations, reads, options.at_once)
        if options.at_once:
            seconds = {}
        print(*report.lines(tallies, seconds), sep="\n", flush=True)


if __name__ == "__main__":
    main()
