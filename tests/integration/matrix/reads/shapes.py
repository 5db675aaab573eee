"""Results that are data: values, counts, aggregates, combinations."""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Count, F, Max, Min, Q, StdDev, Sum
from django.db.models.functions import Lower, TruncYear

from tests.integration.matrix.values import Read
from tests.matrixapp.models import Sample
from tests.testapp.models import Article, Author, Comment, Restaurant, Tag

_few = Article.objects.filter(views__lt=3)
_live = Article.objects.filter(published=True)


def _sorted(queryset: Any) -> Read:
    return lambda: sorted(each.pk for each in queryset.all())


def _data(queryset: Any) -> Read:
    """The values of ``queryset``, in the order of the database or, if it has none, any."""
    return lambda: list(queryset.all()) if queryset.ordered else sorted(queryset.all(), key=repr)


VALUES: dict[str, Any] = {
    "values": Article.objects.order_by("pk").values("title", "author__name"),
    "values of everything": Article.objects.order_by("pk").values(),
    "values of expression": Article.objects.order_by("pk").values(low=Lower("title")),
    "values of a generated column": Sample.objects.order_by("pk").values("doubled"),
    "values of JSON": Sample.objects.order_by("pk").values("data", "data__name"),
    "values of children": Restaurant.objects.order_by("pk").values("name", "serves_pizza"),
    "values_list": Article.objects.order_by("pk").values_list("pk", "title"),
    "values_list across many": Article.objects.order_by("pk", "tags__name").values_list(
        "pk", "tags__name"
    ),
    "values_list flat": Tag.objects.values_list("name", flat=True),
    "values_list named": Author.objects.order_by("pk").values_list("slug", "name", named=True),
    "values_list of every type": Sample.objects.order_by("pk").values_list(),
    "values sliced": Article.objects.order_by("-views", "pk").values_list("title")[1:3],
    "values distinct": Article.objects.order_by("published").values("published").distinct(),
    "distinct across many": Article.objects.filter(tags__isnull=False).distinct().values("pk"),
    "group": Article.objects.values("author__name")
    .annotate(n=Count("id"), total=Sum("views"))
    .order_by("author__name"),
    "group having": Article.objects.values("author")
    .annotate(n=Count("tags"))
    .filter(n__gt=1)
    .order_by("author"),
    "group by expression": Sample.objects.values(year=TruncYear("day"))
    .annotate(n=Count("pk"))
    .order_by("year"),
    "dates": Sample.objects.filter(day__isnull=False).dates("day", "month"),
    "dates descending": Sample.objects.filter(day__isnull=False).dates("day", "year", "DESC"),
    "datetimes": Article.objects.datetimes("created", "day"),
    "datetimes by hour": Sample.objects.filter(moment__isnull=False).datetimes("moment", "hour"),
    "values of union": _few.values_list("title").union(Author.objects.values_list("name")),
    "values of through": Article.tags.through.objects.values_list("article__title", "tag__name"),
}

COMBINED: dict[str, Any] = {
    "union": _few.union(_live),
    "union all": _few.union(_live, all=True),
    "intersection": _few.intersection(_live),
    "difference": _few.difference(_live),
    "union of three": _few.union(_live, Article.objects.filter(author__slug="ann")),
    "union of two models": Author.objects.only("pk").union(Tag.objects.order_by().only("pk")),
    "or of querysets": _few | _live,
    "and of querysets": _few & _live,
    "xor of querysets": _few ^ _live,
}

AGGREGATES: dict[str, Any] = {
    "plain": lambda: Article.objects.aggregate(
        Count("id"), Sum("views"), Max("title"), low=Min("views"), mean=Avg("views")
    ),
    "across relations": lambda: Article.objects.aggregate(
        name=Min("author__name"), tags=Count("tags"), texts=Max("comments__text")
    ),
    "distinct": lambda: Article.objects.aggregate(n=Count("author", distinct=True)),
    "filtered": lambda: Article.objects.aggregate(n=Count("pk", filter=Q(tags__name="a"))),
    "default": lambda: Article.objects.filter(views__gt=60).aggregate(n=Sum("views", default=0)),
    "of annotation": lambda: Article.objects.annotate(n=Count("tags")).aggregate(m=Max("n")),
    "of slice": lambda: Article.objects.order_by("-views", "pk")[:3].aggregate(n=Sum("views")),
    "of distinct": lambda: Article.objects.values("author").distinct().aggregate(n=Count("*")),
    "of expression": lambda: Article.objects.aggregate(n=Sum(F("views") * 2)),
    "of decimals": lambda: Sample.objects.aggregate(Sum("price"), Avg("price"), Max("price")),
    "of other types": lambda: Sample.objects.aggregate(
        Min("day"), Max("moment"), Sum("ratio"), Max("clock"), Sum("span")
    ),
    "deviation": lambda: Article.objects.aggregate(StdDev("views")),
    "empty": lambda: Article.objects.none().aggregate(n=Count("pk")),
}

NUMBERS: dict[str, Any] = {
    "count": lambda: Article.objects.filter(published=True).count(),
    "count of all": lambda: [m.objects.count() for m in (Author, Tag, Comment, Sample)],
    "count across many": lambda: Article.objects.filter(tags__name__in=["a", "b"]).count(),
    "count distinct": lambda: Article.objects.filter(tags__isnull=False).distinct().count(),
    "count sliced": lambda: Article.objects.order_by("pk")[2:4].count(),
    "count annotated": lambda: (
        Author.objects.annotate(n=Count("articles")).filter(n__gt=2).count()
    ),
    "count of union": lambda: _few.union(_live).count(),
    "count of values": lambda: Article.objects.values("author").distinct().count(),
    "exists": lambda: [Article.objects.filter(title=t).exists() for t in ("raw", "saved", "New")],
    "exists across": lambda: Author.objects.filter(articles__title="No. 1").exists(),
    "exists sliced": lambda: Article.objects.order_by("pk")[6:].exists(),
    "exists annotated": lambda: Author.objects.annotate(n=Count("articles")).filter(n=0).exists(),
}

READS: dict[str, Read] = {
    **{name: _data(queryset) for name, queryset in VALUES.items()},
    **{name: _sorted(queryset) for name, queryset in COMBINED.items()},
    **{f"aggregate {name}": read for name, read in AGGREGATES.items()},
    **NUMBERS,
    "union ordered": lambda: [a.pk for a in _few.union(_live).order_by("-id")],
    "union sliced": lambda: [a.pk for a in _few.union(_live).order_by("id")[1:3]],
    "explain": lambda: bool(Article.objects.all().explain()),
}
