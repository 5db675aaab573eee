"""Redis gone, slow or lying: reads fall through, and nothing is stale after."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest
from django.db import DatabaseError, transaction
from django.db.models import Count, Max
from pytest_django import Settings

from ormcache import cells, runtime
from ormcache.coherence.writer import Released
from ormcache.exceptions import InvalidationFailed
from ormcache.stats import counters
from tests.integration.outage import recover
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Article, Author

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.faults,
    pytest.mark.usefixtures("brief_notice"),
]


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
    errors, refused = counters["store_error"], counters["store_down"]
    read(author)
    ormcache_wire.resume()
    # One call waited for its timeout, all the others were not even tried.
    assert errors + 1 == counters["store_error"]
    assert refused + 2 == counters["store_down"]


def test_an_outage_is_logged_once(
    author: Author, ormcache_wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    ormcache_wire.cut()
    for name in ("b", "c"):
        read(author)
        Author.objects.filter(pk=author.pk).update(name=name)
        Author.objects.create(name="other", slug=name).delete()
    ormcache_wire.mend()
    recover()
    assert ("c", ["c"], 1) == read(author)
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert ["ormcache.store.down", "ormcache.store.up", "ormcache.outbox.replayed"] == said


def test_a_refusal_is_logged_once(
    author: Author, ormcache_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with ormcache_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-mget")
    for _ in range(5):
        read(author)
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert ["ormcache.store.refused"] == said


def test_a_write_can_be_refused_instead(
    author: Author, ormcache_wire: Wire, settings: Settings
) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}
    read(author)
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

    def cut_first(*args: object, **kwargs: object) -> Released:
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


class Hostile:
    """Payloads for values whose head is right."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def payload(self, honest: bytes) -> bytes:
        some = self._random
        kind = some.randrange(6)
        if kind == 0:
            return some.randbytes(some.randrange(60))
        if kind == 1:
            # An array, map, text or binary that claims to be four billion long.
            return some.choice((b"\xdd", b"\xdf", b"\xdb", b"\xc6")) + b"\xff" * 4 + honest
        if kind == 2:
            return some.choice((b"\x91", b"\x81\x01")) * 100_000 + b"\xc0"
        if kind == 3:
            return msgpack.packb(self._anything(3))  # type: ignore[no-any-return]
        place = some.randrange(len(honest) or 1)
        if kind == 4:
            return honest[:place]
        return honest[:place] + some.randbytes(1) + honest[place + 1 :]

    def _anything(self, depth: int) -> Any:
        some = self._random
        leaf = [None, True, -1, 2**63, 1.5, "x" * 9, b"\xff", msgpack.ExtType(7, b"zz")]
        if depth and some.random() < 0.7:
            items = [self._anything(depth - 1) for _ in range(some.randrange(4))]
            return items if some.random() < 0.7 else dict.fromkeys("ab", items)
        return some.choice(leaf)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_values_are_misses_or_data(ormcache_redis: RedisServer, seed: int) -> None:
    """Whoever can write to the server may lie, but no read raises, hangs or eats memory."""
    author = Author.objects.create(name="old", slug="a")
    Article.objects.create(author=author, title="t")
    hostile = Hostile(seed)

    def exercise() -> None:
        read(author)
        list(Article.objects.select_related("author").annotate(n=Count("tags")))
        list(Author.objects.values("name", "created"))
        Author.objects.aggregate(Count("id"), Max("name"))
        Author.objects.in_bulk([author.pk])

    exercise()
    with ormcache_redis.client() as client:
        for _ in range(60):
            for key in client.keys():
                cell = client.get(key) if client.type(key) == b"string" else b""
                if cell[:1] == cells.VALUE:
                    start = cells.value_offset(bytes(17 + cells.STAMP_SIZE * stamps_of(cell)))
                    client.set(key, cell[:start] + hostile.payload(cell[start:]))
            exercise()


def stamps_of(cell: bytes) -> int:
    """How many stamps stand in a value."""
    count, start = 0, 1 + cells.EPOCH_SIZE + cells.FINGERPRINT_SIZE
    while cell[start : start + 1] == cells.STAMP:
        count, start = count + 1, start + cells.STAMP_SIZE
    return count
