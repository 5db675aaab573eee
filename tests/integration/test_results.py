"""What the cache answers is what Django answers: rows, order, identity of values and errors."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Count, Max, Prefetch, Q, Sum
from django.db.models.signals import post_init, pre_init
from django.db.models.sql import Query
from django.db.transaction import TransactionManagementError
from pytest_django import DjangoAssertNumQueries

import ormcache
from ormcache.reads import entries
from ormcache.stats import counters
from tests.integration.interleave import after, once
from tests.matrixapp.models import GreatHall, Hall, Wing
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import (
    Article,
    Attachment,
    Author,
    City,
    Comment,
    Country,
    Document,
    Draft,
    Profile,
    Restaurant,
    Tag,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def authors() -> list[Author]:
    return [Author.objects.create(name=f"n{i}", slug=f"s{i}") for i in range(4)]


@pytest.fixture
def article(authors: list[Author]) -> Article:
    return Article.objects.create(title="t", author=authors[0])


def as_django(read: Callable[[], Any]) -> Any:
    """What Django reads; the cache has to agree when it misses, fills and hits."""
    with ormcache.bypass():
        expected = read()
    for _ in range(3):
        assert expected == read()
    return expected


def is_hit(read: Callable[[], Any]) -> bool:
    """Whether the cache answers what has been read before."""
    read()
    saved = counters["sql_saved"]
    read()
    return saved < counters["sql_saved"]


# Which rows, in which order


def test_an_order_by_many_tags_repeats_the_row(article: Article) -> None:
    """An order through a many-to-many relation finds the row once for each tag; it was returned
    once when the query named it by its key."""
    article.tags.add(Tag.objects.create(name="a"), Tag.objects.create(name="b"))
    of = Article.objects.filter(pk=article.pk)
    assert 2 == len(as_django(lambda: list(of.order_by("tags__name"))))
    assert 1 == len(as_django(lambda: list(of.order_by("-title"))))


def test_extra_tables_multiply_the_row(authors: list[Author]) -> None:
    """A table added by ``extra`` repeats each row; a row named by its key was returned once."""
    Tag.objects.create(name="a")
    Tag.objects.create(name="b")
    crossed = Author.objects.extra(tables=["testapp_tag"]).filter(pk=authors[0].pk)
    assert 2 == len(as_django(lambda: list(crossed.all())))


def test_several_objects_where_one_is_wanted(authors: list[Author]) -> None:
    """The error is Django's own, on a hit, too."""
    wanted = Author.objects.filter(active=True)
    with ormcache.bypass(), pytest.raises(Author.MultipleObjectsReturned) as expected:
        wanted.get()
    for _ in range(3):
        with pytest.raises(Author.MultipleObjectsReturned) as raised:
            wanted.get()
        assert str(expected.value) == str(raised.value)
    with pytest.raises(Author.DoesNotExist, match="Author matching query does not exist"):
        wanted.get(pk=0)


