"""Queries that no caller of Django's own makes: nothing is told of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from ormcache.codec.records import pack_links, pack_record
from ormcache.keys import TableKeys
from ormcache.query import fingerprint
from ormcache.query.analysis import Plan, plan
from ormcache.query.revalidation import Changes, changes_of, list_holds
from tests.testapp.models import Article

LINKS = Article.tags.through
ROWS = TableKeys("site", "default", Article._meta.db_table).rows
STAMP = TableKeys("site", "default", LINKS._meta.db_table).rows
RECORDS = [pack_links(["article_id", "tag_id"], [[1, 2]]) or b""]


def told_of(query: Any, changes: dict[bytes, list[bytes]]) -> Changes | None:
    structure, _ = fingerprint.walk(query)
    return changes_of(changes, query, plan(query, structure), int)


def test_a_relation_that_does_not_say_its_columns() -> None:
    query = Article.objects.filter(tags=1).query
    record = pack_record([1], [], []) or b""
    assert told_of(query, {ROWS: [record]}) is not None
    for join in query.alias_map.values():
        if join.parent_alias is not None:
            joined: Any = join
            joined.join_fields = None
    assert told_of(query, {ROWS: [record]}) is None


@isolate_apps("tests.testapp")
def test_links_joined_to_what_is_no_key() -> None:
    class Shelf(models.Model):
        number = models.IntegerField()
        links = models.ForeignObject(
            LINKS, models.CASCADE, from_fields=["number"], to_fields=["article"], related_name="+"
        )

        class Meta:
            app_label = "testapp"

    query = Shelf._default_manager.filter(links__tag=2).query
    tables = frozenset({Shelf._meta.db_table, LINKS._meta.db_table})
    told = changes_of({STAMP: RECORDS}, query, Plan({}, {}, tables), int)
    assert told is None
    assert told_of(Article.objects.filter(tags=2).query, {STAMP: RECORDS}) is not None


def test_rows_grouped_by_hand() -> None:
    queryset: Any = Article.objects.order_by("pk")
    none = frozenset[Any]()
    changes = Changes(frozenset({1}), none, none, none, none, is_all=True)
    assert list_holds(queryset, [[], []], changes, lambda _: [[], []])
    queryset.query.group_by = ("author_id",)
    assert list_holds(queryset, [[], []], changes, pytest.fail) is None
