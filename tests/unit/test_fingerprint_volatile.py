"""What may answer otherwise although no row changed is refused, wherever it hides in a query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import (
    Aggregate,
    Case,
    Count,
    DateField,
    DateTimeField,
    ExpressionWrapper,
    F,
    FilteredRelation,
    FloatField,
    Func,
    IntegerField,
    Lookup,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Transform,
    Value,
    When,
    Window,
)  # fmt: skip
from django.db.models import functions as db
from django.db.models.expressions import CombinedExpression, DatabaseDefault, RawSQL
from django.db.models.fields.related_lookups import RelatedExact
from django.db.models.functions import Coalesce, Lower, Now, Random, TruncDay
from django.db.models.lookups import Exact, GreaterThan
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from ormcache.analysis import stability
from ormcache.analysis.fingerprint import stable, walk_aggregate
from ormcache.analysis.structure import HANDLERS
from ormcache.exceptions import ConfigError, Uncacheable
from tests.queryapp.models import Article, Tag
from tests.queryapp.queries import ARTICLES, TAGGED, annotated, key

DAY = dt.timedelta(days=1)


class CurrentDate(Func):
    template = "CURRENT_DATE"
    output_field = DateField()


class NextValue(Func):
    function = "NEXTVAL"
    output_field = IntegerField()


class Median(Aggregate):
    function = "MEDIAN"


class Anniversary(Transform):
    lookup_name = "anniversary"
    function = "AGE"


class PostgresLower(Lower):
    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return "random()::text", []


class LaterNow(Now):
    """A Now by another name."""


class OtherExact(Exact):
    """Registered over a built-in name."""


class OtherRelatedExact(RelatedExact):
    """Registered over a built-in name of relations."""


def named(function: str, *args: Any) -> Func:
    return Func(*args, function=function, output_field=FloatField())


NOW_INSIDE: dict[str, Callable[[Any], Any]] = {
    "annotation": lambda now: annotated(now),
    "arithmetic": lambda now: annotated(now - DAY),
    "arithmetic on the right": lambda now: annotated(
        ExpressionWrapper(F("created") - now, DateTimeField())
    ),
    "filter": lambda now: ARTICLES.filter(created__lt=now),
    "exclude": lambda now: ARTICLES.exclude(created__gte=now - DAY),
    "range": lambda now: ARTICLES.filter(created__range=(now - DAY, now)),
    "in": lambda now: ARTICLES.filter(created__in=[now]),
    "conditional expression": lambda now: ARTICLES.filter(GreaterThan(F("created"), now)),
    "value": lambda now: annotated(Value(now, DateTimeField())),
    "function": lambda now: annotated(TruncDay(now)),
    "coalesce": lambda now: annotated(Coalesce("created", now)),
    "json": lambda now: annotated(db.JSONObject(now=now)),
    "when": lambda now: annotated(Case(When(created__lt=now, then=1))),
    "then": lambda now: annotated(Case(When(views=1, then=now))),
    "default": lambda now: annotated(Case(When(views=1, then="created"), default=now)),
    "aggregate": lambda now: annotated(Max(now)),
    "aggregate filter": lambda now: annotated(Count("tags", filter=Q(created__lt=now))),
    "aggregate default": lambda now: annotated(Max("created", default=now)),
    "window order": lambda now: annotated(Window(db.RowNumber(), order_by=now)),
    "window partition": lambda now: annotated(Window(db.RowNumber(), partition_by=[now])),
    "window filter": lambda now: annotated(Window(Max(now))).filter(v__gt=now),
    "subquery": lambda now: annotated(Subquery(TAGGED.annotate(n=now).values("n")[:1])),
    "subquery of a subquery": lambda now: ARTICLES.filter(
        tags__in=Tag.objects.filter(articles__in=ARTICLES.filter(created__lt=now))
    ),
    "union": lambda now: ARTICLES.union(ARTICLES.filter(created__lt=now)),
    "union of unions": lambda now: ARTICLES.union(
        ARTICLES.filter(pk=1).union(ARTICLES.filter(created=now))
    ),
    "filtered relation": lambda now: ARTICLES.annotate(
        f=FilteredRelation("tags", condition=Q(created__lt=now))
    ).filter(f__name="a"),
    "alias": lambda now: ARTICLES.alias(n=now).filter(n__gt=F("created")),
    "values": lambda now: ARTICLES.values(n=now),
    "values list": lambda now: ARTICLES.values_list(now, flat=True),
    "group": lambda now: ARTICLES.annotate(n=now).values("n").annotate(c=Count("pk")),
    "order": lambda now: ARTICLES.order_by(now),
    "descending order": lambda now: ARTICLES.order_by(now.desc(), "pk"),
    "order by alias": lambda now: ARTICLES.alias(n=now).order_by("n"),
}

VOLATILE: dict[str, Callable[[], Any]] = {
    "Now": Now,
    "Random": Random,
    "CurrentDate": CurrentDate,
    "a subclass of Now": LaterNow,
    "random()": lambda: named("random"),
    "RawSQL": lambda: RawSQL("CURRENT_TIMESTAMP", ()),
    "UUID7": lambda: getattr(db, "UUID7", Random)(),
}


@pytest.mark.parametrize("place", NOW_INSIDE)
@pytest.mark.parametrize("what", VOLATILE)
def test_nothing_hides_what_is_volatile(place: str, what: str) -> None:
    queryset = _made(place, what)
    if queryset is None:
        # Not every expression can stand everywhere; Django says so itself.
        assert what != "Now"
        return
    with pytest.raises(Uncacheable):
        key(queryset)


def _made(place: str, what: str) -> Any:
    try:
        return NOW_INSIDE[place](VOLATILE[what]())
    except Exception:
        return None


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: annotated(NextValue(Value("seq"))), "NextValue"),
    (lambda: annotated(named("nextval", Value("seq"))), "nextval"),
    (lambda: annotated(named("current_setting", Value("app.user"))), "current_setting"),
    (lambda: annotated(named("current_user")), "current_user"),
    (lambda: annotated(named("soundex", "title")), "soundex"),
    (lambda: annotated(Median("views")), "Median"),
    (lambda: annotated(PostgresLower("title")), "PostgresLower"),
    (lambda: annotated(Lower("title", function="random")), "raw SQL"),
    (lambda: annotated(Lower("title", arg_joiner=" || random() || ")), "raw SQL"),
    (lambda: annotated(Count("pk", template="random()")), "raw SQL"),
    (lambda: annotated(Subquery(TAGGED.values("pk"), template="random()")), "raw SQL"),
    (
        lambda: annotated(CombinedExpression(F("views"), "+ random() +", F("views"))),
        "connector",
    ),
    (lambda: annotated(DatabaseDefault(Now(), DateTimeField())), "volatile"),
    (lambda: Article.objects.extra(select={"r": "random()"}), "raw SQL"),
    (lambda: Article.objects.extra(where=["random() < 1"]).values("pk"), "raw SQL"),
    (lambda: ARTICLES.order_by("?", "pk"), "random"),
    (lambda: ARTICLES.filter(pk__in=ARTICLES.order_by("?").values("pk")[:3]), "random"),
    (lambda: annotated(Subquery(TAGGED.order_by("?").values("pk")[:1])), "random"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_what_nobody_knows_is_refused(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(Uncacheable, match=reason):
        key(make())


def test_a_volatile_aggregate_of_aggregate_is_refused() -> None:
    for volatile in (Max(Now()), Median("views"), Max("created", filter=Q(created__lt=Now()))):
        with pytest.raises(Uncacheable):
            walk_aggregate(ARTICLES.query, {"a": volatile})


def test_a_volatile_default_ordering_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for ordering in ([Now()], ["?"], [Random().desc(), "pk"], [F("created") - Now()]):
        monkeypatch.setattr(Article._meta, "ordering", ordering)
        with pytest.raises(Uncacheable):
            key(Article.objects.all())


@pytest.mark.parametrize(
    ("field", "lookup", "make"),
    [
        ("title", OtherExact, lambda: ARTICLES.filter(title="a")),
        ("author", OtherRelatedExact, lambda: ARTICLES.filter(author=1)),
        ("created", Anniversary, lambda: ARTICLES.order_by("created__anniversary")),
    ],
)
def test_a_lookup_registered_by_the_project_is_refused(
    field: str, lookup: Any, make: Callable[[], Any]
) -> None:
    owner = Article._meta.get_field(field)
    with_it: Any = type(owner)
    with_it.register_lookup(lookup)
    try:
        with pytest.raises(Uncacheable, match=lookup.__name__):
            key(make())
    finally:
        with_it._unregister_lookup(lookup)
    HANDLERS.pop(lookup, None)


@pytest.mark.parametrize(
    ("kind", "make"), [(Lower, Lower), (Exact, lambda name: Exact(F(name), 1))]
)
def test_a_built_in_that_is_patched_is_refused(
    kind: Any, make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_sqlite(self: Any, compiler: Any, connection: Any, **extra: Any) -> Any:
        return "random()", []

    monkeypatch.setattr(kind, "as_sqlite", as_sqlite, raising=False)
    HANDLERS.pop(kind, None)
    with pytest.raises(Uncacheable, match=kind.__name__):
        key(annotated(make("title")))
    monkeypatch.undo()
    assert key(annotated(make("title")))


def test_a_monkeypatched_manager_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is that of the query as it runs, whoever made it so."""
    manager: Any = type(Article.objects)
    before = key(Article.objects.all())
    original = manager.get_queryset
    monkeypatch.setattr(manager, "get_queryset", lambda self: original(self).filter(views=1))
    assert before != key(Article.objects.all())
    monkeypatch.setattr(
        manager, "get_queryset", lambda self: original(self).filter(created__lt=Now())
    )
    with pytest.raises(Uncacheable, match="volatile"):
        key(Article.objects.all())


