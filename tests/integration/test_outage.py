"""Redis gone, slow or lying: reads fall through, writes are refused, nothing is stale after."""

from __future__ import annotations

import time

import pytest
from django.db import DatabaseError, transaction

from ormcache import runtime
from ormcache.stats import counters
from ormcache.writes.errors import InvalidationFailed
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Article, Author, Tag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture
def author(ormcache_wire: Wire) -> Author:
    author = Author.objects.create(name="old", slug="a")
    read(author)
    return author


def read(author: Author) -> tuple[str, list[str], int]:
    return (
        Author.objects.get(pk=author.pk).name,
        [each.name for each in Author.objects.order_by("name")],
        Author.objects.count(),
    )


def recover() -> None:
    """Wait until the breaker lets a probe through."""
    breaker = runtime.current().store.breaker
    deadline = time.monotonic() + 10
    while breaker.is_open and time.monotonic() < deadline:
        Tag.objects.filter(name="probe").exists()
        time.sleep(0.01)
    assert not breaker.is_open


def test_reads_fall_through(author: Author, ormcache_wire: Wire) -> None:
    ormcache_wire.cut()
    assert ("old", ["old"], 1) == read(author)
    assert ("old", ["old"], 1) == read(author)
    ormcache_wire.mend()
    recover()
    before = counters["row_hit"]
    assert ("old", ["old"], 1) == read(author)
    assert before < counters["row_hit"]


def test_a_dead_server_is_asked_once(author: Author, ormcache_wire: Wire) -> None:
    ormcache_wire.pause()
    started = time.perf_counter()
    read(author)
    first = time.perf_counter() - started
    errors = counters["store_error"]
    read(author)
    ormcache_wire.resume()
    # One call waited for its timeout, all the others were refused at once.
    assert first < 3 * 0.25
    assert errors < counters["store_error"]


def test_a_write_is_refused_rather_than_left_stale(author: Author, ormcache_wire: Wire) -> None:
    ormcache_wire.cut()
    with pytest.raises(InvalidationFailed) as failed, transaction.atomic():
        author.name = "new"
        author.save()
    assert isinstance(failed.value, DatabaseError)
    assert "old" == Author.nocache.get(pk=author.pk).name
    ormcache_wire.mend()
    recover()
    assert ("old", ["old"], 1) == read(author)
    author.save()
    assert ("new", ["new"], 1) == read(author)


def test_a_cut_after_the_marks_leaves_nothing_stale(
    author: Author, ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is lost: the marks stay, and readers go to the database until they expire."""
    writer = runtime.current().writer
    release = writer.release

    def cut_first(*args: object, **kwargs: object) -> int:
        ormcache_wire.cut()
        return release(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "release", cut_first)
    Author.objects.filter(pk=author.pk).update(name="new")
    assert "new" == Author.nocache.get(pk=author.pk).name
    ormcache_wire.mend()
    recover()
    assert ("new", ["new"], 1) == read(author)


def test_a_restart_makes_every_value_a_miss(ormcache_redis: RedisServer) -> None:
    author = Author.objects.create(name="old", slug="a")
    read(author)
    before = counters["row_miss"]
    ormcache_redis.restart()
    assert ("old", ["old"], 1) == read(author)
    assert before < counters["row_miss"]


def test_values_of_an_older_run_are_not_trusted(ormcache_redis: RedisServer) -> None:
    """The server comes back with what it held before a write it never saw."""
    author = Author.objects.create(name="old", slug="a")
    read(author)
    with ormcache_redis.client() as client:
        dump = {key: client.dump(key) for key in client.keys()}
        Author.objects.filter(pk=author.pk).update(name="new")
        ormcache_redis.restart()
        client.connection_pool.disconnect()
        for key, raw in dump.items():
            client.restore(key, 0, raw)
    assert ("new", ["new"], 1) == read(author)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"V", b"V" + bytes(45), b"\xff" * 300, b"L", b"W", b"S", b"S12345678"],
)
def test_garbage_is_a_miss(ormcache_redis: RedisServer, garbage: bytes) -> None:
    author = Author.objects.create(name="old", slug="a")
    Article.objects.create(author=author, title="t")
    read(author)
    with ormcache_redis.client() as client:
        for key in client.keys():
            client.set(key, garbage)
    assert ("old", ["old"], 1) == read(author)
    author.name = "new"
    author.save()
    assert ("new", ["new"], 1) == read(author)


def test_truncated_and_altered_values_are_misses(ormcache_redis: RedisServer) -> None:
    author = Author.objects.create(name="old", slug="a")
    read(author)
    with ormcache_redis.client() as client:
        for key in client.keys():
            if client.type(key) != b"string":
                continue
            cell = client.get(key)
            for altered in (cell[:-1], cell + b"\x00", cell[:-3] + b"\xc1\xc1\xc1"):
                client.set(key, altered)
                assert ("old", ["old"], 1) == read(author)


def test_a_key_of_another_type_is_a_miss(ormcache_redis: RedisServer) -> None:
    author = Author.objects.create(name="old", slug="a")
    read(author)
    with ormcache_redis.client() as client:
        for key in client.keys():
            client.delete(key)
            client.hset(key, "a", "b")
    assert ("old", ["old"], 1) == read(author)
