"""Sets as values: one key for the same set, whatever the order in which it comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Case, Count, FilteredRelation, Q, TextChoices, Value, When

from ormcache.analysis.fingerprint import digest, walk
from ormcache.exceptions import Uncacheable
from tests.hashseed import SEEDS, last_line
from tests.testapp.models import Article, Author

# They meet in the table of a set, and come out as they were put in.
ONE, OTHER = {0, 8}, {8, 0}


class Size(TextChoices):
    SMALL = "s"
    LARGE = "l"


QUERIES: dict[str, Callable[[set[Any]], Any]] = {
    "filter": lambda v: Article.objects.filter(views__in=v),
    "frozenset": lambda v: Article.objects.filter(views__in=frozenset(list(v))),
    "exclude": lambda v: Article.objects.exclude(views__in=v),
    "a foreign key": lambda v: Article.objects.filter(author__in=v),
    "across a relation": lambda v: Author.objects.filter(articles__views__in=v),
    "Q": lambda v: Article.objects.filter(~Q(published=True) | Q(Q(views__in=v), views__gt=1)),
    "a pair": lambda v: Article.objects.filter(("views__in", v)),
    "Q in a keyword": lambda v: Article.objects.annotate(v=Q(views__in=v)),
    "complex_filter": lambda v: Article.objects.complex_filter(Q(views__in=v)),
    "complex_filter of a dict": lambda v: Article.objects.complex_filter({"views__in": v}),
    "When": lambda v: Article.objects.annotate(
        v=Case(When(views__in=v, then=Value(1)), default=Value(2))
    ),
    "alias": lambda v: Article.objects.alias(v=Case(When(views__in=v, then=1))).filter(v=1),
    "order_by": lambda v: Article.objects.order_by(Case(When(views__in=v, then=1)).desc()),
    "values": lambda v: Article.objects.values(v=Case(When(views__in=v, then=1))),
    "filter of an aggregate": lambda v: Author.objects.annotate(
        n=Count("articles", filter=Q(articles__views__in=v))
    ),
    "FilteredRelation": lambda v: Author.objects.annotate(
        a=FilteredRelation("articles", condition=Q(articles__views__in=v))
    ).filter(a__isnull=False),
}


def _articles() -> Any:
    return Article.objects.all()


def key(queryset: Any) -> str:
    return digest(*walk(queryset.query)).hex()


def test_these_sets_come_out_in_two_orders() -> None:
    assert ONE == OTHER
    assert list(ONE) != list(OTHER)


@pytest.mark.parametrize("name", QUERIES)
def test_a_set_has_one_key(name: str) -> None:
    one, other = QUERIES[name](set(ONE)), QUERIES[name](OTHER)
    assert key(one) == key(other)
    assert key(one) != key(QUERIES[name]({0, 9}))


def test_a_list_has_the_key_of_its_set() -> None:
    assert key(_articles().filter(views__in=[8, 0])) == key(_articles().filter(views__in={0, 8}))
    assert key(_articles().filter(views__in=[8, 0])) != key(_articles().filter(views__in=[8]))


def test_only_the_values_of_in_have_no_order() -> None:
    ranges = [_articles().filter(views__range=pair) for pair in ((0, 8), (8, 0))]
    assert key(ranges[0]) != key(ranges[1])


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a"],
        ["b", None, "a"],
        [Author(pk=8), Author(pk=3)],
        [Size.LARGE, Size.SMALL],
    ],
    ids=["text", "kinds", "rows", "choices"],
)
def test_values_in_any_order_have_one_key(values: list[Any]) -> None:
    def of(found: list[Any]) -> str:
        field = "author__in" if isinstance(found[0], Author) else "body__in"
        return key(_articles().filter(**{field: found}))

    assert of(values) == of(values[::-1])


class Rude(str):
    """Refuses to be compared."""

    def __lt__(self, other: object) -> bool:
        raise LookupError("rude")


def test_values_that_cannot_be_ordered_are_asked_for() -> None:
    found = _articles().filter(body__in=[Rude("b"), Rude("a")])
    assert isinstance(found.query.where.children[0].rhs, list)
    with pytest.raises(Uncacheable):
        key(found)


SCRIPT = """
from enum import Enum
import django
django.setup()
from ormcache.analysis.fingerprint import digest, walk
from tests.testapp.models import Article
texts = {"a", "b", "c", "d", "e", "f"}
marks = set(Enum("Mark", sorted(texts)))
pairs = {(text, None) for text in texts}
queries = [Article.objects.filter(category__in=each).query for each in (texts, marks, pairs)]
print(*(digest(*walk(query)).hex() for query in queries))
"""


@pytest.mark.slow
@pytest.mark.processes
def test_sets_have_one_key_under_every_hash_seed() -> None:
    assert 1 == len({last_line(SCRIPT, seed) for seed in SEEDS})
