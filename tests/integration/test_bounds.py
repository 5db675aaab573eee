"""What nobody may make grow without end: keys, their lives, values, logs and commands."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from pytest_django import DjangoAssertNumQueries

from ormcache import runtime
from ormcache.coherence.reader import GRACE_MS, LEASE_MS, LONGEST_MS, MOST_BYTES
from ormcache.reads.by_pk import MOST_NAMED
from ormcache.stats import counters
from ormcache.store import client
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Article, Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)

# Names of stamps of values: any number of them can be asked for.
_OF_A_VALUE = b":part:"


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


def lives(server: RedisServer) -> dict[bytes, int]:
    """The remaining life of every key in milliseconds, -1 for ever."""
    with server.client() as redis:
        return {key: redis.pttl(key) for key in redis.scan_iter()}


# Keys


def test_what_a_stranger_asks_for_lives_as_long_as_its_answer(
    ormcache_redis: RedisServer,
) -> None:
    """Two of three keys of a look-up by a slug that nobody has lived for a week."""
    with override_settings(ORMCACHE={"URL": ormcache_redis.url, "NAMESPACE": "x", "TIMEOUT": 60}):
        Author.objects.filter(slug="x0").exists()
        known = set(lives(ormcache_redis))
        for number in range(1, 6):
            with pytest.raises(Author.DoesNotExist):
                Author.objects.get(slug=f"x{number}")
            assert not Author.objects.filter(slug=f"y{number}").exists()
            assert 0 == Author.objects.filter(slug__in=[f"z{number}"], active=True).count()
        added = {key: left for key, left in lives(ormcache_redis).items() if key not in known}
    longest = 60_000 + GRACE_MS + LEASE_MS
    assert {key: left for key, left in added.items() if not 0 < left <= longest} == {
        # Of the table's columns there are only so many.
        key: left
        for key, left in added.items()
        if b":col:" in key or b":loose:" in key or key.endswith((b":lists", b":rows"))
    }
    # MySQL compares text loosely, so it has no partitions by it.
    assert (connection.vendor != "mysql") is any(_OF_A_VALUE in key for key in added)


def test_a_stamp_outlives_every_entry_that_needs_it(ormcache_redis: RedisServer) -> None:
    """A longer entry prolongs the lives of stamps that are there, a shorter one leaves them."""
    author = Author.objects.create(name="a", slug="a")
    brief, long = (author.articles.all().cache(timeout=each) for each in (20, 20_000))

    def shortest() -> int:
        return min(left for key, left in lives(ormcache_redis).items() if _OF_A_VALUE in key)

    list(brief.order_by("title"))
    assert shortest() <= 20_000 + 20_000 + LEASE_MS
    list(long.order_by("-title"))
    with ormcache_redis.client() as redis:
        (entry,) = [key for key in redis.scan_iter("*:list:*") if redis.pttl(key) > 100_000]
        assert redis.pttl(entry) <= shortest()
    list(brief.order_by("title", "pk"))
    assert shortest() > 17_000_000


def test_no_expiry_is_a_month(
    ormcache_redis: RedisServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Stamps and lists that nobody asks for any more were kept for ever."""
    author = Author.objects.create(name="a", slug="a")
    with override_settings(
        ORMCACHE={"URL": ormcache_redis.url, "NAMESPACE": "x", "TIMEOUT": None}
    ):
        reads = (
            lambda: list(Author.objects.order_by("name")),
            lambda: author.articles.count(),
            lambda: Author.objects.filter(slug="x").exists(),
        )
        for read in reads:
            read()
        with django_assert_num_queries(0):
            for read in reads:
                read()
        found = lives(ormcache_redis)
        (row,) = [key for key in found if b":row:" in key]
        assert -1 == found.pop(row)
        assert {
            key for key, left in found.items() if not 0 < left <= LONGEST_MS + LEASE_MS
        } == set()
    list(Tag.objects.cache(timeout=None).order_by("name"))
    assert all(
        left > LONGEST_MS // 2 for key, left in lives(ormcache_redis).items() if b"tag" in key
    )


