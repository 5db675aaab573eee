"""Querysets of a project's own: whatever they override is what a cached read does, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, models
from django.db.models import Count, F, Max, Q, Value
from django.db.models.query import ModelIterable
from django.db.models.sql.compiler import SQLCompiler as BaseSQLCompiler
from django.db.models.sql.query import Query
from django.test.utils import CaptureQueriesContext, isolate_apps

import ormcache
from ormcache.adoption import turned
from ormcache.exceptions import Uncacheable
from ormcache.managers import CachedQuerySet
from ormcache.models import CachedModel
from ormcache.reads.build import builder
from ormcache.reads.related import branches_of
from ormcache.schema.tables import schema_of
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

VISIBLE = Q(slug__lt="m")


class Filter(models.QuerySet[Author]):
    def filter(self, *args: Any, **kwargs: Any) -> Any:
        return super().filter(VISIBLE, *args, **kwargs)


class Exclude(models.QuerySet[Author]):
    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        return super().exclude(*args, **kwargs).filter(VISIBLE)


class FilterOrExclude(models.QuerySet[Author]):
    def _filter_or_exclude(self, negate: Any, args: Any, kwargs: Any) -> Any:
        found: Any = super()._filter_or_exclude(negate, args, kwargs)  # type: ignore[misc]
        found.query.add_q(VISIBLE)
        return found


class InPlace(models.QuerySet[Author]):
    def _filter_or_exclude_inplace(self, negate: Any, args: Any, kwargs: Any) -> None:
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        self.query.add_q(VISIBLE)


class Chain(models.QuerySet[Author]):
    def _chain(self) -> Any:
        found: Any = super()._chain()  # type: ignore[misc]
        if not found.query.is_sliced:
            found.query.add_q(VISIBLE)
        return found


class Clone(models.QuerySet[Author]):
    def _clone(self) -> Any:
        found: Any = super()._clone()  # type: ignore[misc]
        if not found.query.is_sliced:
            found.query.add_q(VISIBLE)
        return found


class FetchAll(models.QuerySet[Author]):
    def _fetch_all(self) -> None:
        if self._result_cache is None and not self.query.is_sliced:
            self.query.add_q(VISIBLE)
        super()._fetch_all()


class Marking(models.QuerySet[Author]):
    def _fetch_all(self) -> None:
        super()._fetch_all()
        for each in self._result_cache or ():
            if isinstance(each, Author):
                each.name = f"marked {each.name}".replace("marked marked", "marked")


class Length(models.QuerySet[Author]):
    def __len__(self) -> int:
        return super().__len__() and 1


class OwnQuery(models.QuerySet[Author]):
    @property
    def query(self) -> Any:
        found: Any = super().query
        if not found.is_sliced and not found.where.children:
            found.add_q(VISIBLE)
        return found

    @query.setter
    def query(self, value: Any) -> None:
        models.QuerySet.query.fset(self, value)  # type: ignore[attr-defined]


class OrderBy(models.QuerySet[Author]):
    def order_by(self, *names: Any) -> Any:
        return super().order_by(*names or ["-slug"]).filter(VISIBLE)


class Get(models.QuerySet[Author]):
    def get(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get(*args, slug__lt="m", **kwargs)
        except self.model.DoesNotExist:
            return None


class CountMore(models.QuerySet[Author]):
    def count(self) -> int:
        return super().count() + 1000


class Exists(models.QuerySet[Author]):
    def exists(self) -> bool:
        return not super().exists()


class Aggregate(models.QuerySet[Author]):
    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        return {"of": "mine", **super().aggregate(*args, **kwargs)}


class ValuesList(models.QuerySet[Author]):
    def values_list(self, *fields: Any, **kwargs: Any) -> Any:
        return super().values_list(*sorted(fields, key=str), **kwargs)


class Values(models.QuerySet[Author]):
    def _values(self, *fields: Any, **kwargs: Any) -> Any:
        return super()._values(*reversed(fields), **kwargs).filter(VISIBLE)  # type: ignore[misc]


class Annotate(models.QuerySet[Author]):
    def annotate(self, *args: Any, **kwargs: Any) -> Any:
        return super().annotate(*args, mine=Value(1), **kwargs)


class InBulk(models.QuerySet[Author]):
    def in_bulk(self, *args: Any, **kwargs: Any) -> Any:
        found = super().in_bulk(*args, **kwargs)
        return {key: each for key, each in found.items() if each.slug < "m"}


class First(models.QuerySet[Author]):
    def first(self) -> Any:
        return super().filter(VISIBLE).last()


class Iterator(models.QuerySet[Author]):
    def __iter__(self) -> Any:
        return iter([each for each in super().__iter__() if "zoe" not in str(vars(each))])


class Mine(ModelIterable):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        for each in super().__iter__():
            if each.slug < "m":
                each.name = each.name.upper()
                yield each


class OwnIterable(models.QuerySet[Author]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._iterable_class = Mine


class Hiding(Query):
    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_sliced:
            self.add_q(VISIBLE)
        return super().get_compiler(*args, **kwargs)


class OwnQueryClass(models.QuerySet[Author]):
    def __init__(self, model: Any = None, query: Any = None, **kwargs: Any) -> None:
        super().__init__(model, query or Hiding(model), **kwargs)


class AddingCompiler(BaseSQLCompiler):
    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        if not self.query.is_sliced:
            self.query.add_q(VISIBLE)
        return super().as_sql(*args, **kwargs)


class Compiled(Query):
    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        made = super().get_compiler(*args, **kwargs)
        made.__class__ = AddingCompiler
        return made


class OwnCompiler(models.QuerySet[Author]):
    def __init__(self, model: Any = None, query: Any = None, **kwargs: Any) -> None:
        super().__init__(model, query or Compiled(model), **kwargs)


KINDS: list[Any] = [
    Filter, Exclude, FilterOrExclude, InPlace, Chain, Clone, FetchAll, Marking, Length, OwnQuery,
    OrderBy, Get, CountMore, Exists, Aggregate, ValuesList, Values, Annotate, InBulk, First,
    Iterator, OwnIterable, OwnQueryClass, OwnCompiler,
]  # fmt: skip


def below(kind: Any) -> Any:
    return type(kind.__name__, (CachedQuerySet, kind), {})(Author)


def above(kind: Any) -> Any:
    return type(kind.__name__, (kind, CachedQuerySet), {})(Author)


def adopted(kind: Any) -> Any:
    return turned(kind(Author))


def row(author: Any) -> Any:
    return (author.pk, author.name, author.slug) if isinstance(author, Author) else author


def rows(found: Any) -> Any:
    return [row(each) for each in found]


READS: dict[str, Callable[[Any, int, int], Any]] = {
    "get": lambda qs, ann, zoe: row(qs.get(pk=ann)),
    "get hidden": lambda qs, ann, zoe: row(qs.get(pk=zoe)),
    "get by slug": lambda qs, ann, zoe: row(qs.get(slug="zoe")),
    "filter pk": lambda qs, ann, zoe: rows(qs.filter(pk=zoe)),
    "filter pks": lambda qs, ann, zoe: rows(qs.filter(pk__in=[ann, zoe]).order_by("pk")),
    "exclude": lambda qs, ann, zoe: rows(qs.exclude(pk=ann).order_by("pk")),
    "all": lambda qs, ann, zoe: sorted(rows(qs.all()), key=str),
    "length": lambda qs, ann, zoe: len(qs.all()),
    "order": lambda qs, ann, zoe: rows(qs.order_by("-slug")),
    "slice": lambda qs, ann, zoe: rows(qs.order_by("-slug")[:1]),
    "item": lambda qs, ann, zoe: row(qs.order_by("-slug")[0]),
    "first": lambda qs, ann, zoe: row(qs.first()),
    "last": lambda qs, ann, zoe: row(qs.order_by("slug").last()),
    "latest": lambda qs, ann, zoe: row(qs.latest("slug")),
    "count": lambda qs, ann, zoe: qs.count(),
    "count some": lambda qs, ann, zoe: qs.filter(pk__in=[ann, zoe]).count(),
    "exists": lambda qs, ann, zoe: qs.exists(),
    "exists hidden": lambda qs, ann, zoe: qs.filter(pk=zoe).exists(),
    "aggregate": lambda qs, ann, zoe: qs.aggregate(Max("slug"), n=Count("pk")),
    "in_bulk": lambda qs, ann, zoe: sorted(qs.in_bulk([ann, zoe])),
    "values": lambda qs, ann, zoe: list(qs.order_by("slug").values("slug", "name")),
    "values_list": lambda qs, ann, zoe: list(qs.order_by("slug").values_list("slug", "name")),
    "flat": lambda qs, ann, zoe: list(qs.order_by("slug").values_list("slug", flat=True)),
    "annotate": lambda qs, ann, zoe: [
        (row(each), each.a) for each in qs.annotate(a=F("slug")).order_by("pk")
    ],
    "annotate first": lambda qs, ann, zoe: [
        (row(each), each.a) for each in qs.annotate(a=Value(2)).order_by("pk")
    ],
    "related": lambda qs, ann, zoe: rows(qs.filter(articles=None).order_by("pk")),
    "contains": lambda qs, ann, zoe: qs.contains(Author(pk=zoe)),
}


def answer(read: Any, make: Callable[[], Any], *pks: int) -> Any:
    try:
        return read(make(), *pks)
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("order", [below, above, adopted])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_overridden_counts(kind: Any, order: Any) -> None:
    ann = Author.objects.create(name="Ann", slug="ann").pk
    zoe = Author.objects.create(name="Zoe", slug="zoe").pk
    for name, read in READS.items():
        plain = answer(read, lambda: kind(Author), ann, zoe)
        for _ in range(3):
            assert plain == answer(read, lambda: order(kind), ann, zoe), name
        with ormcache.bypass():
            assert plain == answer(read, lambda: order(kind), ann, zoe), f"{name}, bypassed"


class Backend(type(connection.ops)):  # type: ignore[misc]
    """The operations of a backend that adds to every SQL."""

    compiler_module = "tests.integration.test_overrides"


SQLCompiler = AddingCompiler


def test_a_backend_that_compiles_in_its_own_way_is_not_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ann = Author.objects.create(name="Ann", slug="ann").pk
    zoe = Author.objects.create(name="Zoe", slug="zoe").pk
    reads = ("get", "get hidden", "filter pks", "all", "count", "values")
    plain = [answer(READS[name], Author.objects.all, ann, zoe) for name in reads]
    default = connections["default"]
    monkeypatch.setattr(default, "ops", Backend(default))
    hidden = [answer(READS[name], Author.nocache.all, ann, zoe) for name in reads]
    assert plain != hidden
    for _ in range(2):
        assert hidden == [answer(READS[name], Author.objects.all, ann, zoe) for name in reads]
    assert "compiler of its own" in str(Author.objects.all().explain_cache())


class Unbound(models.ForeignKey):  # type: ignore[type-arg]
    """A foreign key that leads only to what is active."""

    def get_extra_restriction(self, alias: Any, related_alias: Any) -> Any:
        field: Any = self.remote_field.model._meta.get_field("active")
        return field.get_lookup("exact")(field.get_col(alias), True)


def test_a_relation_that_joins_under_a_condition_is_left_to_django() -> None:
    with isolate_apps("tests.testapp"):

        class Kept(CachedModel):
            author = Unbound(Author, models.CASCADE, related_name="+")

            class Meta:
                app_label = "testapp"

    with pytest.raises(Uncacheable, match="condition of its own"):
        branches_of(schema_of(Kept), {"author": {}}, 5, connection.vendor)


class Counting(models.base.ModelBase):
    """Has a say in how instances are made."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.was_called = True
        return made


