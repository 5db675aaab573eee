"""Errors in the work of the cache, those of the application, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Count, Prefetch
from django.db.models.signals import post_init

from ormcache.query import asked, dependencies, faults, fingerprint, lists, pointers, related
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Comment

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
    "the entry": (lists.ListEntry, "__init__"),
    "the look": (lists.ListEntry, "fetch"),
    "what it depends on": (dependencies, "of_query"),
    "the pointers": (asked.Asked, "pointers"),
    "the store": (lists.ListEntry, "store"),
    "rows": (pointers, "read_rows"),
    "rows of relations": (pointers, "follow"),
    "revalidation": (lists.ListEntry, "revalidate"),
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
    from ormcache.query import queryset

    for name in ("named_pk", "read_row", "schema_on"):
        with monkeypatch.context() as patch:
            patch.setattr(queryset, name, _fails)
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