# Values


def test_what_is_too_long_is_not_stored(
    ormcache_redis: RedisServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """It takes so long to send that the store seemed to be away, for all readers."""
    author = Author.objects.create(name="a", slug="a")
    long = Article.objects.create(title="t", body="x" * (MOST_BYTES + 1), author=author)
    Article.objects.create(title="u", author=author)
    before = counters["oversized"], counters["store_error"], counters["list_wait"]
    reads = (
        lambda: Article.objects.get(pk=long.pk).body,
        lambda: [each.body for each in Article.objects.order_by("title")],
        lambda: list(Article.objects.order_by("title").values_list("body", flat=True)),
    )
    expected = [read() for read in reads]
    for _ in range(2):
        assert expected == [read() for read in reads]
    assert counters["oversized"] >= before[0] + 2
    assert before[1:] == (counters["store_error"], counters["list_wait"])
    assert not runtime.current().store.breaker.is_open
    with ormcache_redis.client() as redis:
        sizes = [redis.strlen(key) for key in redis.scan_iter() if redis.type(key) == b"string"]
        # Nobody waits for what nobody will store: this lease says so.
        (lease,) = redis.scan_iter("*:lease:*")
        assert b"L" == redis.get(lease)
    assert max(sizes) < MOST_BYTES
    Article.objects.filter(pk=long.pk).update(body="")
    assert "" == reads[0]()
    Article.objects.get(pk=long.pk)
    with django_assert_num_queries(0):
        assert ["", ""] == reads[1]()


# Commands


def test_many_rows_are_asked_for_in_parts(
    ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command for all keys holds up everybody else who asks the server."""
    monkeypatch.setattr(client, "MOST_AT_ONCE", 10)
    Author.objects.bulk_create(Author(name="n", slug=f"s{number:02}") for number in range(24))
    expected = list(Author.nocache.order_by("slug"))
    keys = [each.pk for each in expected]
    for _ in range(2):
        assert expected == list(Author.objects.order_by("slug"))
        assert expected == list(Author.objects.filter(pk__in=keys))
    ormcache_wire.reset()
    assert expected == list(Author.objects.filter(pk__in=keys))
    # With each goes the question whether it is still the primary that answers.
    assert 3 == ormcache_wire.round_trips
    assert {"MGET", "INFO"} == set(ormcache_wire.commands)
    Author.objects.filter(pk__in=keys).update(name="new")
    assert {"new"} == {each.name for each in Author.objects.filter(pk__in=keys)}
    assert {"new"} == {each.name for each in Author.objects.order_by("slug")}


def test_a_server_that_is_replaced_between_two_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What another server run says does not belong to what the first one said."""
    monkeypatch.setattr(client, "MOST_AT_ONCE", 10)
    Author.objects.bulk_create(Author(name="n", slug=f"s{number:02}") for number in range(24))
    expected = list(Author.nocache.order_by("slug"))

    def read() -> list[Author]:
        return list(Author.objects.filter(pk__in=[each.pk for each in expected]))

    read()
    store: Any = runtime.current().store
    attempt, epochs = store._attempt, iter([b"1" * 8, b"2" * 8])
    with monkeypatch.context() as patch:
        patch.setattr(store, "_attempt", lambda send: (next(epochs), attempt(send)[1]))
        errors = counters["store_error"]
        assert expected == read()
        assert errors + 1 == counters["store_error"]


def test_more_rows_than_are_looked_up_one_by_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    author = Author.objects.create(name="a", slug="a")
    many = Author.objects.filter(pk__in=range(author.pk, author.pk + MOST_NAMED + 1))
    for _ in range(2):
        with django_assert_num_queries(1):
            assert [author] == list(many.all())
    assert (f"it names more than {MOST_NAMED} rows",) == many.explain_cache().reasons