def test_nothing_is_asked_for_nothing(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """``none()`` and an empty ``__in`` need no database, as in Django."""
    nothing = Author.objects.none()
    with django_assert_num_queries(0):
        for empty in (nothing, Author.objects.filter(pk__in=[]), nothing.order_by("name")):
            assert [] == list(empty.all())
            assert [] == list(empty.values("name"))
            assert 0 == empty.count()
            assert not empty.exists()
            assert empty.first() is None
        assert {} == Author.objects.in_bulk([])
    assert {"n": 0, "m": None} == as_django(lambda: nothing.aggregate(n=Count("pk"), m=Max("pk")))
    assert 4 == as_django(lambda: len(Author.objects.exclude(pk__in=[])))


def test_in_bulk_by_a_unique_field(authors: list[Author]) -> None:
    """The result is keyed by that field's values, and leaves out what does not exist."""

    def read() -> dict[str, Author]:
        return Author.objects.in_bulk(["s1", "s3", "none"], field_name="slug")

    assert {"s1": authors[1], "s3": authors[3]} == as_django(read)
    assert 4 == len(as_django(lambda: Author.objects.in_bulk(field_name="slug")))
    Author.objects.filter(slug="s1").update(slug="none")
    assert {"none": authors[1], "s3": authors[3]} == as_django(read)


@pytest.mark.postgres
def test_distinct_on_fields(authors: list[Author], article: Article) -> None:
    """``DISTINCT ON`` keeps the first row of each group in the order of the query."""
    other = Article.objects.create(title="u", author=authors[0], views=5)
    Article.objects.create(title="v", author=authors[1])

    def read() -> list[str]:
        found = Article.objects.order_by("author", "-views").distinct("author")
        return [each.title for each in found]

    assert ["u", "v"] == as_django(read)
    Article.objects.filter(pk=other.pk).update(views=-1)
    assert ["t", "v"] == as_django(read)


def test_an_iterator_asks_the_database(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """``iterator()`` reads past the cache and stores nothing."""
    fills = counters["row_fill"], counters["list_fill"]
    found = Author.objects.order_by("pk")
    for _ in range(2):
        with django_assert_num_queries(1):
            assert authors == list(found.iterator(chunk_size=2))
    assert fills == (counters["row_fill"], counters["list_fill"])


# Values of aggregates


def test_aggregates_of_the_same_name(authors: list[Author]) -> None:
    """A named expression called like the default alias of another one was taken for it."""
    last = authors[-1].pk
    assert 4 == as_django(lambda: Author.objects.aggregate(Count("id"))["id__count"])
    assert {"id__count": last} == as_django(lambda: Author.objects.aggregate(id__count=Max("id")))
    assert {"id__max": last} == as_django(lambda: Author.objects.aggregate(Max("id")))
    assert {"id__max": 4} == as_django(lambda: Author.objects.aggregate(id__max=Count("id")))
    as_django(lambda: Author.objects.aggregate(Count("id"), id__count=Max("id")))
    as_django(lambda: Author.objects.aggregate(Sum("id"), Max("id")))
    as_django(lambda: Author.objects.aggregate(Max("id"), Sum("id")))


# Instances


def test_a_profile_that_went_to_another_author(
    authors: list[Author], article: Article, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pointer of the list was followed though the row in front of it had changed since: the
    author came with the profile of another."""
    ann, bob = authors[:2]
    for author in (ann, bob):
        Profile.objects.create(author=author, biography=author.name)

    def read() -> tuple[str, str]:
        found = Article.objects.select_related("author__profile").get(title="t")
        return found.author.name, found.author.profile.biography

    assert ("n0", "n0") == as_django(read)
    with monkeypatch.context() as patch:
        move = once(lambda: Article.objects.filter(pk=article.pk).update(author=bob))
        after(patch, entries.ListEntry, "read", move)
        name, biography = read()
    assert name == biography
    assert ("n1", "n1") == as_django(read)


def test_a_foreign_key_to_another_column_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A city came with the country it had belonged to when its list was stored."""
    for code in ("x", "y"):
        Country.objects.create(code=code, name=code.upper())
    City.objects.create(country_id="x", name="c")

    def read() -> tuple[str, str]:
        (city,) = City.objects.select_related("country")
        return city.country_id, city.country.code

    assert ("x", "x") == as_django(read)
    with monkeypatch.context() as patch:
        move = once(lambda: City.objects.filter(name="c").update(country="y"))
        after(patch, entries.ListEntry, "read", move)
        here, there = read()
    assert here == there
    assert ("y", "y") == as_django(read)


def test_mutable_values_belong_to_one_instance() -> None:
    """Two rows that lead to the same document shared its JSON value, so that changing it in one
    instance changed the other."""
    document = Document.objects.create(content={"words": []})
    Attachment.objects.create(document=document)
    Attachment.objects.create(document=document)
    for _ in range(3):
        one, other = Attachment.objects.select_related("document").order_by("pk")
        one.document.content["words"].append("changed")
        assert {"words": []} == other.document.content
        one, other = Attachment.objects.prefetch_related("document").order_by("pk")
        assert {"words": []} == other.document.content
    crossed = Document.objects.filter(attachment__isnull=False)
    for _ in range(3):
        first, second = crossed
        first.content["words"].append("changed")
        assert {"words": []} == second.content
    assert {"words": []} == Document.objects.get(pk=document.pk).content


def test_a_missing_reverse_one_to_one(authors: list[Author]) -> None:
    """Without a profile the attribute raises, whether or not ``select_related`` asked for it."""
    Profile.objects.create(author=authors[1], biography="b")
    missing = Author.profile.RelatedObjectDoesNotExist
    for _ in range(3):
        none, one, *_ = Author.objects.select_related("profile").order_by("pk")
        assert not hasattr(none, "profile")
        with pytest.raises(missing, match="Author has no profile"):
            _ = none.profile
        assert "b" == one.profile.biography
        with pytest.raises(missing, match="Author has no profile"):
            _ = Author.objects.get(pk=none.pk).profile


def test_a_child_of_another_row_is_what_django_makes_of_it() -> None:
    """Whatever that is: it takes the inherited columns from the row the relation begins at."""
    Wing.objects.create(name="wing", beside=Hall.objects.create(name="hall"))
    for queryset in (Hall.objects.order_by("pk"), Wing.objects.all()):
        list(queryset)
    django = Hall.nocache.select_related("wing_beside").order_by("pk")[0].wing_beside
    for _ in range(2):
        found = Hall.objects.select_related("wing_beside").order_by("pk")[0].wing_beside
        assert django.__dict__ | {"_state": 0} == found.__dict__ | {"_state": 0}


@pytest.mark.parametrize("model", [Hall, GreatHall])
@pytest.mark.parametrize("path", ["wing", "wing_beside"])
def test_no_child_table_is_followed_from_the_cache(model: Any, path: str) -> None:
    assert not model.objects.select_related(path).explain_cache().cached


@pytest.mark.parametrize("path", ["profile", "profile__author"])
def test_the_way_back_leads_to_where_it_began(authors: list[Author], path: str) -> None:
    Profile.objects.create(author=authors[0])
    for manager in (Author.nocache, Author.objects, Author.objects):
        found: Author = manager.select_related(path).get(pk=authors[0].pk)
        assert found is found.profile.author


def test_prefetch_to_an_attribute(
    article: Article, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The attribute is a list, in the order of the inner queryset, and follows its writes."""
    for text in ("b", "a"):
        Comment.objects.create(article=article, text=text)
    inner = Comment.objects.filter(text__lt="x").order_by("text")

    def read() -> list[list[str]]:
        found: Any = Article.objects.prefetch_related(
            Prefetch("comments", inner, to_attr="sorted_comments")
        )
        return [[comment.text for comment in each.sorted_comments] for each in found]

    assert [["a", "b"]] == as_django(read)
    with django_assert_num_queries(0):
        read()
    Comment.objects.create(article=article, text="aa")
    assert [["a", "aa", "b"]] == as_django(read)


@pytest.mark.parametrize("name", ["only", "defer", "only the key", "both"])
def test_deferred_fields(authors: list[Author], name: str) -> None:
    """An instance lacks the same fields as Django's, and loads them when they are asked for."""
    everyone = Author.objects.order_by("pk")
    queryset = {
        "only": everyone.only("name"),
        "defer": everyone.defer("slug", "created"),
        "only the key": everyone.only("pk"),
        "both": everyone.only("name", "slug").defer("slug"),
    }[name]
    deferred = as_django(lambda: [each.get_deferred_fields() for each in queryset.all()])
    assert deferred[0]
    assert authors == as_django(lambda: list(queryset.all()))
    as_django(lambda: [sorted(each.__dict__) for each in queryset.all()])
    assert is_hit(lambda: list(queryset.all()))
    (first, *_) = queryset.all()
    assert "s0" == first.slug
    assert authors[0].created == first.created


def test_an_instance_knows_where_it_comes_from(authors: list[Author], article: Article) -> None:
    """``_state`` says what it says after a load from the database."""

    def states() -> list[tuple[bool, str | None]]:
        got = Author.objects.get(pk=authors[0].pk)
        listed, *_ = Author.objects.order_by("pk")
        joined = Article.objects.select_related("author").get(title="t")
        found = (got, listed, joined, joined.author, listed.articles.get())
        return [(each._state.adding, each._state.db) for each in found]

    assert [(False, "default")] * 5 == as_django(states)
    got = Author.objects.get(pk=authors[0].pk)
    got.name = "saved"
    got.save(force_update=True)
    assert "saved" == Author.objects.get(pk=authors[0].pk).name


def test_overridden_construction_on_a_hit() -> None:
    """A model's own ``__init__`` and ``from_db`` are called as for a row of the database."""
    draft = Draft.objects.create(title="d")

    def read() -> list[Any]:
        got: Any = Draft.objects.get(pk=draft.pk)
        found: Any = [got, *Draft.objects.order_by("pk"), *Draft.objects.only("pk")]
        return [(each.made_with, each.title_loaded) for each in found]

    assert [(2, "d"), (2, "d")] == as_django(read)[:2]
    assert is_hit(read)


@pytest.fixture
def noted() -> Iterator[list[str]]:
    """The signals of instances of Author that are made while the test runs."""
    names: list[str] = []

    def before(**kwargs: Any) -> None:
        names.append("pre")

    def afterwards(instance: Author, **kwargs: Any) -> None:
        names.append(f"post {instance.name}")

    pre_init.connect(before, sender=Author)
    post_init.connect(afterwards, sender=Author)
    try:
        yield names
    finally:
        pre_init.disconnect(before, sender=Author)
        post_init.disconnect(afterwards, sender=Author)


def test_receivers_of_init_signals_on_a_hit(noted: list[str]) -> None:
    """They hear of instances made from the cache, and of no more than Django makes."""
    author = Author.objects.create(name="a", slug="a")

    def read() -> list[str]:
        noted.clear()
        Author.objects.get(pk=author.pk)
        list(Author.objects.order_by("pk"))
        return list(noted)

    assert ["pre", "post a"] * 2 == as_django(read)
    assert is_hit(read)


# Options of a queryset


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda queryset: pickle.loads(pickle.dumps(queryset))]
)
def test_copies_of_a_queryset_keep_its_options(
    authors: list[Author], copied: Callable[[Any], Any]
) -> None:
    """Copying options made them fail, or count as options that were never given."""
    for queryset in (
        Author.objects.order_by("pk"),
        Author.objects.order_by("pk").cache(key="k"),
        Author.objects.order_by("pk").cache(timeout=50, depends_on=[Tag]),
    ):
        twin = copied(queryset)
        assert authors == list(twin.all())
        assert authors == list(twin)
        assert queryset._cache_options == twin._cache_options
        assert is_hit(queryset.all().execute)
        twin = copied(queryset)
        saved = counters["sql_saved"]
        assert authors == list(twin.all())
        assert saved < counters["sql_saved"]
        assert authors[0] == copied(Author.objects.all()).get(pk=authors[0].pk)


def test_slices_of_a_named_list(authors: list[Author]) -> None:
    """One key answered every page of the list with the page that was read first."""
    named = Author.objects.order_by("pk").cache(key="k")
    for _ in range(2):
        assert authors == [named[i] for i in range(4)]
        assert authors[:2] == list(named[:2])
        assert authors[2:] == list(named[2:4])
        assert authors[2:] == list(named[2:])
        assert authors[0] == named.first()
        assert authors[3] == named.last()
        assert authors == list(named.all())
    assert is_hit(lambda: list(named[:2]))


def test_get_from_a_named_list(authors: list[Author]) -> None:
    """One key answered every ``get`` with the row that was asked for first."""
    named = Author.objects.order_by("pk").cache(key="k")
    for _ in range(2):
        assert authors == [named.get(pk=author.pk) for author in authors]
        assert authors == [named.get(slug=author.slug) for author in authors]
        assert authors[1] == named.filter(slug="s1").cache(key="one").get()


def test_a_list_depends_on_a_child_model(authors: list[Author]) -> None:
    """A change in the parent's table of a declared model left the list as it was."""
    restaurant = Restaurant.objects.create(name="old")

    def read() -> list[Author]:
        return list(Author.objects.cache(depends_on=[Restaurant]))

    assert is_hit(read)
    restaurant.name = "new"
    restaurant.save(update_fields=["name"])
    misses = counters["list_miss"]
    read()
    assert misses + 1 == counters["list_miss"]


def test_clean_asks_the_database_nothing(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Dropping an entry read the rows it depends on."""
    queryset = Article.objects.cache(depends_on=[authors[0]])
    with django_assert_num_queries(0):
        queryset.clean()
    list(queryset.all())
    assert is_hit(lambda: list(queryset.all()))
    with django_assert_num_queries(0):
        queryset.clean()
    assert [] == list(queryset.all())


# Connections and threads


def test_a_broken_transaction_is_not_answered(authors: list[Author]) -> None:
    """A block that has to be rolled back was answered from the cache, where Django raises."""
    pk = authors[0].pk
    reads: list[Callable[[], Any]] = [
        lambda: Author.objects.get(pk=pk),
        lambda: list(Author.objects.all()),
        lambda: Author.objects.count(),
        lambda: Author.objects.exists(),
        lambda: list(Author.objects.values("name")),
        lambda: Author.objects.aggregate(Max("pk")),
        lambda: Author.objects.in_bulk([pk]),
    ]
    for read in reads:
        read()
        read()
    with transaction.atomic():
        transaction.set_rollback(True)
        for read in reads:
            with pytest.raises(TransactionManagementError):
                read()
    assert authors[0] == Author.objects.get(pk=pk)


def test_a_queryset_shared_by_threads(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that counted one queryset at a time left it tied to a database."""
    shared = Author.objects.filter(active=True)
    original: Any = Query.get_count
    inside = {name: threading.Event() for name in ("first", "second")}
    counted: list[int] = []

    def get_count(query: Any, using: str) -> Any:
        # The second begins while the first is at it, and ends after it.
        inside[threading.current_thread().name].set()
        if threading.current_thread() is first:
            inside["second"].wait(10)
        else:
            first.join(10)
        return original(query, using)

    def work() -> None:
        try:
            counted.append(shared.count())
        finally:
            connections.close_all()

    monkeypatch.setattr(Query, "get_count", get_count)
    first, second = (threading.Thread(target=work, name=name, daemon=True) for name in inside)
    first.start()
    assert inside["first"].wait(10)
    second.start()
    for thread in (first, second):
        thread.join(20)
    assert [4, 4] == counted
    assert shared._db is None
    assert connection.alias == shared.db


def test_a_raw_condition_alone_is_left_to_the_database() -> None:
    """To look for keys in such a query must not spoil it: it names no table yet."""
    Tag.objects.create(name="a")
    for _ in range(2):
        assert ["a"] == [tag.name for tag in Tag.objects.extra(where=["name = 'a'"])]
    assert 1 == Tag.objects.extra(where=["name = 'a'"]).update(name="b")
    assert ["b"] == [tag.name for tag in Tag.objects.all()]


def test_a_set_finds_the_list_of_a_set_in_another_order(authors: list[Author]) -> None:
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    slugs = [f"s{i}" for i in range(4)]
    hits, misses = counters["list_hit"], counters["list_miss"]

    def aggregate(views: set[int]) -> dict[str, Any]:
        return Article.objects.aggregate(n=Count("pk", filter=Q(views__in=views)))

    assert aggregate(one) == aggregate(other)
    assert (misses + 1, hits + 1) == (counters["list_miss"], counters["list_hit"])
    n = Count("pk", filter=Q(views__in=other))
    assert "hit" == Article.objects.explain_cache("aggregate", n=n).state
    Author.objects.in_bulk(slugs, field_name="slug")
    assert set(slugs) == set(Author.objects.in_bulk(frozenset(slugs), field_name="slug"))
    assert (misses + 2, hits + 2) == (counters["list_miss"], counters["list_hit"])
