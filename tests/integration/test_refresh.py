"""Lists near their expiry and beyond: one reader refreshes them, the others are served."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction

from ormcache import cells
from ormcache.codec.values import pack
from ormcache.coherence import entry, flight, reader
from ormcache.outage import outbox
from ormcache.outage.check import check_outbox, check_outbox_now
from ormcache.reads import entries
from ormcache.reads.comparison import count_stale
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from tests.integration.crowd import (
    LIST,
    VALUES,
    add_unseen,
    change_unseen,
    rename,
    rewrite,
    unseen,
)
from tests.integration.interleave import after, elsewhere, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    return Author.objects.create(name="old", slug="a")


class Aged:
    """A cached list that the database has outdated unseen: only its time can end it."""

    def __init__(self, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server = server
        self._monkeypatch = monkeypatch
        assert ["old"] == list(VALUES.all())
        change_unseen("fresh")

    def expires(self, soft_in: float, cost: float = 0.2) -> None:
        rewrite(self._server, soft_in=soft_in, cost=cost, queryset=VALUES)

    def draw(self, number: float) -> None:
        """The random number of every decision from now on."""
        fixed = SimpleNamespace(random=lambda: number)
        self._monkeypatch.setattr(entry, "random", fixed)


@pytest.fixture
def aged(author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Aged:
    return Aged(ormcache_redis, monkeypatch)


@pytest.mark.parametrize(
    ("soft_in", "cost", "number", "found"),
    [
        (1, 0.2, 0.0, "old"),
        (1, 0.2, 1 - 1e-9, "fresh"),
        (60, 0.2, 1 - 1e-9, "old"),
        (-1, 0.2, 0.0, "fresh"),
        (-1, 0.0, 0.0, "fresh"),
    ],
    ids=["early, no luck", "early", "too early", "late", "late and cheap"],
)
def test_refreshing(aged: Aged, soft_in: float, cost: float, number: float, found: str) -> None:
    aged.expires(soft_in, cost)
    aged.draw(number)
    refreshed, hits = counters["list_refresh"], counters["list_hit"]
    assert [found] == list(VALUES.all())
    assert refreshed + (found == "fresh") == counters["list_refresh"]
    assert hits + 1 == counters["list_hit"]
    aged.draw(0.0)
    assert [found] == list(VALUES.all())
    assert refreshed + (found == "fresh") == counters["list_refresh"]


def test_a_list_without_timeout_is_not_refreshed(aged: Aged) -> None:
    for _ in range(2):
        list(VALUES.cache(timeout=None))
    refreshed = counters["list_refresh"]
    aged.draw(1 - 1e-9)
    list(VALUES.cache(timeout=None))
    assert refreshed == counters["list_refresh"]


def found_stale(read: Any) -> list[int]:
    """How many lists that ``read`` refreshes are compared, and how many were stale."""
    names = ("list_compared", "list_stale")
    before = [counters[name] for name in names]
    read()
    return [counters[name] - old for name, old in zip(names, before, strict=True)]


@pytest.mark.parametrize("queryset", [VALUES, LIST], ids=["values", "rows"])
def test_a_refresh_tells_whether_the_list_was_stale(
    author: Author, ormcache_redis: RedisServer, queryset: Any
) -> None:
    list(queryset.all())
    rewrite(ormcache_redis, soft_in=-1, cost=0.2, queryset=queryset)
    assert [1, 0] == found_stale(lambda: list(queryset.all()))
    add_unseen("more")
    rewrite(ormcache_redis, soft_in=-1, cost=0.2, queryset=queryset)
    assert [1, 1] == found_stale(lambda: list(queryset.all()))
    assert [0, 0] == found_stale(lambda: list(queryset.all()))


def test_a_reset_tells_it_too(aged: Aged) -> None:
    assert [1, 1] == found_stale(lambda: list(VALUES.reset()))
    assert [1, 0] == found_stale(lambda: list(VALUES.reset()))


def test_what_a_write_changes_during_a_refresh_was_not_stale(
    author: Author, ormcache_redis: RedisServer
) -> None:
    list(VALUES.all())
    rewrite(ormcache_redis, soft_in=-1, cost=0.2, queryset=VALUES)

    def late(execute: Any, *call: Any) -> Any:
        step()
        return execute(*call)

    step = once(lambda: rename(author, "new"))
    with connection.execute_wrapper(late):
        assert [0, 0] == found_stale(lambda: list(VALUES.all()))


def test_what_two_processes_name_alike_is_not_compared(author: Author) -> None:
    named = VALUES.cache(key="names")
    list(named)
    rename(author, "new")
    list(named.filter(name="new"))
    assert [0, 0] == found_stale(lambda: list(named.filter(name="old").reset()))


def test_a_result_that_sql_leaves_open_is_not_compared(aged: Aged) -> None:
    some: Any = Author.objects.order_by().values_list("name", flat=True)[:1]
    list(some.all())
    change_unseen("fresher")
    assert [0, 0] == found_stale(lambda: list(some.reset()))


def test_an_order_that_is_stale_is_found(author: Author) -> None:
    total: Any = Author.objects.order_by("name", "pk")
    add_unseen("more")
    list(total.all())
    with unseen(), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'a' WHERE id = %s", [author.pk])
    assert [1, 1] == found_stale(lambda: list(total.reset()))


def test_what_a_writer_without_redis_commits_meanwhile_was_not_stale(
    aged: Aged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has marked nothing, and is not acknowledged yet: only a look into the outbox tells."""
    monkeypatch.setattr(outbox, "INTERVAL", 60.0)
    assert not check_outbox_now(state_of(connection)).is_alert
    outbox.put(connection, [b"a cell of another process"])
    assert not check_outbox(state_of(connection)).is_alert
    assert [0, 0] == found_stale(lambda: list(VALUES.reset()))


