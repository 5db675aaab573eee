"""Sets as values: one key for the same set, whatever the order in which it comes out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from django.db.models import Case, Count, F, FilteredRelation, Q, Value, When

from ormcache.analysis.fingerprint import digest, walk
from ormcache.analysis.sets import in_order, ordered_arguments
from tests.hashseed import SEEDS, last_line
from tests.testapp.models import Article, Author

# They meet in the table of a set, and come out as they were put in.
ONE, OTHER = {0, 8}, {8, 0}


# Naive and aware ones cannot be compared with each other.
DAYS = [datetime(2026, 1, 1), datetime(2026, 1, 2)]
AWARE_DAYS = [datetime(2026, 10, day, tzinfo=UTC) for day in (10, 11, 12, 13)]


class Mark(Enum):
    A = "a"
    B = "b"


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
def test_a_set_has_one_key_and_one_sql(name: str) -> None:
    one, other = QUERIES[name](set(ONE)), QUERIES[name](OTHER)
    assert key(one) == key(other)
    assert str(one.query) == str(other.query)
    assert key(one) != key(QUERIES[name]({0, 9}))


def test_lists_keep_their_order() -> None:
    assert key(_articles().filter(views__in=[8, 0])) != key(_articles().filter(views__in=[0, 8]))


def test_what_was_given_is_not_changed() -> None:
    inner: Any = Q(views__in=OTHER)
    expression: Any = When(views__in=OTHER, then=1)
    relation = FilteredRelation("articles", condition=inner)
    kwargs = {"a__in": OTHER, "b": Case(expression), "c": relation}
    ordered: Any
    (ordered,), named = ordered_arguments((Q(inner, published=True),), kwargs)
    assert [0, 8] == list(ordered.children[0].children[0][1]) == list(named["a__in"])
    assert inner.children[0][1] is OTHER
    assert relation.condition is inner
    assert kwargs["a__in"] is OTHER
    assert expression.condition.children[0][1] is OTHER


def test_what_holds_no_set_is_passed_on_as_it_is() -> None:
    args = (Q(a=1) & ~Q(b__in=[1]), F("a"), "a")
    kwargs = {"a": 1, "b": Case(When(a=1, then=2)), "c": Article.objects.all()}
    found, named = ordered_arguments(args, kwargs)
    assert all(new is old for new, old in zip(found, args, strict=True))
    assert named is kwargs


def test_only_in_takes_sets() -> None:
    """Another lookup says what is wrong with them, as without the cache."""
    kwargs = {"views": OTHER}
    assert ordered_arguments((), kwargs)[1] is kwargs
    with pytest.raises(TypeError):
        _articles().filter(views=OTHER)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({8, 0, 3}, [0, 3, 8]),
        ({"b", None, "a", 1}, [None, 1, "a", "b"]),
        (frozenset({Author(pk=8), Author(pk=3)}), [Author(pk=3), Author(pk=8)]),
        ({Mark.B, Mark.A, None}, [Mark.A, Mark.B, None]),
        ({("b", 1), ("a", None), ("a", 2)}, [("a", None), ("a", 2), ("b", 1)]),
        ({(1, Mark.B), (1, Mark.A)}, [(1, Mark.A), (1, Mark.B)]),
        ({*DAYS, *AWARE_DAYS}, [*DAYS, *AWARE_DAYS]),
    ],
    ids=["numbers", "kinds", "rows", "choices", "tuples", "tuples of choices", "times"],
)
def test_the_order(values: Any, expected: list[Any]) -> None:
    assert expected == list(in_order(values))


@pytest.mark.parametrize("values", [[3, 1], (3, 1), {3: 1}, None, "b"], ids=repr)
def test_what_is_no_set(values: Any) -> None:
    assert in_order(values) is values


def test_a_set_in_order_is_a_set() -> None:
    """Django goes by that: it looks for expressions in lists, and refuses sets for tuples."""
    found = in_order(OTHER)
    assert isinstance(found, frozenset)
    assert found == OTHER
    assert 8 in found
    assert [0, 8] == list(pickle.loads(pickle.dumps(found)))
    with pytest.raises(AttributeError):
        _articles().filter(views__in={F("pk")}).count()


class Rude:
    """Refuses to be compared, and to be shown: that may run queries."""

    shown = 0

    def __repr__(self) -> str:
        Rude.shown += 1
        return "rude"


def test_values_that_cannot_be_ordered_are_all_there() -> None:
    for values in ({Rude(), Rude()}, {frozenset("a"), frozenset("b")}):
        found = [*in_order(values)]
        assert len(found) == 2
        assert values == {*found}
    assert not Rude.shown


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