def test_the_current_language_counts_where_a_text_follows_it() -> None:
    def asked() -> str:
        return key(ARTICLES.filter(title=gettext_lazy("Monday")))

    with translation.override("en"):
        monday = asked()
    with translation.override("de"):
        assert monday != asked()
        assert asked() == key(ARTICLES.filter(title="Montag"))


def test_the_current_time_zone_counts_in_a_prepared_queryset() -> None:
    prepared = ARTICLES.annotate(on=TruncDay("created")).filter(on__isnull=False)
    with timezone.override("UTC"):
        first = key(prepared)
    with timezone.override("Asia/Tokyo"):
        assert first != key(prepared)
    with timezone.override("UTC"):
        assert first == key(prepared)


# Declared ---------------------------------------------------------------------------------------


class Near(Lookup):
    lookup_name = "near"

    def __init__(self, lhs: Any, rhs: Any, distance: int = 1) -> None:
        super().__init__(lhs, rhs)
        self.distance = distance

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        lhs, params = self.process_lhs(compiler, connection)
        rhs, more = self.process_rhs(compiler, connection)
        return f"abs({lhs} - {rhs}) < {self.distance}", [*params, *more]


class Nearer(Near):
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "random() < 0.5", []


class OtherMedian(Median):
    def as_sql(self, *args: Any, **extra: Any) -> Any:
        return "random()", []


