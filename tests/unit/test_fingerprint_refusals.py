"""What is not known to be deterministic, and how a project declares its own expressions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import (
    CharField,
    Exists,
    Expression,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    Lookup,
    OuterRef,
    Transform,
    Value,
)  # fmt: skip
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Cast,
    Lower,
    Now,
    Random,
)  # fmt: skip

from ormcache.analysis import stability
from ormcache.analysis.fingerprint import stable
from ormcache.analysis.structure import HANDLERS
from ormcache.exceptions import ConfigError, Uncacheable
from tests.queryapp.models import (
    Article,
    Author,
    Tag,
)
from tests.queryapp.queries import ARTICLES, FRAME, TAGGED, annotated, key


class Shout(Func):
    function = "UPPER"
    output_field = CharField()


class MyLower(Lower):
    """A subclass may compile to anything."""


class NotEqual(Lookup):
    lookup_name = "ne"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        lhs, params = self.process_lhs(compiler, connection)
        rhs, more = self.process_rhs(compiler, connection)
        return f"{lhs} <> {rhs}", [*params, *more]


class Both(Transform):
    lookup_name = "both"
    bilateral = True
    function = "LOWER"


class Hidden(Expression):
    """Reads a column it does not show."""

    def __init__(self, text: str, option: Any = None) -> None:
        super().__init__(output_field=IntegerField())
        self.text = text
        self.option = option

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return self.text, []


def locked() -> Any:
    return ARTICLES.select_for_update()


def explained() -> Any:
    queryset = Article.objects.all()
    queryset.query.explain_info = ("text", {})
    return queryset


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: annotated(Now()), "volatile"),
    (lambda: ARTICLES.filter(created__lt=Now()), "volatile"),
    (lambda: ARTICLES.filter(created__lt=Now() - dt.timedelta(days=1)), "volatile"),
    (lambda: ARTICLES.filter(tags__in=Tag.objects.annotate(n=Now()).values("pk")), "volatile"),
    (lambda: ARTICLES.filter(Exists(TAGGED.filter(name=Cast(Now(), CharField())))), "volatile"),
    (lambda: annotated(Random()), "volatile"),
    (lambda: ARTICLES.order_by("?"), "random order"),
    (lambda: ARTICLES.order_by("title", Random()), "volatile"),
    (lambda: ARTICLES.order_by(Now().desc()), "volatile"),
    (lambda: annotated(RawSQL("1", ())), "RawSQL"),
    (lambda: ARTICLES.filter(pk__in=RawSQL("select 1", ())), "RawSQL"),
    (lambda: annotated(Func("title", function="UPPER", output_field=CharField())), "UPPER"),
    (lambda: annotated(Lower("title", template="random()")), "raw SQL"),
    (lambda: annotated(Shout("title")), "Shout is not known"),
    (lambda: annotated(MyLower("title")), "not known to be deterministic"),
    (lambda: ARTICLES.filter(NotEqual(F("views"), 1)), "ormcache.stable"),
    (lambda: annotated(Hidden("1")), "not known to be deterministic"),
    (lambda: ARTICLES.filter(data=object()), "exact encoding"),
    (lambda: annotated(Value(object(), IntegerField())), "exact encoding"),
    (lambda: annotated(Value(Author(pk=1), IntegerField())), "exact encoding"),
    (locked, "locks rows"),
    (explained, "explain"),
    (lambda: ARTICLES.extra(select={"x": "1"}), "raw SQL"),
    (lambda: ARTICLES.extra(where=["1=1"]), "raw SQL"),
    (lambda: ARTICLES.extra(tables=["x"]), "raw SQL"),
    (lambda: ARTICLES.extra(order_by=["title"]), "raw SQL"),
    (lambda: ARTICLES.union(Author.objects.all()), "different models"),
    (lambda: ARTICLES.only("title").union(ARTICLES), "deferred"),
    (
        lambda: ARTICLES.annotate(f=FilteredRelation("tags")).order_by("f__name"),
        "FilteredRelation",
    ),
    (lambda: Tag.objects.filter(articles=OuterRef("pk")), "outer query"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_what_is_not_known_to_be_stable_is_refused(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(Uncacheable, match=reason):
        key(make())


def test_a_custom_transform_in_an_ordering_is_refused() -> None:
    CharField.register_lookup(Both)
    try:
        with pytest.raises(Uncacheable, match="Both"):
            key(ARTICLES.order_by("title__both"))
        with pytest.raises(Uncacheable, match="Both"):
            key(ARTICLES.annotate(v=Lower("title")).order_by("v__both"))
        with pytest.raises(Uncacheable, match="Both"):
            key(ARTICLES.distinct("author__name__both"))
        with pytest.raises(Uncacheable, match=r"Both|bilateral"):
            key(ARTICLES.filter(title__both="x"))
    finally:
        CharField._unregister_lookup(Both)  # type: ignore[arg-type]


# Declared ---------------------------------------------------------------------------------------


@pytest.fixture
def declaring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    monkeypatch.setattr(stability, "_declared", set())
    yield stable
    for kind in (Shout, MyLower, NotEqual, Hidden):
        HANDLERS.pop(kind, None)


def test_declared_expressions_are_told_by_their_arguments(
    declaring: Callable[[Any], Any],
) -> None:
    for kind in (Shout, MyLower, NotEqual, Hidden):
        assert kind is declaring(kind)
    queries = [
        annotated(Shout("title")),
        annotated(Shout("slug")),
        annotated(Shout(Value("title"))),
        annotated(Shout("title", function="LOWER")),
        annotated(MyLower("title")),
        annotated(Lower("title")),
        ARTICLES.filter(NotEqual(F("views"), 1)),
        ARTICLES.filter(NotEqual(F("views"), 2)),
        annotated(Hidden("1")),
        annotated(Hidden("2")),
        annotated(Hidden("1", option=1)),
        annotated(Hidden("1", option=True)),
        annotated(Hidden("1", option=[1, "a"])),
        annotated(Hidden("1", option=IntegerField)),
        annotated(Hidden("1", option=IntegerField())),
        annotated(Hidden("1", option=F("views"))),
        annotated(Hidden("1", option=Lower("title"))),
        annotated(Hidden("1", option=Lower("slug"))),
        annotated(Hidden("1", option=FRAME)),
    ]
    assert len(queries) == len({key(query) for query in queries})
    assert key(annotated(Shout("title"))) == key(annotated(Shout("title")))


def test_an_undeclared_subclass_stays_unknown(declaring: Callable[[Any], Any]) -> None:
    declaring(Lookup)
    with pytest.raises(Uncacheable, match="NotEqual"):
        key(ARTICLES.filter(NotEqual(F("views"), 1)))


@pytest.mark.parametrize("kind", [Now, Random, RawSQL, Func, "Now", int])
def test_what_cannot_be_stable_cannot_be_declared(kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"cannot be declared|takes an expression class"):
        stable(kind)
