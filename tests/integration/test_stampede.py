"""Many readers want one list at once: one runs its SQL, and nobody is served what is invalid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from ormcache import cells, runtime
from ormcache.coherence import flight
from ormcache.exceptions import Unrepresentable
from ormcache.reads import asked, entries
from ormcache.stats import counters
from tests.integration.crowd import (
    LIST,
    VALUES,
    Reading,
    has_lease,
    lease_key,
    names,
    put_lease,
    rename,
    rewrite,
    until,
)
from tests.integration.interleave import LONGEST, after, elsewhere, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parent.parent.parent
CROWD = 16
# With the methods that type stubs leave out.
database: Any = connection


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    return Author.objects.create(name="old", slug="a")


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of this test meet in Redis only, as processes do."""

    def board(own: flight.Flight, lease_ms: int) -> flight.Flight:
        own.until = float("inf")
        return own

    monkeypatch.setattr(flight, "_board", board)


@pytest.fixture
def waits() -> Callable[[int], None]:
    """Blocks until so many readers have begun to wait since the start of the test."""
    before = counters["list_wait"]
    return lambda number: until(lambda: counters["list_wait"] >= before + number)


def count_selects(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[], None] = lambda: None
) -> list[int]:
    """A list that grows with every execution; ``step`` is done within each, and nobody loses
    patience meanwhile: on a busy machine the crowd needs seconds to gather."""
    monkeypatch.setattr(flight, "LEASE_MS", 60_000)
    monkeypatch.setattr(flight, "LONGEST_LEASE_MS", 60_000)
    done: list[int] = []

    def note() -> None:
        done.append(1)
        step()

    after(monkeypatch, asked.Asked, "instances", note)
    return done


def test_threads_run_it_once(
    author: Author, monkeypatch: pytest.MonkeyPatch, waits: Callable[[int], None]
) -> None:
    done = count_selects(monkeypatch, lambda: waits(CROWD - 1))
    readings = [Reading() for _ in range(CROWD)]
    assert [["old"]] * CROWD == [reading.result for reading in readings]
    assert 1 == len(done)


def test_strangers_run_it_once(
    author: Author,
    strangers: None,
    monkeypatch: pytest.MonkeyPatch,
    waits: Callable[[int], None],
    ormcache_redis: RedisServer,
) -> None:
    done = count_selects(monkeypatch, lambda: waits(CROWD - 1))
    readings = [Reading() for _ in range(CROWD)]
    assert [["old"]] * CROWD == [reading.result for reading in readings]
    assert 1 == len(done)
    assert not has_lease(ormcache_redis)


