"""Fields that are selected, and ordered by, in a way of their own: by language, for example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.expressions import Col
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import translation

from ormcache import stable
from ormcache.models import CachedModel
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


class Translated(models.CharField):  # type: ignore[type-arg]
    """Stands for the column of the active language."""

    def get_col(self, alias: Any, output_field: Any = None) -> Any:
        field: Any = self
        if translation.get_language() == "de":
            field = self.model._meta.get_field(f"{self.name}_de")
        return Col(alias, field, output_field)

    @property
    def cached_col(self) -> Any:
        return self.get_col(self.model._meta.db_table)


class Formatted(models.IntegerField):  # type: ignore[type-arg]
    """Twice the number in one language."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return (f"{sql} * 2" if translation.get_language() == "de" else sql), params


@stable
class Halved(models.IntegerField):  # type: ignore[type-arg]
    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return f"{sql} / 2", params


@pytest.fixture
def thing(ormcache_redis: RedisServer) -> Iterator[Any]:
    with isolate_apps("tests.testapp"):

        class Thing(CachedModel):
            title = Translated(max_length=20)
            title_de = models.CharField(max_length=20)
            size = Formatted()

            class Meta:
                app_label = "testapp"

    with connection.schema_editor() as editor:
        editor.create_model(Thing)
    Thing.objects.bulk_create(
        [Thing(title="apple", title_de="z", size=5), Thing(title="pear", title_de="a", size=7)]
    )
    yield Thing
    with connection.schema_editor() as editor:
        editor.delete_model(Thing)


READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda things: vars_of(things.get(pk=1)),
    "all": lambda things: [vars_of(each) for each in things.order_by("pk")],
    "ordered": lambda things: list(things.order_by("title").values_list("pk", flat=True)),
    "reversed": lambda things: [each.pk for each in things.order_by(models.F("title").desc())],
    "values": lambda things: list(things.order_by("pk").values_list("title", "size")),
    "filtered": lambda things: things.filter(title__lt="b").count(),
    "greatest": lambda things: things.aggregate(most=models.Max("size")),
}


def vars_of(instance: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(instance).items() if name != "_state"}


@pytest.mark.parametrize("name", READS)
def test_a_column_chosen_by_the_language(thing: Any, name: str) -> None:
    read = READS[name]
    for language in ("en", "de", "en", "de"):
        with translation.override(language):
            expected = read(thing.nocache)
            assert [expected] * 2 == [read(thing.objects), read(thing.objects)], language


def test_a_declared_field_is_cached(ormcache_redis: RedisServer) -> None:
    with isolate_apps("tests.testapp"):

        class Half(CachedModel):
            size = Halved()

            class Meta:
                app_label = "testapp"

    with connection.schema_editor() as editor:
        editor.create_model(Half)
    try:
        Half.objects.create(size=8)
        assert 4 == Half.objects.get(pk=1).size
        with CaptureQueriesContext(connection) as queries:
            assert 4 == Half.objects.get(pk=1).size
        assert [] == queries.captured_queries
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Half)
