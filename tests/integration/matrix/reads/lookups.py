"""Every lookup and transform of Django's core, and trees of them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.lookups import GreaterThan, IsNull

from tests.integration.matrix.values import Read, rows
from tests.integration.matrix.world import MARIADB, MOMENT, SQLITE
from tests.matrixapp.models import Sample
from tests.testapp.models import Article, Document

DAY = MOMENT.date()

# Each is a filter on Sample.
LOOKUPS: list[dict[str, Any]] = [
    {"text": "alpha"},
    {"text__iexact": "BETA"},
    {"text__contains": "a"},
    {"text__icontains": "A"},
    {"text__startswith": "al"},
    {"text__istartswith": "AL"},
    {"text__endswith": "ta"},
    {"text__iendswith": "TA"},
    {"text__contains": "%"},
    {"text__regex": "^[a-g]+$"},
    {"text__iregex": "^[A-G]"},
    {"text__gt": "b"},
    {"text__lte": "b"},
    {"text__in": ["alpha", "omega"]},
    {"text__range": ("a", "c")},
    {"text__isnull": False},
    {"word": "w1"},
    {"word__in": ["w0", "w9"]},
    {"number": 10},
    {"number": None},
    {"number__gt": 5},
    {"number__gte": 10},
    {"number__lt": 20},
    {"number__lte": 10},
    {"number__in": [0, 20, 99]},
    {"number__in": list(range(0, 60, 2))},
    {"number__range": (5, 25)},
    {"number__isnull": True},
    {"number__isnull": False},
    {"rank": 2},
    {"rank__in": [1, 2, 77]},
    {"rank__lt": 2},
    {"price": Decimal("1.50")},
    {"price__gt": 1},
    {"price__range": (Decimal(1), Decimal(3))},
    {"ratio__gte": 0.25},
    {"ratio": 0.5},
    {"flag": True},
    {"flag": False},
    {"flag__isnull": True},
    {"size": Sample.Size.LARGE},
    {"size__in": [Sample.Size.SMALL]},
    {"day": DAY},
    {"day__year": 2026},
    {"day__year__gte": 2026},
    {"day__iso_year": 2026},
    {"day__month": 5},
    {"day__day": 4},
    {"day__week": 19},
    {"day__week_day": 2},
    {"day__iso_week_day": 1},
    {"day__quarter": 2},
    {"day__range": (DAY, DAY + dt.timedelta(50))},
    {"moment": MOMENT},
    {"moment__date": DAY},
    {"moment__date__gt": DAY},
    {"moment__time": MOMENT.time()},
    {"moment__year": 2026},
    {"moment__year__in": [2025, 2026]},
    {"moment__month__lte": 6},
    {"moment__day": 4},
    {"moment__week_day": 2},
    {"moment__hour": 12},
    {"moment__hour__in": [12, 19]},
    {"moment__minute": 30},
    {"moment__second": 15},
    {"moment__gt": MOMENT},
    {"moment__range": (MOMENT, MOMENT + dt.timedelta(50))},
    {"clock__hour": 12},
    {"clock__gte": dt.time(13)},
    {"span__gt": dt.timedelta(minutes=90)},
    {"token": "00000000000000000000000000000002"},
    {"token__in": ["00000000-0000-0000-0000-000000000003"]},
    {"doubled": 4},
    {"doubled__gt": 2},
    {"status": "new"},
    {"data": {"name": "y", "n": 2, "none": None}},
    {"data__isnull": True},
    {"data__name": "x"},
    {"data__name__in": ["x", "z"]},
    {"data__name__icontains": "X"},
    {"data__name__startswith": "x"},
    {"data__name__isnull": True},
    {"data__none": None},
    {"data__n": 2},
    {"data__n__gt": 1},
    {"data__deep__list__1": 2},
    {"data__deep__list__2__k": "v"},
    {"data__0": 1},
    {"data__has_key": "name"},
    {"data__has_keys": ["name", "n"]},
    {"data__has_any_keys": ["deep", "none"]},
    *([] if SQLITE else [{"data__contains": {"n": 1}}, {"data__contained_by": {"n": 1}}]),
]


def _tree() -> dict[str, Any]:
    """Conditions on articles."""
    live, much, ann = Q(published=True), Q(views__gt=2), Q(author__slug="ann")
    return {
        "and": live & much,
        "or": live | much,
        "xor": live ^ much,
        "xor of three": live ^ much ^ ann,
        "not": ~live,
        "not of or": ~(live | ann),
        "not of and across a join": ~(much & ann),
        "nested": (live & ~(much | ann)) | Q(editor=None),
        "or across relations": Q(tags__name="b") | Q(comments__text__contains="1"),
        "not across many": ~Q(tags__name="a"),
        "twice negated": ~~Q(tags__name="a"),
        "column to column": Q(views=F("author__id")),
        "arithmetic": Q(views__gt=F("editor__id") + 1),
        "between columns": Q(views__range=(F("author__id"), 5)),
        "in columns": Q(views__in=[F("author__id"), 4]),
        "lookup expression": GreaterThan(F("views"), Value(2)),
        "isnull expression": IsNull(F("editor"), True),
        "constant": Q(Value(True)) if not MARIADB else Q(GreaterThan(Value(1), Value(0))),
        "empty": Q(),
        "empty in": Q(views__in=[]) | live,
    }


def _sample(conditions: dict[str, Any]) -> Read:
    return lambda: rows(Sample.objects.filter(**conditions).order_by("pk"))


def _article(name: str) -> Read:
    return lambda: rows(Article.objects.filter(_tree()[name]).distinct().order_by("pk"))


def _spell(conditions: dict[str, Any]) -> str:
    ((name, value),) = conditions.items()
    text = repr(value)
    return f"{name}={text if len(text) < 40 else text[:36] + ' ...'}"


READS: dict[str, Read] = {
    **{_spell(conditions): _sample(conditions) for conditions in LOOKUPS},
    **{f"Q: {name}": _article(name) for name in _tree()},
    "exclude": lambda: Article.objects.exclude(editor__name="Bob").order_by("pk"),
    "exclude null": lambda: Sample.objects.exclude(number=10).order_by("pk"),
    "exclude pair": lambda: Article.objects.exclude(tags__name="a", published=True).order_by("pk"),
    "chained filters": lambda: (
        Article.objects.filter(tags__name="a").filter(tags__name="b").order_by("pk")
    ),
    "instance": lambda: Document.objects.filter(content__n=1).order_by("pk"),
    "pk lookups": lambda: Article.objects.filter(pk__gt=0, pk__isnull=False).order_by("pk"),
}
