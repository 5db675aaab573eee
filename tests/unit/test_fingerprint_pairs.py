"""Queries that must have one digest, and queries that must not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    DateField,
    DecimalField,
    Exists,
    F,
    FilteredRelation,
    FloatField,
    IntegerField,
    Max,
    Min,
    Q,
    RowRange,
    StdDev,
    Subquery,
    Sum,
    TextChoices,
    Value,
    When,
    Window,
)  # fmt: skip
from django.db.models.functions import (
    Cast,
    Coalesce,
    Collate,
    Concat,
    Extract,
    JSONObject,
    Lag,
    Lower,
    NthValue,
    Round,
    RowNumber,
    Trunc,
    TruncDay,
    TruncHour,
    Upper,
)  # fmt: skip
from django.db.models.lookups import Exact
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from ormcache.exceptions import Uncacheable
from tests.queryapp.corpus import NOON
from tests.queryapp.dialects import compiled, dialects
from tests.queryapp.models import Article, Author, Cell, Front, LiveArticle, Restaurant, Tag
from tests.queryapp.queries import ARTICLES, FRAME, HEAVY, TAGGED, annotated, key

DIFFERENT: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (
        lambda v: ARTICLES.filter(data__name=v),
        [1, True, 1.0, "1", "True", None, [1], {"a": 1}, {"a": "1"}, {"a": 1, "b": 2}],
    ),
    (lambda v: annotated(Value(v)), [1, True, 1.0, Decimal(1), Decimal("1.0"), "1", b"1", None]),
    (lambda v: annotated(Value(v)), [NOON, NOON.date(), NOON.time(), NOON.replace(tzinfo=None)]),
    (lambda v: annotated(Value(v)), [NOON, NOON.astimezone(ZoneInfo("Asia/Tokyo"))]),
    (lambda v: annotated(Value(1, v)), [IntegerField(), FloatField(), CharField(max_length=1)]),
    (
        lambda v: annotated(Cast("views", v)),
        [
            CharField(max_length=5),
            CharField(max_length=6),
            CharField(max_length=5, db_collation="C"),
            DecimalField(max_digits=5, decimal_places=2),
            DecimalField(max_digits=5, decimal_places=1),
        ],
    ),
    (lambda v: annotated(F("views") + v), [1, 2, 1.5, F("pk"), F("price")]),
    (lambda v: annotated(v), [F("views") + 1, F("views") - 1, F("views") % 1, F("views") ** 1]),
    (lambda v: annotated(Round("price", v)), [0, 1, 2]),
    (lambda v: annotated(Collate("title", v)), ["C", "nocase"]),
    (lambda v: annotated(Trunc("created", v)), ["day", "month", "hour"]),
    (lambda v: annotated(Extract("created", v)), ["day", "month", "hour"]),
    (
        lambda v: annotated(TruncDay("created", tzinfo=v)),
        [ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Paris"), dt.timezone(dt.timedelta(hours=9))],
    ),
    (lambda v: annotated(v("created")), [TruncDay, TruncHour]),
    (lambda v: annotated(TruncDay("created", output_field=v)), [None, DateField()]),
    (lambda v: annotated(Count("tags", distinct=v)), [False, True]),
    (lambda v: annotated(Count("tags", filter=v)), [None, Q(views=1), Q(views=2), ~Q(views=1)]),
    (lambda v: annotated(StdDev("views", sample=v)), [False, True]),
    (lambda v: annotated(Sum("views", default=v)), [None, 0, 1]),
    (lambda v: annotated(v("views")), [Sum, Avg, Max, Min]),
    (lambda v: annotated(Coalesce("views", v)), [Value(0), Value(1), F("pk")]),
    (lambda v: annotated(Concat("title", Value(v))), ["a", "b"]),
    (lambda v: annotated(Case(When(views=v, then=Value(1)))), [1, 2]),
    (lambda v: annotated(Case(When(views=1, then=Value(v)))), [1, 2, "1"]),
    (lambda v: annotated(Case(When(views=1, then=1), default=v)), [1, 2, None]),
    (lambda v: annotated(Window(v, order_by="pk")), [RowNumber(), Lag("views"), Lag("views", 2)]),
    (lambda v: annotated(Window(NthValue("views", v), order_by="pk")), [1, 2]),
    (lambda v: annotated(Window(Sum("views"), order_by=v)), ["pk", "-pk", ["pk", "views"]]),
    (
        lambda v: annotated(Window(Sum("views"), partition_by=v)),
        [None, "author", ["author", "pk"]],
    ),
    (
        lambda v: annotated(Window(Sum("views"), order_by="pk", frame=v)),
        [None, RowRange(start=-1), RowRange(start=-2), RowRange(-1, exclusion=FRAME)],
    ),
    (
        lambda v: annotated(Window(Sum("views"), order_by=v)),
        [
            F("rating").asc(),
            F("rating").desc(),
            F("rating").asc(nulls_first=True),
            F("rating").asc(nulls_last=True),
        ],
    ),
    # The same column of the same table, joined twice.
    (
        lambda v: ARTICLES.annotate(a=F("author__name"), b=F("editor__name"), v=F(v)),
        ["author__name", "editor__name"],
    ),
    # Ordered by position where Django finds the very expression selected.
    (
        lambda v: ARTICLES.annotate(low=v).order_by(Lower("title")),
        [Lower("title"), Lower(F("title"))],
    ),
    (lambda v: annotated(JSONObject(**{v: "title"})), ["a", "b"]),
    (lambda v: annotated(F(f"data__{v}")), ["a", "b", "0"]),
    (lambda v: annotated(v), [Exists(TAGGED), ~Exists(TAGGED), Exists(TAGGED.filter(weight=1))]),
    (lambda v: annotated(Subquery(TAGGED.values("pk")[v:][:1])), [0, 1]),
    (lambda v: annotated(Subquery(TAGGED.values(v)[:1])), ["pk", "weight", "name"]),
    (lambda v: Article.objects.annotate(**{v: F("views")}), ["a", "b"]),
    (lambda v: Article.objects.annotate(a=F("views"), b=F("pk")).values(*v), ["a", "b", "ab"]),
    (lambda v: Article.objects.annotate(a=F("views"), b=F("pk")).values(*v), ["ab", "ba"]),
    (lambda v: ARTICLES.filter(v), [Q(views=1), ~Q(views=1), Q(views=2), Q(pk=1), Q(views__gt=1)]),
    (
        lambda v: ARTICLES.filter(v),
        [
            Q(views=1) & Q(pk=2),
            Q(views=1) | Q(pk=2),
            Q(views=1) ^ Q(pk=2),
            ~(Q(views=1) & Q(pk=2)),
            Q(views=1) & ~Q(pk=2),
            Q(views=2) & Q(pk=1),
        ],
    ),
    (lambda v: ARTICLES.filter(tags__in=v), [[1], [1, 2], [2, 3], HEAVY, HEAVY[:1]]),
    (lambda v: ARTICLES.filter(created__year=v), [2025, 2026]),
    (lambda v: ARTICLES[v], [slice(5), slice(5, None), slice(5, 9), slice(9), slice(None)]),
    (lambda v: ARTICLES.order_by(*v), [[], ["pk"], ["-pk"], ["pk", "views"], ["views", "pk"]]),
    (
        lambda v: ARTICLES.order_by(v),
        [
            F("rating"),
            F("rating").desc(),
            F("rating").asc(nulls_first=True),
            F("rating").asc(nulls_last=True),
            Lower("title"),
            Lower("slug"),
            Upper("title"),
        ],
    ),
    (lambda v: ARTICLES.order_by(v), ["author", "author__pk", "author__name", "editor"]),
    (lambda v: ARTICLES.order_by("title") if v else ARTICLES.order_by("title").reverse(), [0, 1]),
    (lambda v: ARTICLES.select_related(*v), [["author"], ["author__country"], ["editor"], [None]]),
    (lambda v: getattr(ARTICLES, v)("title"), ["only", "defer", "values"]),
    (lambda v: ARTICLES.distinct(*v), [[], ["title"], ["title", "pk"], ["author__name"]]),
    (lambda v: ARTICLES.values("author").annotate(n=Count(v)), ["pk", "tags"]),
    (lambda v: ARTICLES.union(ARTICLES.filter(pk=v)), [1, 2]),
    (lambda v: ARTICLES.union(ARTICLES.filter(pk=1), all=v), [False, True]),
    (lambda v: getattr(ARTICLES, v)(ARTICLES.filter(pk=1)), ["union", "intersection"]),
    (
        lambda v: ARTICLES.annotate(f=FilteredRelation("tags", condition=v)).filter(f__pk=1),
        [Q(tags__weight=1), Q(tags__weight=2), Q(tags__name="x")],
    ),
    (lambda v: Cell.objects.filter(pk=v), [(1, "a"), (1, "b"), (2, "a")]),
    (
        lambda v: Cell.objects.filter(pk__in=v),
        [[(1, "a")], [(1, "b")], [(1, "a"), (1, "b")], Cell.objects.filter(text="a")],
    ),
    (lambda v: v.objects.all(), [Article, LiveArticle, Tag, Author, Restaurant, Front]),
    (lambda v: v, [ARTICLES, ARTICLES.none(), ARTICLES.filter(pk=1)]),
]


def test_queries_that_differ_have_different_digests() -> None:
    for make, variants in DIFFERENT:
        digests = [key(make(variant)) for variant in variants]
        assert len(variants) == len(set(digests)), (variants, digests)


class Colour(TextChoices):
    RED = "red", "Red"


EQUAL = [
    (ARTICLES.filter(title=mark_safe("a")), ARTICLES.filter(title="a")),
    (ARTICLES.filter(title=gettext_lazy("a")), ARTICLES.filter(title="a")),
    (ARTICLES.filter(title=Colour.RED), ARTICLES.filter(title="red")),
    (ARTICLES.filter(data__c=Colour.RED), ARTICLES.filter(data__c="red")),
    (ARTICLES.filter(pk="7"), ARTICLES.filter(pk=7)),
    (ARTICLES.filter(author=Author(pk=7)), ARTICLES.filter(author=7)),
    (ARTICLES.filter(pk__in=(1, 2)), ARTICLES.filter(pk__in=[1, 2])),
    (ARTICLES.filter(pk__in=iter([1, 2])), ARTICLES.filter(pk__in=[1, 2])),
    (ARTICLES.filter(pk=1).filter(views=2), ARTICLES.filter(pk=1, views=2)),
    (ARTICLES.values("pk"), ARTICLES.values_list("pk", flat=True)),
    (annotated(Lower("title")), annotated(Lower(F("title")))),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_queries_that_mean_the_same_share_a_digest(one: Any, other: Any) -> None:
    assert key(one) == key(other)


def test_a_join_that_is_no_longer_used_is_another_one() -> None:
    unused = ARTICLES.values("pk").order_by("editor__name")
    unused.query.get_compiler(connection=dialects()[0]).as_sql()
    unused, used = unused.order_by(), ARTICLES.values("editor__name").values("pk").order_by()
    assert list(unused.query.alias_map) == list(used.query.alias_map)
    assert compiled(unused.query, dialects()[0]) != compiled(used.query, dialects()[0])
    assert key(unused) != key(used)


CRAFTED = [
    ["a", "a'", "a' OR '1'='1", "a\\", "", " ", "a ", "A", "ä", "a\u0308", "\0"],
    ["a', 'b", "a, b", "['a', 'b']"],
    ["1", "=", "end", "query", "None", "True"],
    ["\0", "\0\0", "a\0b", "a\0", "\0a", "\x1f", "\x1e", "|", ":", "\n", "\r\n", ",", "\\0"],
    # What the packed form of strings, lists and their lengths begins with.
    ["\xa1a", "\x91", "\xd9\x01a", "\x81", "\xc0", "\x00\x01", "\x16", "%s", "%", "%%"],
    ["a" * 31, "a" * 32, "a" * 255, "a" * 256, "a" * 65_535, "a" * 65_536, "a" * 100_000],
]


@pytest.mark.parametrize("texts", CRAFTED)
def test_crafted_strings_do_not_collide(texts: list[str]) -> None:
    queries = [
        *(ARTICLES.filter(title=text) for text in texts),
        *(ARTICLES.filter(slug=text) for text in texts),
        *(ARTICLES.filter(title__in=[text]) for text in texts),
        *(ARTICLES.filter(title__in=[text, "b"]) for text in texts),
        *(ARTICLES.filter(title=text, slug="b") for text in texts),
        *(ARTICLES.filter(title="b", slug=text) for text in texts),
        *(ARTICLES.filter(title__contains=text) for text in texts),
        *(ARTICLES.filter(data={text: "b"}) for text in texts),
        *(ARTICLES.filter(data={"b": text}) for text in texts),
        *(ARTICLES.filter(data=["b", text]) for text in texts),
    ]
    assert len(queries) == len({key(query) for query in queries})


TYPED: list[Any] = [
    1,
    True,
    1.0,
    "1",
    b"1",
    Decimal(1),
    Decimal("1.0"),
    Decimal("1E+1"),
    Decimal(10),
    "True",
    0,
    False,
    0.0,
    -0.0,
    "",
    b"",
    None,
    "None",
    UUID(int=1),
    str(UUID(int=1)),
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1),
    "2026-01-01",
    dt.timedelta(1),
    dt.time(0),
    (1, 2),
    [1, True],
    [True, 1],
    [1.0, 1],
    ["1", 1],
    [[1], [2]],
    [[1, 2]],
    [[1, [2]]],
]


def test_parameters_are_told_apart_by_type() -> None:
    """Equal and hashed alike in Python, another parameter for the database."""
    makers: list[Callable[[Any], Any]] = [
        lambda item: annotated(Value(item, IntegerField())),
        lambda item: annotated(Coalesce(Value(item, CharField()), Value("x"))),
        lambda item: annotated(Case(When(views=1, then=Value(item, CharField())))),
        lambda item: ARTICLES.filter(Exact(F("views"), Value(item, IntegerField()))),
    ]
    for make in makers:
        keys: dict[str, Any] = {}
        for item in TYPED:
            same = keys.setdefault(key(make(item)), item)
            assert same is item, (same, item)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud83d\ude00"])
def test_a_lone_surrogate_has_no_key(text: str) -> None:
    """No database takes one either; above all nothing else may be raised."""
    for query in (ARTICLES.filter(title=text), ARTICLES.filter(title__in=["a", text])):
        with pytest.raises(Uncacheable):
            key(query)