@pytest.fixture
def declaring(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stability, "_declared", set())
    yield stable
    for kind in (Near, Nearer, Median, OtherMedian, Anniversary):
        HANDLERS.pop(kind, None)


def test_every_kind_of_expression_can_be_declared(declaring: Any) -> None:
    for kind in (Near, Median, Anniversary):
        declaring(kind)
    queries = [
        ARTICLES.filter(Near(F("views"), 1)),
        ARTICLES.filter(Near(F("views"), 2)),
        # The third argument reaches the SQL as well.
        ARTICLES.filter(Near(F("views"), 1, 2)),
        ARTICLES.filter(Near(F("views"), 1, distance=3)),
        annotated(Median("views")),
        annotated(Median("rating")),
        annotated(Median("views", default=1)),
        annotated(Median("views", filter=Q(views=1))),
        annotated(Median("views", filter=Q(views=2))),
        annotated(Median("views", filter=~Q(views=1))),
        annotated(Median("views", filter=Q(views=1) | Q(pk=1))),
        annotated(Median("views", filter=Q(views=1) & Q(pk=1))),
        annotated(Anniversary("created")),
    ]
    assert len(queries) == len({key(query) for query in queries})


def test_a_declaration_is_not_inherited(declaring: Any) -> None:
    declaring(Near)
    declaring(Median)
    for query in (ARTICLES.filter(Nearer(F("views"), 1)), annotated(OtherMedian("views"))):
        with pytest.raises(Uncacheable, match="declare it with"):
            key(query)


@pytest.mark.parametrize(
    "kind", [LaterNow, QuerySet, F, OuterRef, Near(F("pk"), 1), None, "Lower"]
)
def test_errors_of_stable_say_what_is_wrong(kind: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"volatile|takes an expression class or a field class, not"
    ):
        stable(kind)
