"""Thousands of querysets, made by combining a few tables of steps.

A step takes a queryset of articles to another one. Adding a line here adds a few hundred queries.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from django.db.models import (
    Avg,
    BooleanField,
    Case,
    CharField,
    Count,
    DecimalField,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)  # fmt: skip
from django.db.models.functions import (
    Abs,
    Cast,
    Coalesce,
    Concat,
    ExtractHour,
    Greatest,
    Lag,
    Length,
    Lower,
    Rank,
    Round,
    RowNumber,
    Substr,
    TruncDay,
    TruncMonth,
    Upper,
)  # fmt: skip
from django.db.models.lookups import GreaterThan

from tests.queryapp.models import Article, Author, Country, LiveArticle, Profile, Tag

Step = Callable[[Any], Any]

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)


def where(*args: Any, **kwargs: Any) -> Step:
    return lambda queryset: queryset.filter(*args, **kwargs)


def without(*args: Any, **kwargs: Any) -> Step:
    return lambda queryset: queryset.exclude(*args, **kwargs)


def call(method: str, *args: Any, **kwargs: Any) -> Step:
    return lambda queryset: getattr(queryset, method)(*args, **kwargs)


def same(queryset: Any) -> Any:
    return queryset


def all_related(queryset: Any) -> Any:
    """What ``select_related()`` did before a call without fields was deprecated."""
    clone = queryset.all()
    clone.query.select_related = True
    return clone


# Each is built when it is used, because a nested queryset must not be shared.
FILTERS: list[Callable[[], Step]] = [
    lambda: same,
    lambda: where(pk=1),
    lambda: where(pk=2),
    lambda: where(pk="1"),
    lambda: where(pk__in=[1, 2]),
    lambda: where(pk__in=[2, 3]),
    lambda: where(pk__in=[]),
    lambda: where(pk__in=[1, None]),
    lambda: where(author=1),
    lambda: where(author_id=1),
    lambda: where(author__pk=1),
    lambda: where(author=Author(pk=1)),
    lambda: where(author__in=[1, 2]),
    lambda: where(author__in=[Author(pk=1)]),
    lambda: where(author__isnull=True),
    lambda: where(editor=None),
    lambda: where(editor__isnull=False),
    lambda: where(editor__name="a"),
    lambda: where(author__name="a"),
    lambda: where(author__country__code="gb"),
    lambda: where(author__profile__biography__contains="x"),
    lambda: where(country="gb"),
    lambda: where(country__name="gb"),
    lambda: where(title="a"),
    lambda: where(title="A"),
    lambda: where(title=""),
    lambda: where(title="a', 'b"),
    lambda: where(title__iexact="a"),
    lambda: where(title__contains="a"),
    lambda: where(title__icontains="a"),
    lambda: where(title__contains="a%"),
    lambda: where(title__startswith="a"),
    lambda: where(title__endswith="a"),
    lambda: where(title__regex="a"),
    lambda: where(title__iregex="a"),
    lambda: where(title__in=["a", "b"]),
    lambda: where(title__in=["a, b"]),
    lambda: where(title__gt="a"),
    lambda: where(published=True),
    lambda: where(published=False),
    lambda: where(status=Article.Status.LIVE),
    lambda: where(status="live"),
    lambda: where(views__gt=1),
    lambda: where(views__gte=1),
    lambda: where(views__lt=1),
    lambda: where(views__lte=1),
    lambda: where(views__gt=1.5),
    lambda: where(views__range=(1, 2)),
    lambda: where(views=F("rating")),
    lambda: where(views__gt=F("author") + 1),
    lambda: where(views__range=(F("pk"), 9)),
    lambda: where(views__in=[F("pk"), 3]),
    lambda: where(price=Decimal("1.00")),
    lambda: where(price=Decimal("1.0")),
    lambda: where(price=1),
    lambda: where(rating=1),
    lambda: where(rating=0.5),
    lambda: where(token="12345678123456781234567812345678"),
    lambda: where(data__name="x"),
    lambda: where(data__name=1),
    lambda: where(data__name=True),
    lambda: where(data__name__isnull=True),
    lambda: where(data__name__icontains="x"),
    lambda: where(data__name__in=["x", 1]),
    lambda: where(data={"a": 1, "b": 2}),
    lambda: where(data={"b": 2, "a": 1}),
    lambda: where(data__has_key="a"),
    lambda: where(data__has_keys=["a", "b"]),
    lambda: where(data__a__0__gt=3),
    lambda: where(created=NOON),
    lambda: where(created__gt=NOON),
    lambda: where(created__gt=NOON + dt.timedelta(microseconds=1)),
    lambda: where(created__year=2026),
    lambda: where(created__year__gte=2026),
    lambda: where(created__year__in=[2025, 2026]),
    lambda: where(created__month=5),
    lambda: where(created__date=dt.date(2026, 5, 4)),
    lambda: where(created__hour__gt=3),
    lambda: where(created__time=dt.time(3)),
    lambda: where(created__gt=F("created") - dt.timedelta(days=1)),
    lambda: where(day__year=2026),
    lambda: where(day=dt.date(2026, 5, 4)),
    lambda: where(day__week_day=3),
    lambda: where(length__gt=dt.timedelta(hours=1)),
    lambda: where(shout="a!"),
    lambda: where(tags=1),
    lambda: where(tags__name="x"),
    lambda: where(tags__name__in=["x", "y"]),
    lambda: where(tags__in=Tag.objects.filter(weight=1)),
    lambda: where(tags__isnull=True),
    lambda: where(author__articles=1),
    lambda: where(author__articles=Article(pk=1)),
    lambda: where(author__articles__in=[1, 2]),
    lambda: where(author__articles=None),
    lambda: where(author__articles__isnull=True),
    lambda: where(author__edited=1),
    lambda: where(author__profile=1),
    lambda: where(notes=1),
    lambda: where(category__parent__title="x"),
    lambda: where(category__children__title="x"),
    lambda: where(Q(title="a") | Q(views=1)),
    lambda: where(Q(title="a") ^ Q(views=1)),
    lambda: where(Q(title="a") & ~Q(views=1)),
    lambda: where(~Q(title="a")),
    lambda: where(Q(author__name="a") | Q(tags__name="x")),
    lambda: where(author__in=Author.objects.filter(active=True)),
    lambda: where(author__in=Author.objects.filter(active=True).values("pk")),
    lambda: where(author__in=Author.objects.filter(active=True)[:3]),
    lambda: where(author__name__in=Author.objects.values("name")),
    lambda: where(country__in=Country.objects.filter(name="x")),
    lambda: where(author=Author.objects.filter(name="a")[:1]),
    lambda: where(Exists(Tag.objects.filter(articles=OuterRef("pk")))),
    lambda: where(~Exists(Tag.objects.filter(articles=OuterRef("pk"), weight=1))),
    lambda: where(Exists(Tag.objects.filter(articles=OuterRef("author_id")))),
    lambda: where(GreaterThan(F("views"), 3)),
    lambda: where(GreaterThan(F("views"), F("pk"))),
    lambda: where(Case(When(views=1, then=Value(True)), default=Value(False))),
    lambda: without(title="a"),
    lambda: without(editor=1),
    lambda: without(editor__name="a"),
    lambda: without(tags__name="x"),
    lambda: without(tags__name="x", title="a"),
    lambda: without(tags__weight=1),
    lambda: without(author__articles__title="b"),
    lambda: without(views__in=[1, 2]),
    lambda: lambda q: q.filter(tags__name="x").filter(tags__name="y"),
    lambda: lambda q: q.filter(tags__name="x", tags__weight=1),
    lambda: call("none"),
]

SHAPES: list[Callable[[], Step]] = [
    lambda: same,
    lambda: same,
    lambda: same,
    lambda: call("select_related", "author"),
    lambda: call("select_related", "author__country", "editor"),
    lambda: all_related,
    lambda: call("only", "title"),
    lambda: call("defer", "data", "title"),
    lambda: call("distinct"),
    lambda: call("values", "title"),
    lambda: call("values", "title", "views"),
    lambda: call("values", "views", "title"),
    lambda: call("values_list", "author__name"),
    lambda: call("values_list", "pk", flat=True),
    lambda: call("values", "tags"),
    lambda: call("values", "data__name"),
    lambda: call("values", low=Lower("title")),
    lambda: call("dates", "day", "month"),
    lambda: call("dates", "day", "year", order="DESC"),
    lambda: call("datetimes", "created", "hour"),
    lambda: call("datetimes", "created", "day", tzinfo=dt.UTC),
    lambda: call("annotate", n=Count("tags")),
    lambda: call("annotate", n=Count("tags", distinct=True)),
    lambda: call("annotate", n=Count("tags", filter=Q(tags__weight=1))),
    lambda: call("annotate", n=Count("tags", filter=Q(tags__weight=2))),
    lambda: call("annotate", m=Count("tags")),
    lambda: call("alias", n=Count("tags")),
    lambda: lambda q: q.annotate(n=Count("tags")).filter(n__gt=1),
    lambda: lambda q: q.alias(n=Count("tags")).filter(n__gt=1),
    lambda: lambda q: q.values("author").annotate(total=Sum("views")),
    lambda: lambda q: q.values("author").annotate(total=Sum("views"), top=Max("price")),
    lambda: lambda q: q.values("author__name").annotate(total=Avg("price")).filter(total__gt=2),
    lambda: lambda q: q.annotate(day_of=TruncDay("created")).values("day_of").distinct(),
    lambda: call("annotate", low=Lower("title")),
    lambda: call("annotate", up=Upper("title")),
    lambda: call("annotate", size=Length("title")),
    lambda: call("annotate", part=Substr("title", 1, 2)),
    lambda: call("annotate", part=Substr("title", 1, 3)),
    lambda: call("annotate", name=Concat("title", Value(" "), "author__name")),
    lambda: call("annotate", v=Value(1)),
    lambda: call("annotate", v=Value("1")),
    lambda: call("annotate", v=Value(True)),
    lambda: call("annotate", v=Value(1, output_field=CharField())),
    lambda: call("annotate", v=Cast("views", CharField())),
    lambda: call("annotate", v=Cast("views", DecimalField(max_digits=5, decimal_places=1))),
    lambda: call("annotate", v=Cast("views", DecimalField(max_digits=5, decimal_places=2))),
    lambda: call("annotate", v=F("views") + 1),
    lambda: call("annotate", v=F("views") * 1),
    lambda: call("annotate", v=ExpressionWrapper(F("views") * 1, IntegerField())),
    lambda: call("annotate", v=Coalesce("editor__name", Value("-"))),
    lambda: call("annotate", v=Greatest("title", "slug")),
    lambda: call("annotate", v=Round("price", precision=1)),
    lambda: call("annotate", v=Abs(F("views") - 3)),
    lambda: call("annotate", v=StdDev("tags__weight")),
    lambda: call("annotate", v=StdDev("tags__weight", sample=True)),
    lambda: call("annotate", v=Min("tags__name")),
    lambda: call("annotate", v=ExtractHour("created")),
    lambda: call("annotate", v=TruncMonth("created")),
    lambda: call("annotate", v=TruncMonth("day")),
    lambda: call("annotate", v=Case(When(views__gt=3, then=Value("a")), default=Value("b"))),
    lambda: call("annotate", v=Case(When(views__gt=3, then=Value("a")), default=Value("c"))),
    lambda: call("annotate", v=ExpressionWrapper(Q(views__gt=3), BooleanField())),
    lambda: call("annotate", v=Window(RowNumber(), order_by="views")),
    lambda: call("annotate", v=Window(Rank(), partition_by="author", order_by="-views")),
    lambda: call("annotate", v=Window(Lag("views", 2), order_by=F("views").desc())),
    lambda: call("annotate", v=Window(Sum("views"), partition_by=["author", "status"])),
    lambda: call("annotate", v=Exists(Tag.objects.filter(articles=OuterRef("pk")))),
    lambda: call("annotate", v=_biography()),
    lambda: call("annotate", v=F("data__name")),
    lambda: call("annotate", v=F("author__name")),
    lambda: lambda q: q.annotate(f=_heavy(1)).filter(f__name="x"),
    lambda: lambda q: q.annotate(f=_heavy(2)).filter(f__name="x"),
    lambda: lambda q: q.annotate(f=_heavy(2)).filter(f__name="x").values("f__weight"),
    lambda: lambda q: q.union(Article.objects.filter(views=7)),
    lambda: lambda q: q.union(Article.objects.filter(views=7), all=True),
    lambda: lambda q: q.intersection(Article.objects.filter(views=7)),
    lambda: lambda q: q.difference(Article.objects.filter(views=7)),
    lambda: lambda q: q.values("title").union(Author.objects.values("name")),
]

ORDERS: list[Callable[[], Step]] = [
    lambda: same,
    lambda: same,
    lambda: call("order_by", "title"),
    lambda: call("order_by", "-title"),
    lambda: call("order_by", "-created", "pk"),
    lambda: call("order_by", F("title")),
    lambda: call("order_by", F("views").desc(nulls_last=True)),
    lambda: call("order_by", F("views").asc(nulls_first=True)),
    lambda: call("order_by", Lower("title")),
    lambda: call("order_by", Lower("title").desc()),
    lambda: call("order_by", "author"),
    lambda: call("order_by", "author_id"),
    lambda: call("order_by", "author__name"),
    lambda: call("order_by", "-author__country__name", "tags__weight"),
    lambda: call("order_by", "created__date"),
    lambda: call("order_by", "data__name"),
    lambda: call("order_by", Coalesce("editor__name", Value("x"))),
    lambda: call("order_by", Exists(Tag.objects.filter(articles=OuterRef("pk")))),
    lambda: lambda q: q.order_by("title").reverse(),
    lambda: call("order_by"),
]

SLICES: list[Step] = [
    same,
    same,
    lambda q: q[:20],
    lambda q: q[20:40],
    lambda q: q[5:],
]


def _biography() -> Subquery:
    return Subquery(Profile.objects.filter(author=OuterRef("author")).values("biography")[:1])


def _heavy(weight: int) -> FilteredRelation:
    return FilteredRelation("tags", condition=Q(tags__weight=weight))


def build(steps: tuple[int, ...]) -> Any:
    """The queryset of these positions in the tables; None where Django refuses to make it."""
    base, first, second, shape, order, slicing = steps
    queryset: Any = (LiveArticle if base else Article)._default_manager.all()
    try:
        queryset = FILTERS[second]()(FILTERS[first]()(queryset))
        queryset = ORDERS[order]()(SHAPES[shape]()(queryset))
        return SLICES[slicing](queryset)
    except Exception:
        return None


def positions(amount: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Every step alone, then ``amount`` combinations."""
    for table, length in enumerate((2, len(FILTERS), 0, len(SHAPES), len(ORDERS), len(SLICES))):
        for index in range(length):
            yield (*(0,) * table, index, *(0,) * (5 - table))
    chosen = random.Random(seed)
    for _ in range(amount):
        # One filter in three queries, so that equal queries meet.
        second = chosen.choice((0, 0, chosen.randrange(len(FILTERS))))
        yield (
            chosen.choice((0, 0, 0, 1)),
            chosen.randrange(len(FILTERS)),
            second,
            chosen.randrange(len(SHAPES)),
            chosen.randrange(len(ORDERS)),
            chosen.randrange(len(SLICES)),
        )