def test_a_result_stored_just_before_the_election_is_taken(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = count_selects(monkeypatch)
    after(monkeypatch, entries.ListEntry, "read", once(names))
    assert ["old"] == names()
    assert 1 == len(done)
    assert not has_lease(ormcache_redis)


def test_data_is_counted_once(
    author: Author, monkeypatch: pytest.MonkeyPatch, waits: Callable[[int], None]
) -> None:
    done: list[str] = []

    def slow(execute: Any, sql: str, *rest: Any) -> Any:
        if "COUNT(" in sql:
            done.append(sql)
            waits(3)
        return execute(sql, *rest)

    def read() -> int:
        with connection.execute_wrapper(slow):
            return Author.objects.count()

    assert [1] * 4 == [reading.result for reading in [Reading(read) for _ in range(4)]]
    assert 1 == len(done)


READERS = """
    import os, sys, time
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    django.setup()
    import redis
    from django.conf import settings
    from django.db import connection, connections
    from ormcache.coherence import flight
    from ormcache.store import connect
    from tests.testapp.models import Author

    # On a busy machine a call or a flight may take long; here nothing is given up for that.
    connect.TIMEOUT, flight.LEASE_MS, flight.LONGEST_LEASE_MS = 30, 60_000, 60_000
    server = redis.Redis.from_url(settings.ORMCACHE["URL"])

    def slow(execute, sql, *rest):
        if "FROM" in sql and "ORDER BY" in sql:
            server.incr("executions")
            time.sleep(float(os.environ.get("SQL_SECONDS", "0.2")))
        return execute(sql, *rest)

    def read(timeout=3600):
        connection.execute_wrappers.append(slow)
        try:
            return [each.name for each in Author.objects.order_by("name").cache(timeout=timeout)]
        finally:
            connection.execute_wrappers.remove(slow)

    def crowd(read, size):
        \"\"\"So many processes read at once; how many found what.\"\"\"
        connections.close_all()
        server.connection_pool.disconnect()
        start, go = os.pipe()
        out, found = os.pipe()
        children = []
        for _ in range(size):
            child = os.fork()
            if child == 0:
                try:
                    os.close(go)
                    os.read(start, 1)
                    os.write(found, (",".join(read()) + ";").encode())
                finally:
                    os._exit(0)
            children.append(child)
        os.close(start)
        time.sleep(0.1)
        os.close(go)
        for child in children:
            os.waitpid(child, 0)
        return os.read(out, 65536).decode()
"""


def run_readers(code: str, server: RedisServer, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(READERS) + textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "ORMCACHE_TEST_REDIS": server.url, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("before", "result"),
    [
        ("", "old"),
        ("read(); Author.objects.update(name='new')", "new"),
        ("read(timeout=0.5); time.sleep(0.6)", "old"),
    ],
    ids=["never read", "invalidated", "expired"],
)
def test_processes_run_it_once(
    author: Author, ormcache_redis: RedisServer, before: str, result: str
) -> None:
    code = f"""
    {before}
    server.delete("executions")
    found = crowd(read, {CROWD})
    print(found, server.get("executions").decode())
    """
    assert f"{result};" * CROWD + " 1" == run_readers(code, ormcache_redis)


@pytest.mark.processes
def test_a_killed_filler_costs_one_lease(author: Author, ormcache_redis: RedisServer) -> None:
    code = """
    flight.LEASE_MS = flight.LONGEST_LEASE_MS = 1000
    read()
    """
    program = textwrap.dedent(READERS) + textwrap.dedent(code)
    environment = {"ORMCACHE_TEST_REDIS": ormcache_redis.url, "SQL_SECONDS": "60"}
    filler = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    with ormcache_redis.client() as client:
        until(lambda: bool(client.exists("executions")))
    filler.send_signal(signal.SIGKILL)
    filler.wait()
    assert has_lease(ormcache_redis)
    before = {**counters}
    readings = [Reading() for _ in range(4)]
    assert [["old"]] * 4 == [reading.result for reading in readings]
    assert before.get("list_fill", 0) + 1 == counters["list_fill"]
    assert before.get("list_wait_timeout", 0) == counters["list_wait_timeout"]


@pytest.mark.parametrize("apart", [False, True], ids=["threads", "strangers"])
def test_a_result_older_than_a_commit_is_not_handed_over(
    author: Author,
    waits: Callable[[int], None],
    request: pytest.FixtureRequest,
    apart: bool,
) -> None:
    """The filler has read the old row; a reader that came after the commit waits for it."""
    if apart:
        request.getfixturevalue("strangers")
    late: list[Reading] = []

    def commit_and_read() -> None:
        rename(author, "new")
        late.append(Reading(lambda: list(VALUES.all())))
        waits(1)

    step = once(commit_and_read)

    def slow(execute: Any, *call: Any) -> Any:
        result = execute(*call)
        step()
        return result

    with connection.execute_wrapper(slow):
        assert ["old"] == list(VALUES.all())
    assert ["new"] == late[0].result
    assert ["new"] == list(VALUES.all())


def test_those_who_waited_since_before_a_commit_are_not_served_the_old_list(
    author: Author, monkeypatch: pytest.MonkeyPatch, waits: Callable[[int], None]
) -> None:
    def wait_and_commit() -> None:
        waits(4)
        rename(author, "zoe")

    done = count_selects(monkeypatch, once(wait_and_commit))
    readings = [Reading() for _ in range(5)]
    found = sorted(reading.result for reading in readings)
    # The filler itself began before the commit; its rows it has read after it.
    assert [["zoe"]] * 4 == found[-4:]
    assert 2 == len(done)


def test_a_reader_waits_for_two_flights_at_most(
    author: Author,
    ormcache_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    waits: Callable[[int], None],
) -> None:
    """Where writers are faster than the SQL, waiting is in vain."""
    monkeypatch.setattr(flight, "LEASE_MS", 10**7)
    monkeypatch.setattr(flight, "LONGEST_LEASE_MS", 10**7)
    put_lease(ormcache_redis)
    timeouts = counters["list_wait_timeout"]
    reading = Reading()
    waits(1)
    with ormcache_redis.client() as client:

        def gave_up_meanwhile() -> bool:
            client.set(lease_key(), cells.pack_lease(bytes(8), os.urandom(8)), px=60_000)
            return timeouts < counters["list_wait_timeout"]

        until(gave_up_meanwhile)
    assert ["old"] == reading.result


def test_redis_dies_while_readers_wait(
    author: Author, ormcache_redis: RedisServer, waits: Callable[[int], None]
) -> None:
    put_lease(ormcache_redis)
    readings = [Reading() for _ in range(3)]
    waits(3)
    ormcache_redis.kill()
    assert [["old"]] * 3 == [reading.result for reading in readings]


@pytest.mark.parametrize("kind", ["another type", "no expiry", "no lease"])
def test_garbage_under_the_leases_key(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(flight, "LEASE_MS", 50)
    with ormcache_redis.client() as client:
        if kind == "another type":
            client.lpush(lease_key(), "x")
        elif kind == "no expiry":
            put_lease(ormcache_redis, None)
        else:
            client.set(lease_key(), "garbage")
    assert ["old"] == names()
    fills = counters["list_fill"]
    hits = counters["list_hit"]
    assert ["old"] == names()
    assert ["old"] == names()
    assert fills + 1 >= counters["list_fill"]
    assert hits < counters["list_hit"]


def test_a_lease_asked_for_twice_is_granted(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose connection broke sends its commands again."""
    store = runtime.current().store
    run = store.run
    monkeypatch.setattr(store, "run", lambda commands: (run(commands), run(commands))[1])
    waits, fills = counters["list_wait"], counters["list_fill"]
    assert ["old"] == names()
    assert (waits, fills + 1) == (counters["list_wait"], counters["list_fill"])


def test_a_failing_query_leaves_nothing_behind(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("the SQL fails")

    with monkeypatch.context() as patch:
        after(patch, asked.Asked, "instances", fail)
        with pytest.raises(RuntimeError):
            names()
    assert not has_lease(ormcache_redis)
    waits = counters["list_wait"]
    assert ["old"] == elsewhere(names)
    assert waits == counters["list_wait"]


def test_what_cannot_be_stored_is_not_waited_for(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(result: Any) -> bytes:
        raise Unrepresentable("no")

    monkeypatch.setattr(entries, "pack", refuse)
    assert ["old"] == names()
    waits = counters["list_wait"]
    assert ["old"] == names()
    assert waits == counters["list_wait"]


@pytest.mark.parametrize("held", [True, False], ids=["in Redis", "in the process"])
def test_a_reader_in_a_flight_waits_for_no_other(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Code that runs while instances are made reads a list that another reader is filling."""
    found: list[list[str]] = []
    if held:
        put_lease(ormcache_redis)
    step = once_here(lambda: found.append(names()))
    after(monkeypatch, asked.Asked, "instances", step)
    waits = counters["list_wait"]
    other = LIST if not held else LIST.filter(active=True)
    assert ["old"] == [each.name for each in other.all()]
    assert ([["old"]], waits) == (found, counters["list_wait"])


def once_here(run: Callable[[], Any]) -> Callable[[], None]:
    pending = [run]
    return lambda: pending.pop()() if pending else None


def test_a_flight_that_never_landed_is_not_minded_for_ever(
    author: Author, ormcache_redis: RedisServer
) -> None:
    lost = flight.Flight(lease_key(), -1, time.monotonic() + 0.1)
    flight._under_way[lost.lease] = lost
    timeouts = counters["list_wait_timeout"]
    assert ["old"] == names()
    assert timeouts == counters["list_wait_timeout"]
    assert {} == flight._under_way


def test_a_child_does_not_wait_for_its_parents_threads(author: Author) -> None:
    read, write = os.pipe()
    flight._under_way[b"x"] = flight.Flight(b"x", -1, float("inf"))
    try:
        child = os.fork()
        if child == 0:
            try:
                os.write(write, b"0" if flight._under_way else b"1")
            finally:
                os._exit(0)
    finally:
        flight._under_way.clear()
    os.waitpid(child, 0)
    assert b"1" == os.read(read, 1)


def test_a_cheap_list_is_not_waited_for(author: Author, ormcache_redis: RedisServer) -> None:
    names()
    rewrite(ormcache_redis, soft_in=60, cost=flight.CHEAP / 2)
    rename(author, "new")
    put_lease(ormcache_redis)
    waits = counters["list_wait"]
    assert ["new"] == names()
    assert waits == counters["list_wait"]


def test_reset_waits_for_nobody(author: Author, ormcache_redis: RedisServer) -> None:
    names()
    rewrite(ormcache_redis, soft_in=60, cost=1)
    rename(author, "new")
    put_lease(ormcache_redis)
    before = counters["list_wait"], counters["list_fill"]
    assert ["new"] == [each.name for each in LIST.reset()]
    assert (before[0], before[1] + 1) == (counters["list_wait"], counters["list_fill"])
    assert ["new"] == names()
    assert before[0] == counters["list_wait"]


def test_readers_wait_out_the_marks_of_a_commit(
    author: Author,
    ormcache_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    waits: Callable[[int], None],
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    monkeypatch.setattr(flight, "_MARKED", LONGEST)
    names()
    rewrite(ormcache_redis, soft_in=60, cost=LONGEST)
    done = count_selects(monkeypatch)
    readings: list[Reading] = []
    original = database._commit

    def commit() -> None:
        readings.extend(Reading() for _ in range(4))
        waits(4)
        original()

    monkeypatch.setattr(database, "_commit", commit)
    rename(author, "new")
    assert [["new"]] * 4 == [reading.result for reading in readings]
    assert 1 == len(done)


def test_marks_that_stay_are_not_waited_out(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names()
    rewrite(ormcache_redis, soft_in=60, cost=1)
    entry = LIST._list_entry().entry
    runtime.current().writer.mark(cells.new_token(), list(entry.stamps), ttl_ms=60_000)
    monkeypatch.setattr(flight, "LEASE_MS", 10**7)
    monkeypatch.setattr(flight, "LONGEST_LEASE_MS", 10**7)
    timeouts = counters["list_wait_timeout"]
    assert ["old"] == Reading().result
    assert timeouts + 1 == counters["list_wait_timeout"]
    # Nor is anybody else held up by the same marks.
    waits = counters["list_wait"]
    assert ["old"] == names() == Reading().result
    assert waits == counters["list_wait"]


@pytest.mark.parametrize("flying", [False, True], ids=["alone", "beside another thread"])
def test_marks_that_are_left_to_expire_are_not_waited_out(
    author: Author, ormcache_redis: RedisServer, flying: bool
) -> None:
    names()
    rewrite(ormcache_redis, soft_in=60, cost=1)
    entry = LIST._list_entry().entry
    runtime.current().writer.mark(cells.new_left_token(), list(entry.stamps))
    if flying:
        flight._under_way[lease_key()] = flight.Flight(lease_key(), -1, time.monotonic() + 60)
    waits = counters["list_wait"]
    try:
        assert ["old"] == names()
    finally:
        flight._under_way.clear()
    assert waits == counters["list_wait"]
