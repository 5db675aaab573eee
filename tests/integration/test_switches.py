"""Switching the cache off: ``ENABLED``, ``nocache()`` and every way to write ``bypass``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import Count, Prefetch
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

import ormcache
from ormcache.reads.bypass import bypassed
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="old", slug="a")
    Article.objects.create(title="first", author=author)
    return author


def statements(read: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        read()
    return len(queries)


def keys(server: RedisServer) -> set[bytes]:
    with server.client() as client:
        return set(client.keys())


READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda authors: authors.get(pk=Author.nocache.get().pk),
    "get by another": lambda authors: authors.get(slug="a"),
    "list": lambda authors: list(authors.all()),
    "chained": lambda authors: list(authors.filter(name="old").order_by("slug")[:3]),
    "first": lambda authors: authors.order_by("pk").first(),
    "in_bulk": lambda authors: authors.in_bulk(),
    "count": lambda authors: authors.count(),
    "exists": lambda authors: authors.exists(),
    "aggregate": lambda authors: authors.aggregate(Count("pk")),
    "values": lambda authors: list(authors.values("name")),
    "values_list": lambda authors: list(authors.values_list("name", flat=True)),
    "prefetch": lambda authors: list(authors.prefetch_related("articles")),
}


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_nocache_asks_the_database_and_fills_nothing(
    author: Author, ormcache_redis: RedisServer, read: Callable[[Any], Any]
) -> None:
    first = statements(lambda: read(Author.objects.nocache()))
    before = keys(ormcache_redis)
    assert first == statements(lambda: read(Author.objects.nocache())) > 0
    assert before == keys(ormcache_redis) == set()


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_what_is_not_enabled_reads_and_fills_nothing(
    author: Author, ormcache_redis: RedisServer, settings: Settings, read: Callable[[Any], Any]
) -> None:
    expected = repr(read(Author.objects))
    read(Author.objects)
    before = keys(ormcache_redis)
    settings.ORMCACHE = {**settings.ORMCACHE, "ENABLED": False}
    for _ in range(2):
        assert expected == repr(read(Author.objects))
        assert 0 < statements(lambda: read(Author.objects))
    assert before == keys(ormcache_redis)


def test_nocache_of_related_managers_and_prefetches(author: Author) -> None:
    inner = Article.objects.nocache()
    reads: list[Callable[[], Any]] = [
        lambda: list(author.articles.nocache()),
        lambda: author.articles.nocache().count(),
        lambda: list(Author.objects.prefetch_related(Prefetch("articles", inner))),
        lambda: list(Author.objects.nocache().filter(slug="a").using("default").all()),
    ]
    for read in reads:
        read()
        assert 1 == statements(read)


def test_the_last_word_counts(author: Author) -> None:
    for queryset in (
        Author.objects.nocache().cache(timeout=60),
        Author.objects.cache(key="k").nocache().cache(),
    ):
        list(queryset.all())
        assert 0 == statements(lambda queryset=queryset: list(queryset.all()))  # type: ignore[misc]
    assert 1 == statements(lambda: list(Author.objects.cache(key="k").nocache()))
    assert ("nocache() was called",) == Author.objects.nocache().explain_cache().reasons


def test_writes_of_what_is_not_enabled_invalidate(
    author: Author, ormcache_redis: RedisServer, settings: Settings
) -> None:
    def read() -> tuple[str, list[str]]:
        return Author.objects.get(pk=author.pk).name, [a.name for a in Author.objects.all()]

    enabled = dict(settings.ORMCACHE)
    assert ("old", ["old"]) == read() == read()
    settings.ORMCACHE = {**enabled, "ENABLED": False}
    assert ('ORMCACHE["ENABLED"] is False',) == Author.objects.all().explain_cache().reasons
    author.name = "new"
    author.save()
    settings.ORMCACHE = enabled
    hits = counters["row_hit"]
    assert ("new", ["new"]) == read() == read()
    assert hits < counters["row_hit"]


@pytest.mark.faults
@pytest.mark.usefixtures("brief_notice")
def test_writes_of_what_is_not_enabled_are_noted_while_redis_is_away(
    author: Author, ormcache_redis: RedisServer, settings: Settings
) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "ENABLED": False}
    ormcache_redis.freeze()
    puts = counters["outbox_put"]
    try:
        author.name = "new"
        author.save()
    finally:
        ormcache_redis.thaw()
    assert puts + 1 == counters["outbox_put"]


# bypass


@ormcache.bypass
def plain() -> bool:
    """Its words."""
    return bypassed.get()


@ormcache.bypass()
def called() -> bool:
    return bypassed.get()


@ormcache.bypass
async def coroutine() -> bool:
    await asyncio.sleep(0)
    return bypassed.get() and await sync_to_async(bypassed.get)()


@ormcache.bypass
def generator() -> Iterator[bool]:
    yield bypassed.get()
    yield bypassed.get()


@ormcache.bypass
async def async_generator() -> AsyncIterator[bool]:
    yield bypassed.get()
    await asyncio.sleep(0)
    yield bypassed.get()


class Thing:
    @ormcache.bypass
    def method(self) -> bool:
        return bypassed.get()

    @classmethod
    @ormcache.bypass
    def of_class(cls) -> bool:
        return bypassed.get()


def test_every_way_to_write_bypass() -> None:
    assert all([plain(), called(), Thing().method(), Thing.of_class()])
    assert ("plain", "Its words.") == (plain.__name__, plain.__doc__)
    with ormcache.bypass() as block:
        assert bypassed.get()
        with block:
            assert bypassed.get()
        assert bypassed.get()
    assert not bypassed.get()
    assert asyncio.iscoroutinefunction(coroutine)
    assert asyncio.run(coroutine())
    with pytest.raises(TypeError, match="method_decorator"):
        ormcache.bypass(Thing)
    with pytest.raises(TypeError, match="takes a function, not 5"):
        ormcache.bypass(5)  # type: ignore[call-overload]


def test_between_the_steps_of_a_generator_the_cache_is_on() -> None:
    found = []
    for inside in generator():
        found.append((inside, bypassed.get()))
    assert [(True, False)] * 2 == found


def test_a_generator_keeps_its_whole_protocol() -> None:
    closed = []

    @ormcache.bypass
    def steps() -> Any:
        try:
            got = yield "first"
            try:
                yield got
            except KeyError:
                yield "caught"
            return "end"
        finally:
            closed.append(bypassed.get())

    def whole() -> Any:
        return (yield from steps())

    running = whole()
    assert "first" == next(running)
    assert "sent" == running.send("sent")
    assert "caught" == running.throw(KeyError())
    with pytest.raises(StopIteration) as ended:
        next(running)
    assert "end" == ended.value.value
    early = steps()
    next(early)
    early.close()
    assert [True, True] == closed


def test_an_asynchronous_generator_keeps_its_protocol() -> None:
    async def run() -> list[Any]:
        found: list[Any] = [(each, bypassed.get()) async for each in async_generator()]
        early = async_generator()
        found.append(await anext(early))
        with pytest.raises(KeyError):
            await early.athrow(KeyError())  # type: ignore[attr-defined]
        return found

    assert [(True, False), (True, False), True] == asyncio.run(run())


def test_a_bypass_of_one_task_leaves_the_others_alone() -> None:
    async def run() -> tuple[bool, bool]:
        inside = asyncio.Event()
        checked = asyncio.Event()

        @ormcache.bypass
        async def one() -> bool:
            inside.set()
            await checked.wait()
            return bypassed.get()

        task = asyncio.create_task(one())
        await inside.wait()
        other = bypassed.get()
        checked.set()
        return await task, other

    assert (True, False) == asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ttl": 5}, "'ttl'. Did you mean timeout=…? It takes key, timeout and depends_on."),
        ({"expire": 5}, "Did you mean timeout=…?"),
        ({"time_out": 5}, "Did you mean timeout=…?"),
        ({"tags": []}, "Did you mean depends_on=…?"),
        ({"ops": ["get"]}, "'ops'. Every read of a CachedModel is cached, whatever its kind"),
        ({"write_only": True}, "reset()"),
        ({"cache_key": "k"}, "Did you mean key=…?"),
        ({"zzz": 1}, "'zzz'. It takes key, timeout and depends_on."),
    ],
)
def test_other_words_are_answered_with_the_right_one(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        Author.objects.cache(**options)
    assert said in str(caught.value)


def test_a_timeout_in_the_place_of_the_key_is_named() -> None:
    with pytest.raises(TypeError, match=r"not int\. For a timeout write cache\(timeout=60\)"):
        Author.objects.cache(60)  # type: ignore[arg-type]
