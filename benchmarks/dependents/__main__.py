"""The time of a write against the number of cached lists that depend on it, or do not.

``python -m benchmarks.dependents [--counts 1000 100000] [--rounds N]`` needs what
``benchmarks.workload`` needs. Every write finds the same lists in the cache: they are restored
before each. In each round every system does every write once, in turn.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing.connection import Connection
from statistics import median

from benchmarks.dependents.worker import Case, Sample, work
from benchmarks.workers import workers
from benchmarks.workload.systems import SYSTEMS

VERBS = {"save": "save(update_fields)", "update": "update()"}
Samples = dict[tuple[int, str, str], list[Sample]]


def measure(lines: dict[str, Connection], cases: list[Case], rounds: int) -> Samples:
    """The samples of each round by number of the case, system and verb."""
    numbers = range(1, len(cases) + 1)
    for line in lines.values():
        for number, case in zip(numbers, cases, strict=True):
            line.send(("fill", number, case))
    for line in lines.values():
        for _ in cases:
            line.recv()
    samples: Samples = defaultdict(list)
    for round_number in range(rounds + 1):
        for number in numbers:
            for verb in VERBS:
                for name, line in lines.items():
                    line.send((verb, number))
                    sample = line.recv()
                    # The first write of all loads scripts and plans.
                    if round_number:
                        samples[number, name, verb].append(sample)
    return samples


def table(samples: Samples, number: int) -> Iterator[str]:
    """A line for each system and verb. The first case has no lists at all."""
    for verb, title in VERBS.items():
        for name in SYSTEMS:
            found = samples[number, name, verb]
            raw = _ratio(found, samples[number, "none", verb])
            none = _ratio(found, samples[1, name, verb])
            trips = median(each.round_trips for each in found)
            commands = median(each.commands for each in found)
            lost = "yes" if all(each.lost for each in found) else "no"
            yield (
                f"  {SYSTEMS[name].title:10} {title:20} {raw:11.2f} {none:11.2f}"
                f" {trips:12g} {commands:9g} {'-' if name == 'none' else lost:>6}"
            )


def _ratio(ours: list[Sample], theirs: list[Sample]) -> float:
    return median(a.ms / b.ms for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cases = [Case(0, True)]
    cases += [Case(count, dependent) for dependent in (True, False) for count in options.counts]
    with workers("dependents", SYSTEMS, work) as lines:
        samples = measure(lines, cases, options.rounds)
    for number, case in enumerate(cases, start=1):
        of = "that depend on the write" if case.dependent else "of other rows of the table"
        print(f"\n{case.lists:,} lists {of}")
        print(
            f"  {'':31} {'no cache=1':>11} {'no lists=1':>11} {'round trips':>12}"
            f" {'commands':>9} {'lost':>6}"
        )
        print(*table(samples, number), sep="\n", flush=True)


if __name__ == "__main__":
    main()