def test_a_metaclass_that_makes_instances_is_called() -> None:
    with isolate_apps("tests.testapp"):

        class Kept(CachedModel, metaclass=Counting):
            class Meta:
                app_label = "testapp"

    assert builder(Kept, ("id",), "default")([1]).was_called


def test_a_query_that_only_adds_conditions_is_cached() -> None:
    Author.objects.create(name="Ann", slug="ann")
    Author.objects.create(name="Zoe", slug="zoe")
    queryset = adopted(OwnQueryClass)
    for read in (
        lambda: rows(queryset.order_by("pk")),
        lambda: list(queryset.values_list("slug", flat=True)),
        lambda: row(queryset.get(slug="ann")),
    ):
        expected = read()
        with CaptureQueriesContext(connection) as queries:
            assert expected == read()
        assert [] == queries.captured_queries
    explanation = queryset.explain_cache()
    assert explanation.cached


class Redirecting(models.QuerySet[Author]):
    """Writes to other rows than its own."""

    def update(self, **kwargs: Any) -> int:
        return int(self._others().update(**kwargs))

    def _update(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return self._others()._update(values, *args, **kwargs)

    def _raw_delete(self, using: Any) -> int:
        return int(self._others()._raw_delete(using))

    def _others(self) -> Any:
        own = [each.pk for each in models.QuerySet.__iter__(self)]
        return models.QuerySet(self.model, using=self.db).exclude(pk__in=own)


NAME: Any = Author._meta.get_field("name")


OverRedirecting: Any = type("OverRedirecting", (CachedQuerySet, Redirecting), {})


WRITES: dict[str, Callable[[Any, int], Any]] = {
    "update by key": lambda found, pk: found.filter(pk=pk).update(name="new"),
    "update": lambda found, pk: found.filter(slug="ann").update(name="new"),
    "save": lambda found, pk: found.filter(pk=pk)._update([(NAME, None, "new")]),
    "delete": lambda found, pk: found.filter(slug="ann")._raw_delete("default"),
}


@pytest.mark.parametrize("kind", [turned(Redirecting(Author)).__class__, OverRedirecting])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_to_other_rows_than_those_of_the_queryset(name: str, kind: Any) -> None:
    ann = Author.objects.create(name="Ann", slug="ann").pk
    zoe = Author.objects.create(name="Zoe", slug="zoe").pk

    def read() -> list[list[str]]:
        manager = Author.objects
        return [
            [each.name for each in manager.filter(pk__in=[ann, zoe])],
            [each.name for each in manager.order_by("slug")],
            list(manager.filter(slug="zoe").values_list("name", flat=True)),
        ]

    assert read() == read()
    WRITES[name](kind(Author), ann)
    with ormcache.bypass():
        expected = read()
    assert [expected] * 2 == [read(), read()]
