"""What a read and a write cost, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from ormcache.coherence import flight
from tests.plugins.wire import Wire
from tests.testapp.models import Article, Author, Profile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def articles(ormcache_wire: Wire) -> list[Article]:
    author = Author.objects.create(name="Ann", slug="ann")
    Profile.objects.create(author=author, biography="writes")
    return [
        Article.objects.create(title=f"No. {i}", author=author, published=True) for i in range(20)
    ]


def warm(read: Callable[[], Any]) -> None:
    read()
    read()


def count(wire: Wire, run: Callable[[], Any]) -> int:
    wire.reset()
    run()
    return wire.round_trips


def test_a_warm_row_costs_one(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def read() -> None:
        Article.objects.get(pk=articles[0].pk)

    warm(read)
    with django_assert_num_queries(0):
        assert 1 == count(ormcache_wire, read)
    # With each call goes the question whether it is still the primary that answers.
    assert ["MGET", "INFO"] == ormcache_wire.commands


def test_a_foreign_key_costs_one(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    Author.objects.get(pk=articles[0].author_id)
    article = Article.objects.get(pk=articles[0].pk)
    with django_assert_num_queries(0):
        assert 1 == count(ormcache_wire, lambda: article.author)


def test_a_warm_list_costs_two(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def read() -> None:
        assert 20 == len(Article.objects.filter(published=True).order_by("-created")[:20])

    warm(read)
    with django_assert_num_queries(0):
        assert 2 == count(ormcache_wire, read)
    assert ["MGET", "INFO"] * 2 == ormcache_wire.commands


def test_select_related_costs_one_more_a_level(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def one_level() -> None:
        for article in Article.objects.select_related("author", "editor")[:20]:
            assert "Ann" == article.author.name

    def two_levels() -> None:
        for article in Article.objects.select_related("author__profile")[:20]:
            assert "writes" == article.author.profile.biography

    warm(one_level)
    warm(two_levels)
    with django_assert_num_queries(0):
        assert 3 == count(ormcache_wire, one_level)
        assert 4 == count(ormcache_wire, two_levels)


def test_rows_named_by_key_cost_one(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def read() -> None:
        assert 20 == len(Article.objects.in_bulk([article.pk for article in articles]))

    warm(read)
    with django_assert_num_queries(0):
        assert 1 == count(ormcache_wire, read)


@pytest.mark.parametrize(
    "read",
    [
        lambda: Article.objects.filter(published=True).count(),
        lambda: Article.objects.filter(published=True).exists(),
        lambda: list(Article.objects.values("title", "author__name")),
    ],
    ids=["count", "exists", "values"],
)
def test_warm_data_costs_one(
    articles: list[Article],
    ormcache_wire: Wire,
    read: Callable[[], Any],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    warm(read)
    with django_assert_num_queries(0):
        assert 1 == count(ormcache_wire, read)


def test_missing_rows_are_refilled_by_one_query(
    articles: list[Article],
    ormcache_wire: Wire,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def read() -> None:
        assert 20 == len(Article.objects.filter(published=True).order_by("pk"))

    warm(read)
    for article in articles[:5]:
        article.save(update_fields=["views"])
    with django_assert_num_queries(1):
        # List, rows, leases, fills.
        assert 4 == count(ormcache_wire, read)
    with django_assert_num_queries(0):
        assert 2 == count(ormcache_wire, read)


def test_missing_data_costs_two_more(
    articles: list[Article],
    ormcache_wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def read() -> None:
        assert 20 == len(Article.objects.values("title"))

    read()
    for cheap in (0.0, 60.0):
        monkeypatch.setattr(flight, "CHEAP", cheap)
        articles[0].title += "!"
        articles[0].save()
        with django_assert_num_queries(1):
            # The read; stamps and the lease of who runs the SQL; the entry.
            assert 3 == count(ormcache_wire, read)
        Article.objects.values("title").clean()  # type: ignore[attr-defined]
    with django_assert_num_queries(1):
        assert 3 == count(ormcache_wire, read)
    with django_assert_num_queries(0):
        assert 1 == count(ormcache_wire, read)


@pytest.mark.parametrize("warmed", [True, False], ids=["cached", "not cached"])
def test_a_save_costs_at_most_three(
    articles: list[Article], ormcache_wire: Wire, warmed: bool
) -> None:
    article = Article.objects.get(pk=articles[0].pk)
    if not warmed:
        article.save()
    article.title = "Changed"
    article.views += 1
    assert count(ormcache_wire, article.save) <= 3


def test_one_transaction_pays_once(articles: list[Article], ormcache_wire: Wire) -> None:
    def write() -> None:
        with transaction.atomic():
            for article in articles:
                article.views += 1
                article.save(update_fields=["views"])

    Article.objects.in_bulk([article.pk for article in articles])
    assert count(ormcache_wire, write) <= 3


def test_a_rolled_back_transaction_costs_nothing(
    articles: list[Article], ormcache_wire: Wire
) -> None:
    def write() -> None:
        with transaction.atomic():
            articles[0].save()
            transaction.set_rollback(True)

    assert 0 == count(ormcache_wire, write)
