"""The verbs of a queryset: cache, reset, clean, execute; and what surrounds them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, models
from django.test import override_settings
from pytest_django import DjangoAssertNumQueries

import ormcache
from ormcache.managers import CachedQuerySet, CacheManager
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Category, Media, Tag, Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def tags() -> list[Tag]:
    return [Tag.objects.create(name=name) for name in ("a", "b", "c")]


def unseen(sql: str, *params: Any) -> None:
    """A write that Django does not see."""
    execute, connection.execute_wrappers = connection.execute_wrappers, []
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
    finally:
        connection.execute_wrappers = execute


def test_cache_leaves_its_queryset_alone(tags: list[Tag]) -> None:
    queryset = Tag.objects.filter(name__lt="c")
    keyed = queryset.cache(key="k", timeout=5)
    assert queryset._cache_options.key is None
    assert "k" == keyed._cache_options.key
    assert "k" == keyed.filter(name="a").order_by("pk")._cache_options.key


def test_a_key_replaces_the_values(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    def read(bound: str) -> list[str]:
        queryset = Author.objects.filter(name__lte=bound).order_by("name").cache(key="front")
        return [author.name for author in queryset]

    Author.objects.bulk_create(Author(name=name, slug=name) for name in "abc")

    assert ["a", "b"] == read("b")
    with django_assert_num_queries(0):
        # The same key and shape of query: the same entry.
        assert ["a", "b"] == read("c")
    Author.objects.create(name="aa", slug="aa")
    assert ["a", "aa", "b", "c"] == read("c")


def test_a_key_serves_one_shape_of_query(tags: list[Tag]) -> None:
    assert ["a", "b", "c"] == [tag.name for tag in Tag.objects.cache(key="k")]
    assert ["c"] == [tag.name for tag in Tag.objects.filter(name="c").cache(key="k")]
    assert [("a",), ("b",), ("c",)] == list(Tag.objects.cache(key="k").values_list("name"))
    assert 3 == Tag.objects.cache(key="k").count()
    assert [] == list(Author.objects.cache(key="k"))


def test_a_timeout_ends_an_entry(tags: list[Tag], ormcache_redis: RedisServer) -> None:
    list(Tag.objects.cache(key="k", timeout=timedelta(seconds=50)))
    with ormcache_redis.client() as client:
        (key,) = client.keys("*named*")
        # It is kept for a while beyond its expiry, to be served while one reader refreshes it.
        assert 54_000 < client.pttl(key) <= 60_000
    list(Tag.objects.cache(key="forever", timeout=None))
    with ormcache_redis.client() as client:
        (key,) = client.keys("*named::forever")
        assert 29 * 86_400_000 < client.pttl(key) <= 30 * 86_400_000


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"key": 5}, TypeError, "cache(key=…) must be a string, not int"),
        ({"key": ""}, ValueError, "cache(key=…) must have 1 to"),
        ({"timeout": -1}, ValueError, "cache(timeout=…) must be above 0 and at most"),
        ({"timeout": 1e12}, ValueError, "cache(timeout=…) must be above 0 and at most"),
        ({"timeout": 0}, ValueError, "not 0. None is no expiry."),
        ({"timeout": -0.0}, ValueError, "must be above 0"),
        ({"timeout": 10**400}, ValueError, f"not 1{'0' * 28}…. None"),
        ({"timeout": float("inf")}, ValueError, "must be above 0 and at most 315360000 seconds"),
        ({"timeout": timedelta(0)}, ValueError, "must be above 0"),
        ({"timeout": timedelta(-1)}, ValueError, "must be above 0"),
        ({"timeout": timedelta.max}, ValueError, "must be above 0"),
        ({"timeout": True}, ValueError, "must be seconds, a timedelta or None, not bool"),
        ({"timeout": Decimal(5)}, ValueError, "a timedelta or None, not Decimal"),
        ({"timeout": "5"}, ValueError, "cache(timeout=…) must be seconds"),
        ({"timeout": float("nan")}, ValueError, "cache(timeout=…) must be above 0"),
        ({"key": b"k"}, TypeError, "cache(key=…) must be a string, not bytes"),
        ({"key": "k" * 10_001}, ValueError, "must have 1 to 10000 characters, not 10001."),
        ({"kay": "k"}, TypeError, "unexpected keyword argument 'kay'"),
        ({"depends_on": [Tag(name="new")]}, ValueError, "unsaved testapp.Tag: save it first"),
        ({"depends_on": "tag"}, TypeError, "not 'tag'. Name the model itself, not its label."),
        ({"depends_on": ["tag"]}, TypeError, "takes instances, models and querysets, not 'tag'"),
        ({"depends_on": b"tag"}, TypeError, "instances, models and querysets, not b'tag'"),
        ({"depends_on": None}, TypeError, "instances, models and querysets, not None"),
        ({"depends_on": [None]}, TypeError, "instances, models and querysets, not None"),
        ({"depends_on": [int]}, TypeError, "instances, models and querysets, not <class 'int'>"),
        ({"depends_on": [[Tag]]}, TypeError, "Name them one by one."),
        ({"depends_on": {"a": Tag}}, TypeError, "Name them one by one."),
        ({"depends_on": models.Model}, TypeError, "models and querysets, not <class"),
        ({"depends_on": Media}, TypeError, "and Media is abstract: it has no table"),
        ({"depends_on": Tag.objects}, TypeError, "Write Tag.objects.all()."),
        (
            {"depends_on": Tag.objects.raw("SELECT 1")},
            TypeError,
            "not a RawQuerySet of testapp.Tag. Name the models it reads.",
        ),
        (
            {"depends_on": Author.objects.using("other")},
            ValueError,
            "a CachedQuerySet of testapp.Author of the database 'other', but the queryset reads "
            "'default'",
        ),
    ],
)
def test_wrong_options_are_refused(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        Tag.objects.cache(**arguments)
    assert text in str(raised.value)


def test_what_stands_in_another_database_is_no_dependency(tags: list[Tag]) -> None:
    """It would be looked for in the wrong one, and no write would ever be noticed."""
    elsewhere = Author(pk=1)
    elsewhere._state.db = "other"
    with pytest.raises(ValueError, match=r"of the database 'other', but the queryset reads"):
        Tag.objects.cache(depends_on=elsewhere)
    there = Tag.objects.using("other").cache(depends_on=[elsewhere, Author])
    with pytest.raises(ValueError, match=r"call using\(\) before cache\(\)"):
        there.using("default")
    with override_settings(DATABASE_ROUTERS=[AuthorsElsewhere()]):
        assert "other" == Author.objects.db
        with pytest.raises(ValueError, match=r"of the database 'other'"):
            Tag.objects.cache(depends_on=Author)
        with pytest.raises(ValueError, match=r"of the database 'other'"):
            Tag.objects.cache(depends_on=Author.objects.all())


class AuthorsElsewhere:
    """A router."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return "other" if model is Author else None

    db_for_write = db_for_read


