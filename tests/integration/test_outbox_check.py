"""Looking into the outbox disturbs nobody: no transaction, no thread, no forked process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created

from ormcache import runtime
from ormcache.coherence.entry import Entry
from ormcache.coherence.flight import Flights, Turn
from ormcache.locks import Claim
from ormcache.models import OutboxEntry
from ormcache.outage import check as trust_module
from ormcache.outage import outbox
from ormcache.outage.check import OutboxCheck, check_outbox
from ormcache.reads import entries
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from tests.integration.crowd import Reading
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert "old" == name() == name()
    return author


def name() -> str:
    return str(Author.objects.get(slug="a").name)


def own_check() -> OutboxCheck:
    state = state_of(connection)
    check_outbox(state)
    check: OutboxCheck = runtime.current().outbox_checks[state.label]
    return check


def look_again() -> None:
    """Let the next read look into the outbox."""
    check = own_check()
    check.checked = replace(check.checked, renew_at=0.0, until=0.0)


@pytest.mark.postgres
def test_a_look_that_fails_spoils_no_transaction(
    author: Author, caplog: pytest.LogCaptureFixture
) -> None:
    """An error would make PostgreSQL refuse every statement that follows."""
    with outbox.own_connection(connection) as other:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE ormcache_outbox IN ACCESS EXCLUSIVE MODE")
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = 50")
                look_again()
                assert "old" == name()
                author.name = "new"
                author.save()
        finally:
            other.rollback()
    assert "new" == name()
    assert 1 == caplog.text.count("ormcache.outbox.unreadable")


def test_another_thread_that_renews_makes_no_old_reply_new(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply was under way when the connection was lost, a write was noted, and replayed."""
    cache = runtime.current()
    keys = cache.keys(state_of(connection).label, Author._meta.db_table)
    read = cache.store.mget

    def mget(asked: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        reply = read(asked)
        if OutboxEntry.objects.filter(waiting=True).exists():
            cache.store.contact += 1
            own_check()
            assert not OutboxEntry.objects.filter(waiting=True).exists()
        return reply

    driver = connection.connection.cursor()
    driver.execute("UPDATE testapp_author SET name = 'new'")
    driver.close()
    outbox.put(connection, [keys.row(author.pk), keys.lists])
    monkeypatch.setattr(cache.store, "mget", mget)
    assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.postgres
def test_who_waits_for_a_connection_keeps_nobody_waiting(author: Author) -> None:
    """In a pool it may wait for one of the very threads that read."""
    may_connect, is_waiting = threading.Event(), threading.Event()
    found: list[Any] = []

    def wait_and_read() -> None:
        mine: Any = connections["default"]
        connect = mine.connect

        def connect_later() -> None:
            is_waiting.set()
            found.append(may_connect.wait(10))
            connect()

        mine.connect = connect_later
        try:
            found.append(name())
        finally:
            mine.close()

    look_again()
    thread = threading.Thread(target=wait_and_read)
    thread.start()
    assert is_waiting.wait(10)
    hits = counters["row_hit"]
    assert ("old", 1) == (name(), counters["row_hit"] - hits)
    may_connect.set()
    thread.join()
    assert [True, "old"] == found


def test_a_long_replay_does_not_stop_the_other_threads(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, is_replaying = threading.Event(), threading.Event()
    found: list[Any] = []
    replay = outbox.replay

    def replay_long(other: Any) -> int:
        is_replaying.set()
        found.append(may_end.wait(10))
        return replay(other)

    def look() -> None:
        try:
            own_check()
        finally:
            connections.close_all()

    outbox.put(connection, [b"key"])
    monkeypatch.setattr(outbox, "replay", replay_long)
    monkeypatch.setattr(trust_module, "_PATIENCE", 60.0)
    look_again()
    thread = threading.Thread(target=look)
    thread.start()
    assert is_replaying.wait(10)
    assert "old" == name()
    may_end.set()
    thread.join()
    assert [True] == found


@pytest.fixture
def slow_look(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[threading.Event, Callable[[], Reading]]]:
    """The next look lasts until the event is set; the function begins it in another thread."""
    may_end, is_looking = threading.Event(), threading.Event()
    look = OutboxCheck._look

    def look_slowly(self: OutboxCheck, state: Any) -> Any:
        is_looking.set()
        assert may_end.wait(10)
        return look(self, state)

    def begin() -> Reading:
        monkeypatch.setattr(OutboxCheck, "_look", look_slowly)
        readings.append(Reading(name))
        assert is_looking.wait(10)
        return readings[-1]

    readings: list[Reading] = []
    yield may_end, begin
    may_end.set()
    assert ["old"] == [reading.result for reading in readings]


SlowLook = tuple[threading.Event, Callable[[], Reading]]


def test_what_another_thread_looks_up_for_the_first_time_is_waited_for(
    author: Author, slow_look: SlowLook
) -> None:
    """A crowd at the start of a process would all ask the database otherwise."""
    may_end, begin = slow_look
    runtime.current().outbox_checks.clear()
    hits = counters["row_hit"]
    other = begin()
    threading.Timer(0.5, may_end.set).start()
    assert ("old", "old") == (name(), other.result)
    assert hits + 2 == counters["row_hit"]


def test_a_belief_goes_on_while_another_thread_looks(author: Author, slow_look: SlowLook) -> None:
    _, begin = slow_look
    look_again()
    begin()
    check = runtime.current().outbox_checks[state_of(connection).label]
    check.checked = replace(check.checked, until=time.monotonic() + 60)
    hits = counters["row_hit"]
    assert ("old", 1) == (name(), counters["row_hit"] - hits)


@pytest.mark.parametrize("guard", ["time", "contact", "alert"])
def test_a_belief_that_is_over_does_not_go_on(
    author: Author, slow_look: SlowLook, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    monkeypatch.setattr(trust_module, "_PATIENCE", 0.05)
    _, begin = slow_look
    look_again()
    begin()
    cache = runtime.current()
    check = cache.outbox_checks[state_of(connection).label]
    over = {
        "time": {"until": time.monotonic()},
        "contact": {"until": time.monotonic() + 60, "contact": cache.store.contact - 1},
        "alert": {"until": time.monotonic() + 60, "is_alert": True},
    }
    check.checked = replace(check.checked, **over[guard])
    hits = counters["row_hit"]
    assert ("old", 0) == (name(), counters["row_hit"] - hits)


def test_nobody_waits_for_himself(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look may open a connection, and whoever is told of that may read."""
    monkeypatch.setattr(trust_module, "_PATIENCE", 60.0)
    found: list[str] = []

    def read(**kwargs: Any) -> None:
        if not found:
            found.append("")
            found.append(name())

    # To replay it the look opens a connection of its own.
    outbox.put(connection, [b"key"])
    runtime.current().outbox_checks.clear()
    connection_created.connect(read)
    try:
        assert "old" == name()
    finally:
        connection_created.disconnect(read)
    assert ["", "old"] == found


def test_a_look_that_takes_long_is_waited_for_once(
    author: Author, slow_look: SlowLook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_module, "_PATIENCE", 0.2)
    _, begin = slow_look
    runtime.current().outbox_checks.clear()
    begin()
    assert "old" == name()
    monkeypatch.setattr(trust_module, "_PATIENCE", 60.0)
    assert "old" == name()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="about fork")
def test_a_process_forked_while_a_thread_looks(author: Author) -> None:
    check = own_check()
    connections.close_all()
    claim = Claim()
    assert check._lock.take(claim)
    claim.thread = -1
    child = os.fork()
    if not child:
        signal.alarm(5)
        hits = counters["row_hit"]
        os._exit(0 if ("old", 1) == (name(), counters["row_hit"] - hits) else 1)
    check._lock.give_back(claim)
    assert 0 == os.waitpid(child, 0)[1]


@pytest.mark.parametrize("autocommit", [True, False])
def test_entries_go_whatever_the_connection_commits(author: Author, autocommit: bool) -> None:
    outbox.put(connection, [b"key"])
    settings = connection.settings_dict
    before, settings["AUTOCOMMIT"] = settings["AUTOCOMMIT"], autocommit
    try:
        with outbox.own_connection(connection) as other:
            assert 1 == outbox.replay(other)
    finally:
        settings["AUTOCOMMIT"] = before
    assert not OutboxEntry.objects.filter(waiting=True).exists()


def write_elsewhere(author: Author, value: str) -> None:
    """By a process that is cut off from the store: past the cache, with an entry."""
    keys = runtime.current().keys(state_of(connection).label, Author._meta.db_table)
    driver = connection.connection.cursor()
    driver.execute(f"UPDATE testapp_author SET name = '{value}'")
    driver.close()
    outbox.put(connection, [keys.row(author.pk), keys.lists])


def test_a_reply_that_is_older_than_its_look_allows(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote meanwhile has waited for this look to be over, and no longer."""
    cache = runtime.current()
    read = cache.store.mget

    def mget(asked: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        reply = read(asked)
        check = cache.outbox_checks[state_of(connection).label]
        if not OutboxEntry.objects.exists():
            write_elsewhere(author, "new")
            time.sleep(max(0.0, check.checked.until - time.monotonic()))
        return reply

    monkeypatch.setattr(cache.store, "mget", mget)
    assert "new" == Author.objects.get(pk=author.pk).name


def test_a_result_that_was_waited_for(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came before somebody who was cut off committed, and is taken after it."""
    names = Author.objects.order_by("name").values_list("name", flat=True)
    assert ["old"] == list(names)

    def wait(flights: Flights, entry: Entry, *rest: Any) -> Turn:
        payload = runtime.current().reader.read_entry(entry)
        write_elsewhere(author, "new")
        look_again()
        return Turn(payload)

    monkeypatch.setattr(
        entries.ListEntry, "read", lambda *rest: (rest[0]._look(), entries.MISSING)[1]
    )
    monkeypatch.setattr(Flights, "after_miss", wait)
    assert ["new"] == list(names.all())
