"""Arrays, ranges and key-value columns, compiled without a server."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import CharField, F, IntegerField, Model
from django.test.utils import isolate_apps

from ormcache.analysis.fingerprint import walk
from ormcache.analysis.plan import plan_of
from tests.queryapp.dialects import compiled, dialects
from tests.queryapp.queries import key

pytest.importorskip("psycopg")

POSTGRESQL = dialects()[-1]


@pytest.fixture
def shelf() -> Any:
    """A model with the field types that only PostgreSQL has."""
    from django.contrib.postgres.fields import ArrayField, HStoreField, IntegerRangeField

    with isolate_apps("tests.queryapp"):

        class Shelf(Model):
            labels = ArrayField(CharField(max_length=10))
            grid = ArrayField(ArrayField(IntegerField()))
            sizes = IntegerRangeField()
            facts = HStoreField()

            class Meta:
                app_label = "queryapp"

        return Shelf._default_manager


def queries(shelf: Any) -> list[Any]:
    from django.contrib.postgres.aggregates import ArrayAgg, BoolAnd
    from django.contrib.postgres.expressions import ArraySubquery
    from django.db.backends.postgresql.psycopg_any import NumericRange

    return [
        *(shelf.filter(labels=labels) for labels in (["a"], ["b"], ["a", "b"], ["a, b"], [])),
        *(shelf.filter(labels__contains=labels) for labels in (["a"], ["b"], ["a", "b"])),
        *(shelf.filter(labels__in=lists) for lists in ([["a"]], [["b"]], [["a"], ["b"]])),
        shelf.filter(labels__contained_by=["a"]),
        shelf.filter(labels__overlap=["a"]),
        shelf.filter(labels__len=1),
        shelf.filter(labels__len=2),
        shelf.filter(labels__0="a"),
        shelf.filter(labels__1="a"),
        shelf.filter(labels__0_1=["a"]),
        shelf.filter(labels__0_2=["a"]),
        shelf.filter(grid=[[1]]),
        shelf.filter(grid__0__1=1),
        shelf.filter(grid__1__0=1),
        shelf.filter(sizes=NumericRange(1, 2)),
        shelf.filter(sizes=NumericRange(1, 3)),
        shelf.filter(sizes=NumericRange(1, 2, "[]")),
        shelf.filter(sizes__contains=1),
        shelf.filter(sizes__contains=NumericRange(1, 2)),
        shelf.filter(sizes__startswith=1),
        shelf.filter(sizes__endswith=1),
        shelf.filter(sizes__isempty=True),
        shelf.filter(facts={"a": "1"}),
        shelf.filter(facts__a="1"),
        shelf.filter(facts__b="1"),
        shelf.filter(facts__has_key="a"),
        shelf.filter(facts__has_keys=["a", "b"]),
        shelf.filter(facts__keys=["a"]),
        shelf.filter(facts__values__contains=["a"]),
        shelf.annotate(v=ArrayAgg("sizes")),
        shelf.annotate(v=ArrayAgg("sizes", distinct=True)),
        shelf.annotate(v=ArrayAgg("sizes", order_by="pk")),
        shelf.annotate(v=ArrayAgg("sizes", order_by="-pk")),
        shelf.annotate(v=BoolAnd("sizes__isempty")),
        shelf.annotate(v=ArraySubquery(shelf.values("pk"))),
        shelf.order_by("labels__0"),
        shelf.order_by("labels__1"),
        shelf.order_by(F("facts__a")),
    ]


def test_every_query_has_its_own_digest(shelf: Any) -> None:
    made = queries(shelf)
    texts = [compiled(query.query, POSTGRESQL) for query in made]
    assert [] == [text for text in texts if text[0] == "error"]
    assert len(set(texts)) == len({key(query) for query in made})
    assert len(texts) == len(set(texts))


def test_the_columns_are_read(shelf: Any) -> None:
    for query in (shelf.filter(labels__0="a"), shelf.order_by("labels__len")):
        found = plan_of(query.query, walk(query.query)[0])
        assert {"queryapp_shelf": {"id", "labels"}} == {**found.tables}
