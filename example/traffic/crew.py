"""Starts the crew, as processes or as threads, shows its progress and adds up its tallies.

Imports no models: a spawned process imports this module before Django is set up.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import TYPE_CHECKING, Any

import django

from traffic.job import Job, Traffic, jobs

if TYPE_CHECKING:
    from traffic.tally import Tally

# A fresh interpreter for each process, as a server has it: nothing is inherited.
_context = get_context("spawn")


class CrewFailed(Exception):
    """A member ended with an error; the text is its traceback."""


def run(traffic: Traffic, progress: Callable[[int, int], None]) -> Tally:
    """Make the traffic. ``progress`` is told the steps done and those to do.

    Raises ``CrewFailed``.
    """
    done = _context.Value("q", 0)
    total = traffic.visits + traffic.writes
    members, results = [], []
    start: Callable[..., Any] = Thread if traffic.threads else _context.Process
    for job in list(jobs(traffic, _context, done)):
        result, sender = _context.Pipe(duplex=False)
        member = start(target=_member, args=(job, sender, traffic.threads), daemon=True)
        member.start()
        if not traffic.threads:
            # With the process as its only holder, the pipe ends when the process dies.
            sender.close()
        members.append(member)
        results.append(result)
    try:
        tallies = list(_collect(results, lambda: progress(done.value, total)))
    finally:
        if not traffic.threads:
            for member in members:
                member.join(5)
                member.terminate()
    return _sum(tallies, traffic)


def _member(job: Job, sender: Connection, thread: bool) -> None:
    """The body of a process or thread: sends a tally, or the text of what went wrong."""
    try:
        if not thread:
            django.setup()
        import ormcache
        from traffic.worker import Worker

        tally = Worker(job).run()
        if not thread:
            tally.stats = Counter(ormcache.get_stats())
        sender.send(tally)
    except BaseException:
        sender.send(traceback.format_exc())


def _collect(results: list[Connection], progress: Callable[[], None]) -> Iterator[Tally]:
    waiting = set(results)
    while waiting:
        for ready in waiting & set(wait(waiting, timeout=0.5)):
            waiting.remove(ready)
            try:
                result = ready.recv()
            except EOFError:
                raise CrewFailed("a process of the crew died") from None
            if isinstance(result, str):
                raise CrewFailed(result)
            yield result
        progress()


def _sum(tallies: list[Tally], traffic: Traffic) -> Tally:
    import ormcache

    total = tallies[0]
    for tally in tallies[1:]:
        total.add(tally)
    if traffic.threads:
        # All threads share the counters of this process.
        total.stats = Counter(ormcache.get_stats())
    return total
