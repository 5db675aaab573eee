"""Errors in the work of the cache, those of the application, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import Count, OuterRef, Prefetch, Sum
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext

import ormcache.queryset
from ormcache import runtime
from ormcache.analysis import dependencies, fingerprint
from ormcache.coherence.reader import Reader
from ormcache.exceptions import Corrupt, StoreError
from ormcache.reads import asked, entries, faults, pointers, related
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Category, Comment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def _absorbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the cache's own work are counted, as in production."""
    monkeypatch.setattr(faults, "are_raised", False)
    monkeypatch.setattr(faults, "_logged", set())


@pytest.fixture
def authors() -> list[Author]:
    return [Author.objects.create(name=f"n{i}", slug=f"s{i}") for i in range(4)]


# Errors of the cache's own work


def _fails(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("of the cache")


BROKEN = {
    "the key": (fingerprint, "walk"),
    "the digest": (fingerprint, "digest"),
    "a relation": (related, "_forward"),
    "the entry": (entries.ListEntry, "__init__"),
    "the look": (entries.ListEntry, "fetch"),
    "what it depends on": (dependencies, "of_query"),
    "the pointers": (asked.Asked, "pointers"),
    "the store": (entries.ListEntry, "store"),
    "rows": (pointers, "read_rows"),
    "rows of relations": (pointers, "follow"),
}


def keys() -> list[int]:
    return list(Article.nocache.order_by("pk").values_list("pk", flat=True))


READ: dict[str, Callable[[Any], Any]] = {
    "list": lambda manager: list(manager.select_related("author").order_by("title")),
    "by key": lambda manager: list(manager.filter(pk__in=keys()[:2]).select_related("author")),
    "get": lambda manager: manager.get(pk=keys()[0]),
    "get by another field": lambda manager: manager.get(title="t1"),
    "values": lambda manager: list(manager.order_by("title").values("title")),
    "count": lambda manager: manager.filter(views=0).count(),
    "exists": lambda manager: manager.filter(views=0).exists(),
    "aggregate": lambda manager: manager.aggregate(n=Count("pk")),
    "prefetch": lambda manager: [
        list(each.comments.all())
        for each in manager.prefetch_related(Prefetch("comments", Comment.objects.all()))
    ],
}


@pytest.mark.usefixtures("_absorbed")
@pytest.mark.parametrize("part", BROKEN)
def test_an_error_of_the_cache_is_a_miss(
    authors: list[Author],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every read answers as Django does; the error is counted, and logged once."""
    for number in range(3):
        Article.objects.create(title=f"t{number}", author=authors[number])
    expected = {name: read(Article.nocache) for name, read in READ.items()}
    before = counters["analysis_error"]
    owner, name = BROKEN[part]
    monkeypatch.setattr(owner, name, _fails)
    for _ in range(3):
        assert expected == {name: read(Article.objects) for name, read in READ.items()}
        Article.objects.all().clean()
        Article.objects.select_related("author").explain_cache()
    assert before < counters["analysis_error"]
    assert 1 == sum("ormcache.analysis.failed" in text for text in caplog.messages)


@pytest.mark.usefixtures("_absorbed")
def test_an_error_before_the_row_is_read(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:

    for name in ("named_pk", "read_row", "schema_on"):
        with monkeypatch.context() as patch:
            patch.setattr(ormcache.queryset, name, _fails)
            before = counters["analysis_error"]
            assert "s0" == Author.objects.get(pk=authors[0].pk).slug
            with pytest.raises(Author.DoesNotExist):
                Author.objects.get(pk=0)
            assert before + 2 == counters["analysis_error"]


def test_the_tests_see_such_errors(authors: list[Author], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "walk", _fails)
    with pytest.raises(ZeroDivisionError):
        list(Author.objects.all())


@pytest.mark.usefixtures("_absorbed")
def test_an_error_of_the_application_is_its_own(authors: list[Author]) -> None:
    """What a receiver raises while instances are made comes out, and is raised once: the query
    does not run again."""
    calls: list[int] = []

    def refuse(**kwargs: Any) -> None:
        calls.append(1)
        raise LookupError("of the application")

    list(Author.objects.order_by("name"))
    Author.objects.get(pk=authors[0].pk)
    before = counters["analysis_error"]
    post_init.connect(refuse, sender=Author)
    try:
        for read in (
            lambda: list(Author.objects.order_by("name")),
            lambda: list(Author.objects.order_by("slug")),
            lambda: list(Author.objects.filter(pk__in=[each.pk for each in authors])),
            lambda: Author.objects.get(pk=authors[0].pk),
        ):
            calls.clear()
            with pytest.raises(LookupError, match="of the application"):
                read()
            assert [1] == calls
    finally:
        post_init.disconnect(refuse, sender=Author)
    assert before == counters["analysis_error"]


# Errors of the application


class Opaque(Exception):
    """Of an execute wrapper."""


def forbid(*args: Any) -> Any:
    raise Opaque("no statements here")


def errors_of(read: Callable[[], Any]) -> tuple[list[type], str]:
    """The error a read ends with and its contexts, and its text."""
    try:
        read()
    except Exception as error:
        errors: list[Any] = [error]
    else:
        raise AssertionError("it does not fail")
    while errors[-1].__context__ is not None:
        errors.append(errors[-1].__context__)
    return [type(each) for each in errors], str(errors[0])


def failure(read: Callable[[], Any]) -> tuple[int, list[type], str]:
    """The statements a read sends before it fails, and ``errors_of`` it."""
    with CaptureQueriesContext(connection) as captured:
        errors = errors_of(read)
    sent = [each for each in captured if not (each["sql"] or "").startswith(_ASIDE)]
    return len(sent), *errors


def in_async(read: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return read()

    return async_to_sync(run)()


# The probe of a connection, and the transactions of announced writes.
_ASIDE = ("SELECT JSON(", "BEGIN", "COMMIT", "ROLLBACK")

UNKNOWN = "\ud800"  # No driver can encode it.

FAILING: dict[str, Callable[[Any, Any], Any]] = {
    "text, get": lambda _, categories: categories.get(pk=UNKNOWN),
    "text, get by column": lambda authors, _: authors.get(slug=UNKNOWN),
    "text, by key": lambda _, categories: list(categories.filter(pk__in=[UNKNOWN, "a"])),
    "text, one by key": lambda _, categories: list(categories.filter(pk=UNKNOWN)),
    "text, in_bulk": lambda _, categories: categories.in_bulk([UNKNOWN]),
    "text, list": lambda authors, _: list(authors.filter(name=UNKNOWN)),
    "text, count": lambda authors, _: authors.filter(name=UNKNOWN).count(),
    "text, exists": lambda authors, _: authors.filter(name=UNKNOWN).exists(),
    "text, values": lambda authors, _: list(authors.filter(name=UNKNOWN).values("pk")),
    "text, aggregate": lambda authors, _: authors.filter(name=UNKNOWN).aggregate(n=Count("pk")),
    "text, first": lambda authors, _: authors.filter(name=UNKNOWN).first(),
    "text, update": lambda authors, _: authors.filter(name=UNKNOWN).update(name="a"),
    "no field, aggregate": lambda authors, _: authors.aggregate(Sum("nope")),
    "no field, list": lambda authors, _: list(authors.order_by("name").filter(nope=1)),
    "outer, list": lambda authors, _: list(authors.filter(name=OuterRef("slug"))),
    "outer, get": lambda authors, _: authors.get(name=OuterRef("slug")),
    "outer, get by key": lambda authors, _: authors.get(pk=OuterRef("pk")),
    "outer, values": lambda authors, _: list(authors.filter(name=OuterRef("slug")).values("pk")),
    "outer, count": lambda authors, _: authors.filter(name=OuterRef("slug")).count(),
    "outer, exists": lambda authors, _: authors.filter(name=OuterRef("slug")).exists(),
    "outer, aggregate": lambda authors, _: authors.filter(name=OuterRef("slug")).aggregate(
        n=Count("pk")
    ),
    "raw, list": lambda authors, _: list(authors.extra(where=["nope"])),
    "raw, annotation": lambda authors, _: list(authors.annotate(x=RawSQL("nope", ()))),
    "raw, count": lambda authors, _: authors.extra(where=["nope"]).count(),
    "no row": lambda authors, _: authors.get(pk=0),
    "no row of a list": lambda authors, _: authors.get(name="nope"),
    "two rows": lambda authors, _: authors.get(pk__gt=0),
    "unknown column to update": lambda authors, _: authors.update(nope=1),
    "a row that breaks a rule": lambda authors, _: authors.create(name="n", slug="s0"),
    "an update that breaks a rule": lambda authors, _: authors.filter(slug="s1").update(slug="s0"),
}


@pytest.mark.usefixtures("_absorbed")
@pytest.mark.parametrize("name", FAILING)
def test_an_error_is_djangos_own(
    authors: list[Author], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same error after as many statements, without one of the cache as its context; it is no
    fault of the cache, and in no log."""
    Category.objects.create(slug="a", title="a")
    read = FAILING[name]
    expected = failure(partial(read, Author.nocache, Category.nocache))
    before = counters["analysis_error"]
    for _ in range(2):
        found = failure(partial(read, Author.objects, Category.objects))
        assert expected[1:] == found[1:]
        if "rows" not in name and "rule" not in name:
            # The rows a list points at are stored before get() counts them; MySQL is asked
            # which rows an UPDATE concerns.
            assert expected[0] >= found[0]
    assert before == counters["analysis_error"]
    assert [] == [each for each in caplog.records if each.name == "ormcache"]


@pytest.mark.usefixtures("_absorbed")
@pytest.mark.parametrize("within", ["async", "forbidden", "no connection"])
def test_a_statement_that_may_not_be_sent(
    authors: list[Author], within: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """In async code, under a wrapper that lets nothing pass, where connections are forbidden."""
    key = authors[0].pk
    reads: list[Callable[[Any], Any]] = [
        lambda manager: manager.get(pk=key),
        lambda manager: list(manager.filter(pk=key)),
        lambda manager: list(manager.order_by("name")),
        lambda manager: list(manager.values("name")),
        lambda manager: manager.count(),
        lambda manager: manager.exists(),
        lambda manager: manager.aggregate(n=Count("pk")),
    ]
    before = counters["analysis_error"]

    def fail(manager: Any) -> list[Any]:
        runtime.current().store.run([("FLUSHDB",)])
        if within == "async":
            return [in_async(partial(errors_of, partial(read, manager))) for read in reads]
        if within == "forbidden":
            with connection.execute_wrapper(forbid):
                return [failure(partial(read, manager)) for read in reads]
        with monkeypatch.context() as patch:
            connection.close()
            patch.setattr(connection, "ensure_connection", forbid)
            return [errors_of(partial(read, manager)) for read in reads]

    assert fail(Author.nocache) == fail(Author.objects)
    # The first read of a connection sets it up.
    list(Author.objects.all())
    assert fail(Author.nocache) == fail(Author.objects)
    assert before == counters["analysis_error"]
    assert [] == [each for each in caplog.records if each.name == "ormcache"]


@pytest.mark.usefixtures("_absorbed")
def test_the_context_while_the_store_is_away(
    authors: list[Author], ormcache_redis: RedisServer
) -> None:
    reads = [each for name, each in FAILING.items() if name.startswith("text")]
    expected = [failure(partial(read, Author.nocache, Category.nocache))[1:] for read in reads]
    for error in (StoreError("away"), Corrupt("nonsense")):

        def fails(*args: Any, error: Exception = error, **kwargs: Any) -> Any:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            for name in ("read_row", "read_rows", "read_entry"):
                patch.setattr(Reader, name, fails)
            found = [failure(partial(read, Author.objects, Category.objects)) for read in reads]
        assert expected == [each[1:] for each in found]
