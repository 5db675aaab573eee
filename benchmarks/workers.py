"""Processes that each measure one system, with a database and a Redis server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.servers import database, redis_server


@contextmanager
def workers(
    purpose: str, systems: Iterable[str], work: Callable[..., None], *arguments: Any
) -> Iterator[dict[str, Connection]]:
    """The lines to the processes, by system, each of which runs ``work(system, place, line,
    *arguments)``. They start at the same time; who asks one at a time measures them in turn."""
    context = get_context("spawn")
    with ExitStack() as stack:
        lines = {}
        for system in systems:
            place = {
                "database": stack.enter_context(database(f"{purpose}_{system}")),
                "socket": stack.enter_context(redis_server()),
            }
            line, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(system, place, theirs, *arguments), daemon=True
            )
            process.start()
            stack.callback(process.terminate)
            theirs.close()
            lines[system] = line
        yield lines
