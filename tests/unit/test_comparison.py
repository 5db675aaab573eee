"""When two results of one query are the same, and of which queries that can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q, Sum, Window
from django.db.models.functions import RowNumber
from django.db.models.lookups import Exact, GreaterThan

from ormcache.codec.values import pack
from ormcache.reads.comparison import MOST_COMPARED, is_determined, same_result
from tests.testapp.models import Article, Author, Profile, Tag


def _articles() -> Any:
    return Article.objects.order_by()


OPEN: Any = _articles().order_by("title")
TOTAL: Any = _articles().order_by("title", "-pk")

PAIRS: dict[str, tuple[Any, bytes, Any, Any, bool | None]] = {
    "pointers in another order": (OPEN, b"rows", [[1, 2], [[3, 4]]], [[2, 1], [[4, 3]]], True),
    "columns of other rows": (OPEN, b"rows", [[1, 2], [[3, 4]]], [[1, 2], [[4, 3]]], False),
    "another row": (OPEN, b"rows", [[1, 2], []], [[1, 3], []], False),
    "a row more": (OPEN, b"rows", [[1], []], [[1, 3], []], False),
    "a row twice": (OPEN, b"rows", [[1, 1, 2], []], [[1, 2, 2], []], False),
    "an order that is wrong": (TOTAL, b"rows", [[1, 2], []], [[2, 1], []], False),
    "values in another order": (OPEN, b"values", [["a", 1], ["b", 2]], [["b", 2], ["a", 1]], True),
    "other values": (OPEN, b"values", [["a", 1]], [["a", 2]], False),
    "counts": (OPEN, b"count", 3, 3, True),
    "other counts": (OPEN, b"count", 3, 4, False),
    "no such result": (OPEN, b"exists", True, 1, None),
    "kinds in rows that are equal": (OPEN, b"values", [[True]], [[1]], False),
    "many rows": (
        OPEN,
        b"values",
        [[0], *[[1]] * MOST_COMPARED],
        [*[[1]] * MOST_COMPARED, [0]],
        None,
    ),
    "many rows and one more": (
        OPEN,
        b"values",
        [[1]] * MOST_COMPARED,
        [[1]] * (MOST_COMPARED + 1),
        False,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_results_of_one_query(name: str) -> None:
    queryset, kind, one, other, expected = PAIRS[name]
    for found, then in ((one, other), (other, one)):
        assert same_result(queryset.query, kind, pack(found), pack(then)) is expected


DETERMINED: dict[str, Callable[[], Any]] = {
    "all": _articles,
    "conditions": lambda: _articles().filter(Q(views__gt=1) | ~Q(author__name="a")),
    "a link": lambda: _articles().filter(tags__name="a"),
    "an order with ties": lambda: OPEN.all(),
    "a slice in a total order": lambda: TOTAL.all()[:3],
    "a slice by a unique field": lambda: Author.objects.order_by("-slug")[:3],
    "a slice of related rows": lambda: TOTAL.select_related("author").filter(author__name="a")[:3],
    "values": lambda: _articles().values("title", "author__name"),
}

OPEN_TO_THE_DATABASE: dict[str, Callable[[], Any]] = {
    "a slice": lambda: _articles()[:3],
    "a slice with ties": lambda: OPEN.all()[:3],
    "a slice ordered by a relation": lambda: Profile.objects.order_by("author")[:3],
    "a slice ordered across one": lambda: _articles().order_by("author__slug")[:3],
    "a slice ordered by an expression": lambda: _articles().order_by(F("pk").asc())[:3],
    "a slice ordered by nothing known": lambda: _articles().order_by("tags__pk", "pk")[:3],
    "a slice of rows that come twice": lambda: TOTAL.filter(tags__gt=0).values("pk", "tags__name")[
        :3
    ],
    "groups": lambda: Tag.objects.values("name").annotate(n=Count("articles"))[:3],
    "a sum": lambda: _articles().annotate(s=Sum("tags__pk")),
    "a window": lambda: _articles().annotate(n=Window(RowNumber())),
    "a condition on a window": lambda: _articles().filter(Exact(Window(RowNumber()), 1)),
    "a condition on a count": lambda: _articles().filter(GreaterThan(Count("tags"), 1)),
    "a slice in a subquery": lambda: _articles().filter(pk__in=_articles().values("pk")[:2]),
    "a subquery": lambda: _articles().filter(Exists(Author.objects.filter(pk=OuterRef("author")))),
    "a negated subquery": lambda: _articles().filter(~Q(pk__in=Tag.objects.values("pk")[:1])),
    "a slice in a combination": lambda: _articles()[:2].union(_articles()),
    "distinct": lambda: _articles().values("title").distinct(),
    "distinct on": lambda: _articles().order_by("author").distinct("author"),
    "a filtered relation": lambda: (
        _articles()
        .alias(t=FilteredRelation("tags", condition=Q(tags__pk__gt=1)))
        .filter(t__isnull=False)
    ),
}


@pytest.mark.parametrize("name", DETERMINED)
def test_the_rows_determine_the_result(name: str) -> None:
    assert is_determined(DETERMINED[name]().query)


@pytest.mark.parametrize("name", OPEN_TO_THE_DATABASE)
def test_the_database_may_choose(name: str) -> None:
    assert not is_determined(OPEN_TO_THE_DATABASE[name]().query)


def test_a_model_s_own_order_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Article._meta, "ordering", ["-pk"])
    assert is_determined(Article.objects.all()[:3].query)
    assert not is_determined(_articles()[:3].query)


def test_an_order_by_what_may_be_null_leaves_rows_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Author.objects.order_by("slug")[:3]
    assert is_determined(first.query)
    monkeypatch.setattr(Author._meta.get_field("slug"), "null", True)
    assert not is_determined(first.query)
