"""Annotations: database functions by category, subqueries, conditions, windows."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import (
    Avg,
    BooleanField,
    Case,
    CharField,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
)
from django.db.models.expressions import RawSQL, RowRange
from django.db.models.fields.json import KT
from django.db.models.functions import (
    MD5,
    Abs,
    Cast,
    Ceil,
    Coalesce,
    Collate,
    Concat,
    DenseRank,
    ExtractYear,
    FirstValue,
    Floor,
    Greatest,
    JSONObject,
    Lag,
    LastValue,
    Lead,
    Least,
    Left,
    Length,
    Lower,
    LPad,
    Mod,
    Now,
    NthValue,
    Ntile,
    NullIf,
    PercentRank,
    Power,
    Random,
    Rank,
    Repeat,
    Replace,
    Reverse,
    Round,
    RowNumber,
    Sign,
    Sqrt,
    StrIndex,
    Substr,
    Trim,
    TruncDate,
    TruncMonth,
    Upper,
)

from tests.integration.matrix.values import Read, rows
from tests.integration.matrix.world import MARIADB, SQLITE
from tests.matrixapp.models import Sample
from tests.testapp.models import Article, Author, Comment, Tag

_COLLATION = "NOCASE" if SQLITE else "utf8mb4_bin" if MARIADB else "C"

# Annotations of samples.
SAMPLES: dict[str, Any] = {
    "Lower": Lower("text"),
    "Upper and Trim": Upper(Trim("text")),
    "Concat": Concat("text", Value("-"), "word"),
    "Substr and Left": Concat(Substr("text", 2, 2), Left("word", 1)),
    "Length": Length("text"),
    "Replace": Replace("text", Value("a"), Value("o")),
    "Repeat and LPad": LPad(Repeat("word", 2), 6, Value("*")),
    "Reverse": Reverse("text"),
    "StrIndex": StrIndex("text", Value("a")),
    "MD5": MD5("text"),
    "Collate": Collate("text", _COLLATION),
    "Abs, Sign": Abs("rank") * Sign(F("rank") - 2),
    "Ceil, Floor, Round": Ceil("ratio") + Floor("ratio") + Round("ratio"),
    "Mod, Power, Sqrt": Mod("rank", 2) + Power("rank", 2) + Sqrt("rank"),
    "Cast": Cast("rank", CharField(max_length=5)),
    "Coalesce": Coalesce("number", "rank", Value(0)),
    "NullIf": NullIf("number", Value(10)),
    "Greatest, Least": Greatest("rank", Least("number", Value(5))),
    "TruncMonth": TruncMonth("day"),
    "TruncDate": TruncDate("moment"),
    "Extract": ExtractYear("moment"),
    "time arithmetic": ExpressionWrapper(
        F("span") + dt.timedelta(hours=1), output_field=DurationField()
    ),
    "combined": F("rank") * 2 + F("number") - 1,
    "wrapped condition": ExpressionWrapper(Q(rank__gt=1), output_field=BooleanField()),
    "Case": Case(
        When(number__gt=5, then=Value("much")), When(flag=True, then="text"), default=Value("-")
    ),
    "Value": Value(5),
    "F": F("price"),
    "KeyTextTransform": KT("data__deep__list__0"),
    "key transform": F("data__n"),
    "JSONObject": JSONObject(text="text", rank="rank"),
    "generated column": F("doubled") + 1,
    "Now": ExpressionWrapper(Q(moment__lt=Now()), output_field=BooleanField()),
    "Random": Case(When(Q(rank__gte=0), then=Value(1.0)), default=Random()),
    "RawSQL": RawSQL("rank + 1" if not MARIADB else "`rank` + 1", ()),
    "Window RowNumber": Window(RowNumber(), order_by=["-number", "pk"]),
    "Window Rank by": Window(Rank(), partition_by="size", order_by="rank"),
    "Window DenseRank": Window(DenseRank(), order_by="size"),
    "Window Sum": Window(Sum("rank"), partition_by="size"),
    "Window Lag, Lead": Window(Lag("rank"), order_by="rank"),
    "Window Lead": Window(Lead("rank", 2), order_by="rank"),
    "Window FirstValue": Window(FirstValue("text"), order_by="rank"),
    "Window LastValue": Window(LastValue("text"), order_by="rank"),
    "Window NthValue": Window(NthValue("rank", 2), order_by="rank"),
    "Window Ntile": Window(Ntile(2), order_by="rank"),
    "Window PercentRank": Window(PercentRank(), order_by="rank"),
    "Window frame": Window(Sum("rank"), order_by="rank", frame=RowRange(start=-1, end=0)),
}

_author = Author.objects.filter(pk=OuterRef("author"))
_comments = Comment.objects.filter(article=OuterRef("pk"))

# Annotations of articles.
ARTICLES: dict[str, Any] = {
    "Count": Count("comments"),
    "Count distinct": Count("tags", distinct=True),
    "Count filtered": Count("tags", filter=Q(tags__name="a")),
    "Max across": Max("comments__text"),
    "Min across two": Min("author__articles__views"),
    "Subquery": Subquery(_author.values("name")[:1]),
    "Subquery count": Subquery(
        _comments.order_by().values("article").annotate(n=Count("pk")).values("n")
    ),
    "Exists": Exists(_comments),
    "not Exists": ~Exists(_comments.filter(text__contains="1")),
    "nested OuterRef": Exists(
        Author.objects.filter(
            Exists(Comment.objects.filter(article=OuterRef(OuterRef("pk")))), pk=OuterRef("author")
        )
    ),
    "F across": F("author__name"),
    "Coalesce across": Coalesce("editor__name", "author__name"),
    "Case across": Case(
        When(author__active=True, then=F("author__name")), default=Value("inactive")
    ),
    "Case of subquery": Case(
        When(Exists(_comments), then=Value(1)), default=Value(0), output_field=IntegerField()
    ),
}

# Annotations of authors.
AUTHORS: dict[str, Any] = {
    "Sum": Sum("articles__views"),
    "Sum default": Sum("edited_articles__views", default=0),
    "Sum filtered": Sum("articles__views", filter=Q(articles__published=True)),
    "Avg": Avg("articles__views", output_field=FloatField()),
    # SQLite's cannot do with the NULL of an author without articles.
    "StdDev": StdDev("articles__views", filter=Q(articles__isnull=False)),
    "Variance": Variance("articles__views", filter=Q(articles__isnull=False)),
    "Count across two": Count("articles__tags", distinct=True),
}


def _annotated(model: Any, expression: Any) -> Read:
    return lambda: [(a.pk, a.v) for a in model.objects.annotate(v=expression).order_by("pk")]


def _rows(queryset: Any) -> Read:
    return lambda: rows(queryset.all())


_active = Author.objects.filter(active=True)

SUBQUERIES: dict[str, Any] = {
    "in": Article.objects.filter(author__in=_active).order_by("pk"),
    "in values": Article.objects.filter(author__in=_active.values("pk")).order_by("pk"),
    "not in": Article.objects.exclude(author__in=_active).order_by("pk"),
    "exact": Article.objects.filter(author=Author.objects.filter(slug="ann")[:1]).order_by("pk"),
    "greater": Article.objects.filter(
        views__gt=Article.objects.order_by("views").values("views")[1:2]
    ).order_by("pk"),
    "exists": Author.objects.filter(
        Exists(Article.objects.filter(author=OuterRef("pk"), views__gt=3))
    ).order_by("pk"),
    "through many": Author.objects.filter(
        Exists(Tag.objects.filter(articles__author=OuterRef("pk"), name="a"))
    ).order_by("pk"),
    "in order_by": Article.objects.order_by(Subquery(_author.values("name")[:1]), "pk"),
    "in alias": Article.objects.alias(n=Exists(_comments)).filter(n=True).order_by("pk"),
    "in annotate and filter": Article.objects.annotate(n=Count("comments"))
    .filter(n__gt=0)
    .order_by("-n", "pk"),
    "window filtered": Sample.objects.annotate(n=Window(RowNumber(), order_by="rank"))
    .filter(n__lte=2)
    .order_by("pk"),
    "case in filter": Sample.objects.filter(
        Case(When(number__gt=5, then=F("flag")), default=Value(False), output_field=BooleanField())
    ).order_by("pk"),
    "case in order_by": Sample.objects.order_by(
        Case(When(number__gt=5, then=Value(0)), default=Value(1)), "pk"
    ),
    "function in order_by": Sample.objects.order_by(Lower("text").desc(), "pk"),
    "transform in order_by": Sample.objects.order_by("moment__month", "pk"),
    "random order": Sample.objects.filter(rank=1).order_by("?"),
    "filter by aggregate of relation": Author.objects.alias(n=Sum("articles__views"))
    .filter(n__gt=5)
    .order_by("pk"),
}

READS: dict[str, Read] = {
    **{f"annotate {name}": _annotated(Sample, value) for name, value in SAMPLES.items()},
    **{f"annotate article {name}": _annotated(Article, value) for name, value in ARTICLES.items()},
    **{f"annotate author {name}": _annotated(Author, value) for name, value in AUTHORS.items()},
    **{f"subquery: {name}": _rows(queryset) for name, queryset in SUBQUERIES.items()},
}
