"""What is remembered of the models never outlives the set of them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.db import models
from django.db.migrations.state import ProjectState

from ormcache import modelset
from ormcache.analysis import fingerprint
from ormcache.analysis.names import label
from ormcache.exceptions import Uncacheable
from ormcache.models import CachedModel
from ormcache.modelset import ModelMemo
from ormcache.schema.tables import schema_of, table_of
from ormcache.schema.watched import schema_on, watch_list, watched_tables
from tests.testapp.models import Article, Author


@pytest.fixture(autouse=True)
def _no_traces() -> Iterator[None]:
    yield
    modelset.changed()


def make(called: str, /, *bases: type, **attributes: Any) -> Any:
    """A model in a registry of its own."""
    meta = attributes.pop("meta", {})
    options = {"app_label": "elsewhere", "apps": Apps(), **meta}
    attributes["Meta"] = type("Meta", (), options)
    return type(called, bases or (CachedModel,), {"__module__": __name__, **attributes})


def test_a_memo_keeps_nothing_from_before_a_model_appeared() -> None:
    calls: list[str] = []

    def work_out(key: str) -> int:
        calls.append(key)
        return len(calls)

    memo = ModelMemo(work_out)
    assert [1, 1] == [memo["a"], memo["a"]]
    make("Other")
    assert [2, 2] == [memo["a"], memo["a"]]


def test_what_is_worked_out_while_a_model_appears_is_not_remembered() -> None:
    calls: list[str] = []

    def work_out(key: str) -> int:
        calls.append(key)
        if len(calls) == 1:
            make("Meanwhile")
        return len(calls)

    memo = ModelMemo(work_out)
    assert [1, 2, 2] == [memo["a"], memo["a"], memo["a"]]


def test_every_cached_model_is_watched_whatever_its_registry() -> None:
    assert "elsewhere_late" not in watched_tables()
    late = make("Late")
    watched = watched_tables()["elsewhere_late"]
    assert (late, table_of(late)) == (watched.model, watched.table)
    assert schema_of(late) is schema_on(late, "sqlite")


def test_models_of_the_migrations_history_are_not_watched() -> None:
    before = watch_list()
    state = ProjectState.from_apps(apps)
    assert state.apps.get_model("testapp", "author") is not Author
    assert before is watch_list()


def test_a_model_keeps_its_table_when_others_appear() -> None:
    table = table_of(Article)
    make("Other")
    assert table is table_of(Article)


def test_a_table_of_two_models_with_other_keys_has_the_rows_of_one() -> None:
    make("One", meta={"db_table": "two_faced"})
    other = make(
        "Other",
        slug=models.CharField(max_length=9, primary_key=True),
        meta={"db_table": "two_faced"},
    )
    with pytest.raises(Uncacheable, match=r"is also that of elsewhere\.One, which names"):
        schema_on(other, "sqlite")


def test_a_table_of_two_models_with_one_key_has_the_rows_of_both() -> None:
    one = make("One", meta={"db_table": "shared"})
    other = make("Other", name=models.CharField(max_length=9), meta={"db_table": "shared"})
    assert one is watched_tables()["shared"].model
    assert schema_of(other) is schema_on(other, "sqlite")


def test_rows_are_uncached_while_a_foreign_key_leads_nowhere_yet() -> None:
    early = make("Early", to=models.ForeignKey("elsewhere.Nowhere", models.CASCADE))
    with pytest.raises(Uncacheable, match="which is not there"):
        schema_on(early, "sqlite")
    assert watched_tables()["elsewhere_early"].table is None
    make("Nowhere", meta={"apps": early._meta.apps})
    assert early is schema_on(early, "sqlite").model
    assert watched_tables()["elsewhere_early"].table is not None


def test_every_foreign_key_to_a_table_counts_whichever_model_has_it() -> None:
    assert "elsewhere_late" not in watch_list().referrers.get("testapp_author", ())
    make("Plain", models.Model, meta={"db_table": "elsewhere_late"})
    to = models.ForeignKey(Author, models.CASCADE, related_name="+")
    make("Late", models.Model, to=to, meta={"db_table": "elsewhere_late"})
    assert "elsewhere_late" in watch_list().referrers["testapp_author"]


def test_a_label_names_one_model_for_all_processes_and_others_for_this_one() -> None:
    assert "testapp.Author" == label(Author)
    one = make("Author", meta={"app_label": "testapp"})
    other = make("Author", meta={"app_label": "testapp"})
    names = [label(one), label(other), label(Author)]
    assert len(set(names)) == 3
    assert names == [label(one), label(other), label(Author)]
    queries: list[Any] = [each._base_manager.all().query for each in (one, other, Author)]
    structures = {fingerprint.walk(query)[0] for query in queries}
    assert len(structures) == 3


def test_a_label_is_not_handed_on_to_another_model() -> None:
    """A thread may be about to remember something under it for the model that had it."""
    installed = {"meta": {"app_label": "testapp", "apps": apps}}
    try:
        first = make("Passing", **installed)
        assert "testapp.Passing" == label(first)
        with pytest.warns(RuntimeWarning, match="was already registered"):
            second = make("Passing", **installed)
        assert "testapp.Passing" not in (label(first), label(second))
    finally:
        del apps.all_models["testapp"]["passing"]
        apps.clear_cache()


def test_models_made_by_the_thousand_are_let_go() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    for number in range(300):
        made = make(f"Made{number}", name=models.CharField(max_length=9))
        alive.add(made)
        schema_on(made, "sqlite")
        fingerprint.walk(made.objects.filter(name="n").query)
        del made
        watched_tables()
    gc.collect()
    assert len(alive) <= 1, "what was read last is remembered"


@pytest.mark.django_db
def test_models_that_were_read_are_let_go() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    for number in range(5):
        made = make(
            f"Read{number}", name=models.CharField(max_length=9), meta={"db_table": "testapp_tag"}
        )
        alive.add(made)
        list(made.objects.filter(name="n"))
        made.objects.filter(pk=1).first()
        made.objects.filter(pk__in=[1, 2]).in_bulk()
        del made
    make("Last")
    gc.collect()
    assert not alive
