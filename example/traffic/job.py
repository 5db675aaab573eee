"""What each member of the crew is told.

Imports no models: a process unpickles it before Django is set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from traffic.gate import Gate


@dataclass(frozen=True)
class Traffic:
    """How much traffic there is to be. ``seconds`` ends it early."""

    members: int
    visits: int
    writes: int
    seconds: float
    seed: int
    threads: bool


@dataclass(frozen=True)
class Job:
    """One member's part of the traffic, and its lines to its two neighbours in the ring."""

    number: int
    visits: int
    writes: int
    seconds: float
    seed: int
    gate: Gate
    ask: Connection
    answer: Connection
    finish: Any
    progress: Any


def jobs(traffic: Traffic, context: BaseContext, progress: Any) -> Iterator[Job]:
    """Divide the traffic. Each member asks the next one, the last one the first."""
    count = traffic.members
    gate = Gate(context, count)
    finish = context.Barrier(count)
    lines = [context.Pipe() for _ in range(count)]
    for number in range(count):
        yield Job(
            number=number,
            visits=_share(traffic.visits, count, number),
            writes=_share(traffic.writes, count, number),
            seconds=traffic.seconds,
            seed=traffic.seed,
            gate=gate,
            ask=lines[number][0],
            answer=lines[number - 1][1],
            finish=finish,
            progress=progress,
        )


def _share(total: int, count: int, number: int) -> int:
    return total // count + (number < total % count)