@pytest.mark.parametrize(
    "on",
    [
        lambda: Tag.nocache.all()[:3],
        lambda: Tag.objects.union(Tag.objects.all()),
        lambda: Visitor.objects.all(),
        lambda: [Visitor, Visitor(pk=1)],
        lambda: (model for model in (Author, Tag)),
        lambda: {Author},
        lambda: [],
    ],
    ids="slice union plain instance generator set nothing".split(),
)
def test_what_may_be_depended_on(
    tags: list[Tag], on: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    queryset = Tag.objects.filter(name="a").cache(depends_on=on())
    assert tags[:1] == list(queryset.all())
    with django_assert_num_queries(0):
        assert tags[:1] == list(queryset.all())


def test_a_row_that_is_gone_stores_nothing(tags: list[Tag]) -> None:
    """Nothing can prove that it is still what it was."""
    author = Author.objects.create(name="Ann", slug="ann")
    queryset = Tag.objects.filter(name="a").cache(depends_on=[author])
    Author.objects.filter(pk=author.pk).delete()
    fills = counters["list_fill"]
    assert tags[:1] == list(queryset.all())
    assert fills == counters["list_fill"]
    author.delete()
    with pytest.raises(ValueError, match=r"If it was deleted, name its model"):
        Tag.objects.cache(depends_on=[author])


def test_depends_on_an_instance(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    author = Author.objects.create(name="A", slug="a")
    other = Author.objects.create(name="B", slug="b")
    queryset = Tag.objects.filter(name="a").cache(depends_on=[author])
    list(queryset.all())
    with django_assert_num_queries(0):
        list(queryset.all())
    other.save()
    with django_assert_num_queries(0):
        list(queryset.all())
    fills = counters["list_fill"]
    Author.objects.filter(pk=author.pk).update(active=False)
    list(queryset.all())
    assert fills + 1 == counters["list_fill"]


@pytest.mark.parametrize("what", ["model", "queryset", "plain"])
def test_depends_on_a_table(tags: list[Tag], what: str) -> None:
    from django.contrib.contenttypes.models import ContentType

    on: Any = {
        "model": Author,
        "queryset": Author.objects.filter(active=True),
        "plain": ContentType,
    }[what]
    queryset = Tag.objects.filter(name="a").cache(depends_on=on)
    list(queryset.all())
    fills = counters["list_fill"]
    list(queryset.all())
    assert fills == counters["list_fill"]
    if what == "plain":
        ContentType.objects.create(app_label="x", model="y")
    else:
        Author.objects.create(name="A", slug="a")
    list(queryset.all())
    assert fills + 1 == counters["list_fill"]


def test_reset_runs_the_sql_and_overwrites(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    queryset = Tag.objects.filter(name__lt="c")
    assert 2 == len(queryset.all())
    unseen("DELETE FROM testapp_tag WHERE name = 'b'")
    with django_assert_num_queries(0):
        assert 2 == len(queryset.all())
    assert 1 == len(queryset.reset())
    with django_assert_num_queries(0):
        assert 1 == len(queryset.all())


def test_clean_drops_the_entry_without_sql(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    queryset = Tag.objects.filter(name__lt="c")
    values = queryset.values_list("name", flat=True)
    list(queryset.all())
    list(values.all())
    with django_assert_num_queries(0):
        assert queryset.clean() is None  # type: ignore[func-returns-value]
        list(values.all())
    with django_assert_num_queries(1):
        list(queryset.all())


def test_execute_evaluates_now(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    queryset = Tag.objects.filter(name__lt="c")
    assert queryset.execute() is None  # type: ignore[func-returns-value]
    with django_assert_num_queries(0):
        assert ["a", "b"] == [tag.name for tag in queryset]
    Tag.objects.filter(name="a").delete()
    assert 2 == len(queryset)
    queryset.execute()
    assert 1 == len(queryset)


def test_the_twins_for_async(tags: list[Tag]) -> None:
    async def read() -> tuple[Any, ...]:
        queryset = Tag.objects.order_by("name")
        await queryset.aexecute()
        first = await Tag.objects.aget(pk=tags[0].pk)
        names = [tag.name async for tag in queryset]
        count = await queryset.acount()
        there = await queryset.aexists()
        await queryset.aclean()
        await ormcache.ainvalidate(Tag)
        with ormcache.bypass():
            bypassed = await Tag.objects.aget(pk=tags[0].pk)
        # The thread that async code runs the ORM in keeps its connection.
        await sync_to_async(connections.close_all)()
        return first.name, names, count, there, bypassed.name

    assert ("a", ["a", "b", "c"], 3, True, "a") == asyncio.run(read())


@pytest.mark.parametrize(
    "target",
    [
        lambda tags: tags[0],
        lambda tags: Tag.objects.filter(name="x"),
        lambda tags: Tag.nocache.order_by("name")[:5],
        lambda tags: Tag,
    ],
    ids=["instance", "queryset", "slice", "model"],
)
def test_invalidate_after_an_unseen_write(tags: list[Tag], target: Any) -> None:
    def read() -> tuple[str, list[str]]:
        return Tag.objects.get(pk=tags[0].pk).name, [tag.name for tag in Tag.objects.all()]

    read()
    unseen("UPDATE testapp_tag SET name = 'x' WHERE name = 'a'")
    assert ("a", ["a", "b", "c"]) == read()
    ormcache.invalidate(target(tags))
    assert ("x", ["b", "c", "x"]) == read()


@pytest.mark.parametrize(
    "target", [5, "testapp.Tag", None, int, models.Model, Media, Tag.objects, [Tag], b"", {}]
)
def test_invalidate_takes_nothing_else(target: Any) -> None:
    with pytest.raises(TypeError, match="takes instances, models and querysets"):
        ormcache.invalidate(target)


def test_invalidate_takes_no_unsaved_instance() -> None:
    with pytest.raises(ValueError, match=r"invalidate\(\) was given an unsaved testapp.Tag"):
        ormcache.invalidate(Tag(name="new"))


def test_always_from_the_database(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tag = tags[0]
    reads: list[Any] = [
        lambda: tag.refresh_from_db(),
        lambda: Tag.nocache.get(pk=tag.pk),
        lambda: list(Tag.objects.filter(pk=tag.pk).iterator()),
        lambda: list(Tag.objects.raw("SELECT * FROM testapp_tag")),
    ]
    for read in reads:
        Tag.objects.get(pk=tag.pk)
        with django_assert_num_queries(1):
            read()
    with ormcache.bypass(), django_assert_num_queries(2):
        Tag.objects.get(pk=tag.pk)
        list(Tag.objects.all())


def test_a_missing_row_says_what_django_says() -> None:
    with pytest.raises(Tag.DoesNotExist) as cached:
        Tag.objects.get(pk=1)
    with pytest.raises(Tag.DoesNotExist) as plain:
        Tag.nocache.get(pk=1)
    assert str(plain.value) == str(cached.value)
    odd: list[Any] = [2**70, -(2**70), "1", 1.0, True, None]
    for pk in odd:
        assert Tag.objects.filter(pk=pk).first() is None


class ShortQuerySet(CachedQuerySet[Any]):
    def short(self) -> Any:
        return self.filter(name__lt="c")


class ShortManager(CacheManager.from_queryset(ShortQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(name="a")


def test_managers_and_querysets_of_ones_own(
    tags: list[Tag], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    manager: Any = ShortManager()
    manager.model = Tag
    assert ["b"] == [tag.name for tag in manager.short()]
    with django_assert_num_queries(0):
        assert ["b"] == [tag.name for tag in manager.short()]
    with pytest.raises(Tag.DoesNotExist):
        manager.get(pk=tags[0].pk)
    with pytest.raises(TypeError, match="needs a subclass of CachedQuerySet"):
        CacheManager.from_queryset(models.QuerySet)


def test_a_list_may_hold_a_row_twice(tags: list[Tag]) -> None:
    author = Author.objects.create(name="A", slug="a")
    article = Article.objects.create(title="t", author=author)
    article.tags.set(tags)
    for _ in range(2):
        found = list(Article.objects.filter(tags__isnull=False))
        assert [article.pk] * 3 == [each.pk for each in found]
        assert 3 == len({id(each) for each in found})


def test_text_keys_are_cached_where_equality_is_bytewise(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    Category.objects.create(slug="news", title="News")
    Category.objects.get(pk="news")
    expected = 1 if connection.vendor == "mysql" else 0
    with django_assert_num_queries(expected):
        assert "News" == Category.objects.get(pk="news").title