@pytest.mark.parametrize("payload", [b"", b"\xc1", pack([[1], 2]), pack([[1], [2]]), pack(3)])
def test_nothing_comes_of_a_result_of_another_shape(author: Author, payload: bytes) -> None:
    entry = LIST._list_entry()
    count_stale(entry, payload, pack([[author.pk], []]))
    count_stale(entry, pack([[author.pk], []]), payload)


def test_all_others_are_served_while_one_refreshes(
    aged: Aged, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged.expires(-1)
    found: list[Any] = []

    def others() -> None:
        found.append([elsewhere(lambda: list(VALUES.all())) for _ in range(3)])
        with monkeypatch.context() as patch:
            # Another process: it asks Redis.
            patch.setattr(flight, "_under_way", {})
            found.append([elsewhere(lambda: list(VALUES.all()))])

    def slow(execute: Any, *call: Any) -> Any:
        others()
        return execute(*call)

    with connection.execute_wrapper(slow):
        assert ["fresh"] == list(VALUES.all())
    assert [[["old"]] * 3, [["old"]]] == found
    assert ["fresh"] == list(VALUES.all())


@pytest.mark.parametrize("late", [-1, 1], ids=["early", "late"])
def test_an_expired_list_is_not_served_after_an_invalidation(
    aged: Aged, author: Author, ormcache_redis: RedisServer, late: float
) -> None:
    aged.expires(-late, cost=0.0)
    rename(author, "new")
    assert ["new"] == list(VALUES.all())


def test_a_refresh_overtaken_by_a_commit_stores_nothing_that_is_served(
    aged: Aged, author: Author
) -> None:
    aged.expires(-1)

    def slow(execute: Any, *call: Any) -> Any:
        result = execute(*call)
        step()
        return result

    step = once(lambda: rename(author, "new"))
    with connection.execute_wrapper(slow):
        list(VALUES.all())
    assert ["new"] == list(VALUES.all())
    assert ["new"] == list(VALUES.all())


def test_who_may_not_fill_is_not_served_what_has_expired(aged: Aged) -> None:
    """It cannot refresh the list, but time is up for it as well."""
    with transaction.atomic():
        if connection.vendor != "sqlite":
            state_of(connection).isolation_changes()
        aged.expires(1)
        assert ["old"] == list(VALUES.all())
        aged.expires(-1)
        assert ["fresh"] == list(VALUES.all())
    if connection.vendor != "sqlite":
        connection.close()


def test_redis_dies_before_a_refresh(
    aged: Aged, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged.expires(-1)
    after(monkeypatch, entries.ListEntry, "read", ormcache_redis.kill)
    assert ["old"] == list(VALUES.all())
    monkeypatch.undo()
    assert ["fresh"] == list(VALUES.all())


def test_rows_are_not_refreshed_early(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They expire with their keys; what the cell says of its expiry changes nothing."""
    for _ in range(2):
        Author.objects.get(pk=author.pk)
    for module in (entry, reader):
        monkeypatch.setattr(module, "random", SimpleNamespace(random=lambda: 1 - 1e-9))
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 2e10))
    hits = counters["row_hit"]
    Author.objects.get(pk=author.pk)
    assert hits + 1 == counters["row_hit"]


def test_an_entry_outlives_its_expiry_by_the_grace(
    author: Author, ormcache_redis: RedisServer
) -> None:
    for timeout in (3, 100):
        queryset = LIST.cache(key=f"for {timeout}", timeout=timeout)
        list(queryset)
        entry = queryset._list_entry().entry
        with ormcache_redis.client() as client, client.pipeline() as both:
            cell, left, (seconds, micros) = both.get(entry.key).pttl(entry.key).time().execute()
        value = cells.unpack_value(cell, len(entry.stamps))
        assert value is not None
        beyond = left / 1000 + seconds + micros / 1e6 - value.soft
        assert beyond == pytest.approx(min(timeout, 10), rel=0.11)


def test_an_old_snapshot_refreshes_nothing(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would store under the newest stamps is from before the write."""
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

    def write_and_age() -> None:
        rename(author, "new")
        assert ["new"] == list(VALUES.all())
        rewrite(ormcache_redis, soft_in=0.1, cost=10, queryset=VALUES)

    def read() -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute(level)
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    cursor.execute(level)
                assert 1 == Author.nocache.count()
                elsewhere(write_and_age)
                assert ["new"] == list(VALUES.all())

    monkeypatch.setattr(reader, "random", SimpleNamespace(random=lambda: 0.999))
    elsewhere(read)
    monkeypatch.undo()
    assert ["new"] == list(VALUES.all())
