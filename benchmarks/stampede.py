"""Many readers who want one expensive list at once, and a hot list that expires.

``python -m benchmarks.stampede [--readers N] [--seconds N]`` needs PostgreSQL and Redis. The query
draws a number from a sequence, so that PostgreSQL itself counts how often it ran.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django

django.setup()

from django.db import connection, connections
from django.db.models import BigIntegerField, Func

from benchmarks.models import CachedAuthor
from benchmarks.operations import create_database
from ormcache import runtime, stable
from ormcache.coherence import entry, flight, reader
from ormcache.stats import counters, reset

Crowd = Callable[[int, Callable[[], Any]], list[Any]]


@stable
class Sleeping(Func):
    """Takes 200 ms of waiting."""

    template = "(SELECT %(expressions)s + 0 * nextval('executions') FROM pg_sleep(0.2))"
    output_field = BigIntegerField()


@stable
class Working(Func):
    """Takes some milliseconds of work, by the number of rows it counts."""

    template = (
        "(SELECT %(expressions)s + 0 * nextval('executions') + count(*) "
        "FROM generate_series(1, %(rows)s))"
    )
    output_field = BigIntegerField()


def slow(timeout: float = 3600) -> Any:
    authors: Any = CachedAuthor.objects.annotate(slow=Sleeping("pk"))
    return authors.values("slow").cache(timeout=timeout)


def working(rows: int) -> Any:
    authors: Any = CachedAuthor.objects.annotate(slow=Working("pk", rows=rows))
    return authors.values("slow")


def executions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value - 1 FROM executions")
        return int(cursor.fetchone()[0])


def invalidate() -> None:
    author = CachedAuthor.objects.get()
    author.delete()
    CachedAuthor.objects.create(name="slow", slug="slow")


def connect() -> None:
    connection.ensure_connection()
    CachedAuthor.objects.filter(slug="connect").exists()


def processes(size: int, run: Callable[[], Any]) -> list[Any]:
    """What ``run`` returned in each of so many processes, begun at once."""
    connections.close_all()
    runtime.reset()
    ready, is_ready = os.pipe()
    start, go = os.pipe()
    outs = []
    for _ in range(size):
        out, into = os.pipe()
        outs.append(out)
        if os.fork() == 0:
            try:
                os.close(go)
                connect()
                os.write(is_ready, b".")
                os.read(start, 1)
                os.write(into, json.dumps(run()).encode())
            finally:
                os._exit(0)
        os.close(into)
    for _ in range(size):
        os.read(ready, 1)
    os.close(go)
    found = [json.loads(os.read(out, 1 << 20)) for out in outs]
    for _ in range(size):
        os.wait()
    for end in (*outs, ready, is_ready, start):
        os.close(end)
    return found


def threads(size: int, run: Callable[[], Any]) -> list[Any]:
    """The same in so many threads of this process."""
    barrier = threading.Barrier(size)
    found: list[Any] = []

    def work() -> None:
        connect()
        barrier.wait()
        found.append(run())
        connections.close_all()

    crowd = [threading.Thread(target=work) for _ in range(size)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return found


def threads_of_processes(size: int, run: Callable[[], Any]) -> list[Any]:
    """The same in so many processes of four threads each."""
    return list(chain.from_iterable(processes(size, partial(threads, 4, run))))


def timed(read: Callable[[], Any]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        read()
        return (time.perf_counter() - start) * 1000

    return run


@contextmanager
def protection(*, on: bool) -> Iterator[None]:
    """Without it: no leases, no flights, no grace, no early refresh."""
    if on:
        yield
        return
    flights: Any = flight.Flights
    kept = flights.after_miss, reader.GRACE_MS, entry._EARLIEST
    flights.after_miss = at_once
    reader.GRACE_MS, entry._EARLIEST = 0, -(10**9)
    try:
        yield
    finally:
        flights.after_miss, reader.GRACE_MS, entry._EARLIEST = kept


def at_once(flights: flight.Flights, entry: Any, lease: bytes, stamp_ms: int) -> flight.Turn:
    return flights.at_once(entry, stamp_ms)


def prepare(state: str) -> None:
    slow().clean()
    if state != "never read":
        list(slow(0.5))
    if state == "invalidated":
        invalidate()
    elif state == "expired":
        time.sleep(0.6)


def measure_crowds(size: int) -> None:
    print(
        f"\n{size} readers want a list that takes 200 ms, and {size} processes of 4 threads each"
    )
    row("", "executions", "median ms", "longest ms")
    crowds = {"processes": processes, "threads": threads, "both": threads_of_processes}
    for name, crowd in crowds.items():
        for state in ("never read", "invalidated", "expired"):
            for on in (False, True):
                with protection(on=on):
                    prepare(state)
                    before = executions()
                    taken = crowd(size, timed(lambda: list(slow())))
                what = f"{name}, {state}" + ("" if on else ", unprotected")
                row(what, executions() - before, *figures(taken))


def measure_hot(size: int, seconds: float) -> None:
    """Readers that never stop, on a list that expires every second."""
    print(f"\n{size} processes read a list of 200 ms that expires every second, for {seconds:g} s")
    row("", "reads", "misses", "executions", "over 100 ms")

    def read_on() -> list[int]:
        list(slow(1))
        reset()
        end, long, reads = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            start = time.perf_counter()
            list(slow(1))
            long += time.perf_counter() - start > 0.1
            reads += 1
            time.sleep(0.005)
        return [reads, counters["list_miss"], long]

    for on in (False, True):
        with protection(on=on):
            slow().clean()
            list(slow(1))
            before = executions()
            reads, misses, long = map(sum, zip(*processes(size, read_on), strict=True))
        row("protected" if on else "unprotected", reads, misses, executions() - before, long)


def measure_costs(size: int, rounds: int) -> None:
    """What waiting costs and saves, by the time the SQL takes."""
    print(f"\n{size} processes, an invalidated list: all at once, or one while the others wait")
    row("SQL alone, ms", "at once", "longest", "waiting", "longest")
    for rows in (1, 10_000, 25_000, 50_000, 100_000, 250_000):
        queryset = working(rows)
        run = timed(partial(list_of, queryset))
        alone = statistics.median(timed(queryset.reset().execute)() for _ in range(9))
        taken: dict[float, list[float]] = {float("inf"): [], -1.0: []}
        for _ in range(rounds):
            for cheap, times in taken.items():
                queryset.execute()
                invalidate()
                kept, flight.CHEAP = flight.CHEAP, cheap
                times += processes(size, run)
                flight.CHEAP = kept
        row(f"{alone:.1f}", *figures(taken[float("inf")]), *figures(taken[-1.0]))


def list_of(queryset: Any) -> list[Any]:
    return list(queryset.all())


def figures(taken: list[float]) -> tuple[str, str]:
    return f"{statistics.median(taken):.0f}", f"{max(taken):.0f}"


def row(*cells: object) -> None:
    print("".join(f"{cell!s:<38}" if i == 0 else f"{cell!s:>12}" for i, cell in enumerate(cells)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    create_database()
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE executions")
        cursor.execute("SELECT nextval('executions')")
    CachedAuthor.objects.create(name="slow", slug="slow")
    measure_crowds(options.readers)
    measure_hot(options.readers, options.seconds)
    measure_costs(options.readers, options.rounds)


if __name__ == "__main__":
    main()
