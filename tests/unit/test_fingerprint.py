"""The fingerprint of a query against the SQL that Django compiles from it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import django
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import (
    Count,
    F,
    Max,
    OuterRef,
    Prefetch,
    Subquery,
    Sum,
)  # fmt: skip
from django.db.models.functions import (
    Now,
)  # fmt: skip
from django.utils import timezone

from ormcache.analysis.fingerprint import digest, walk, walk_aggregate
from ormcache.exceptions import Uncacheable
from tests.hashseed import SEEDS, last_line
from tests.queryapp.corpus import NOON, build, positions
from tests.queryapp.dialects import compiled, dialects
from tests.queryapp.models import (
    Article,
    Author,
    Category,
    Country,
    Front,
    LiveArticle,
    Note,
    Tag,
)
from tests.queryapp.queries import ARTICLES, key

AMOUNT = int(os.environ.get("ORMCACHE_TEST_CORPUS", "3000"))


def test_equal_digests_mean_equal_sql_and_typed_parameters() -> None:
    sql_of: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    digests_of: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    refused: set[str] = set()
    for steps in positions(AMOUNT, seed=20261121):
        queryset = build(steps)
        if queryset is None:
            continue
        try:
            found = key(queryset)
        except Uncacheable as refusal:
            refused.add(refusal.reason)
            continue
        sql = tuple(compiled(queryset.query, dialect) for dialect in dialects())
        sql_of[found].add(sql)
        digests_of[sql].add(found)
        # Compiling adds unused joins to nested queries: another key perhaps, the same SQL surely.
        sql_of[key(queryset)].add(sql)
    # An empty part of a union falls away, and with it the fields that are ordered by.
    assert all("does not resolve" in reason for reason in refused)
    assert [] == [sqls for sqls in sql_of.values() if len(sqls) > 1]
    compilable = {sql: keys for sql, keys in digests_of.items() if sql[0][0] not in NO_SQL}
    whole = sum(len(keys) == 1 for keys in compilable.values()) / len(compilable)
    assert AMOUNT / 2 < len(compilable)
    assert 0.98 < whole, f"only {whole:.1%} of the SQL texts have one digest"


NO_SQL = {"empty", "error"}


def test_the_same_steps_give_the_same_digest() -> None:
    for steps in positions(300, seed=1):
        assert key(build(steps)) == key(build(steps)), steps


SCRIPT = """
import json, os, sys
import django
django.setup()
from ormcache.analysis.fingerprint import digest, walk
from tests.queryapp.corpus import build, positions
print(json.dumps([digest(*walk(build(p).query)).hex() for p in positions(150, seed=3)]))
"""


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("hash_seed", SEEDS)
def test_digests_are_stable_across_processes_and_hash_seeds(hash_seed: str) -> None:
    here = [key(build(steps)) for steps in positions(150, seed=3)]
    assert here == json.loads(last_line(SCRIPT, hash_seed))


# Of the same queries on every Python. They differ between versions of Django, whose SQL differs,
# and once between the patches of 5.2. A change here is one of every key of every site: no list is
# found again after the upgrade.
DIGESTS = {
    (5, 2, 0): "064e441c33b9c4b2",
    (5, 2): "5b53ad30326e1571",
    (6, 0): "7d970b89a5f73323",
    (6, 1): "8a861c3b332087b3",
}


def test_digests_are_the_same_on_every_python() -> None:
    digests = "".join(key(build(steps)) for steps in positions(150, seed=3))
    expected = DIGESTS.get(django.VERSION[:3]) or DIGESTS[django.VERSION[:2]]
    assert expected == hashlib.sha256(digests.encode()).hexdigest()[:16]


def test_a_structure_holds_only_plain_tokens() -> None:
    def leaves(token: Any) -> Iterator[type]:
        if type(token) is tuple:
            for part in token:
                yield from leaves(part)
        else:
            yield type(token)

    texts: dict[Any, str] = {}
    for steps in positions(1000, seed=5):
        structure, _ = walk(build(steps).query)
        # 1 == True: no position may hold the one in this query and the other in that.
        assert repr(structure) == texts.setdefault(structure, repr(structure))
        assert {str, int, bool, type(None)}.issuperset(leaves(structure)), steps


def test_walking_changes_nothing_in_the_query() -> None:
    for steps in positions(200, seed=8):
        walked, untouched = build(steps), build(steps)
        key(walked)
        for dialect in dialects():
            assert compiled(untouched.query, dialect) == compiled(walked.query, dialect), steps


def test_an_evaluated_queryset_keeps_its_digest() -> None:
    queryset = Article.objects.all()
    before = key(queryset)
    queryset.query.get_compiler(connection=dialects()[0]).as_sql()
    assert before == key(queryset)


def test_extra_bytes_are_framed() -> None:
    parts = [(), (b"",), (b"ab",), (b"a", b"b"), (b"", b"ab"), (b"ab", b"")]
    assert len(parts) == len({key(ARTICLES, *part) for part in parts})
    assert 16 == len(digest(*walk(ARTICLES.query), b"count"))


def test_the_current_time_zone_counts_where_the_sql_names_it() -> None:
    plain, zoned = ARTICLES.filter(created=NOON), ARTICLES.filter(created__date=NOON.date())
    ordered, distinct = ARTICLES.order_by("created__date"), ARTICLES.distinct("created__hour")
    followed = ARTICLES.filter(created__year=2026)
    for query, depends in [
        (plain, False), (zoned, True), (ordered, True), (distinct, True), (followed, True),
    ]:  # fmt: skip
        seen = set()
        zones = [
            ZoneInfo("UTC"),
            ZoneInfo("Asia/Tokyo"),
            dt.timezone(dt.timedelta(hours=9), "UTC"),
        ]
        for zone in zones:
            with timezone.override(zone):
                seen.add(key(query))
        assert (len(zones) if depends else 1) == len(seen), query.query


def test_a_reference_to_a_multivalued_outer_column_is_another_one() -> None:
    # The same column of the same alias, but Django groups by the whole subquery in the second.
    def grouped(name: str) -> Any:
        inner = Tag.objects.filter(pk=OuterRef(name)).values("weight")[:1]
        return ARTICLES.filter(tags__weight=1).annotate(w=Subquery(inner), n=Count("pk"))

    sql = [compiled(grouped(name).query, dialects()[0]) for name in ("tags", "tags__pk")]
    assert sql[0] != sql[1]
    assert key(grouped("tags")) != key(grouped("tags__pk"))


def aggregate_key(queryset: Any, **aggregates: Any) -> str:
    structure, values, _ = walk_aggregate(queryset.query, aggregates)
    return digest(structure, values).hex()


def test_aggregates_are_told_apart() -> None:
    keys = [
        aggregate_key(ARTICLES, a=Sum("views")),
        aggregate_key(ARTICLES, b=Sum("views")),
        aggregate_key(ARTICLES, a=Max("views")),
        aggregate_key(ARTICLES, a=Sum("price")),
        aggregate_key(ARTICLES, a=Sum("views"), b=Max("views")),
        aggregate_key(ARTICLES, b=Max("views"), a=Sum("views")),
        aggregate_key(ARTICLES.filter(pk=1), a=Sum("views")),
        aggregate_key(ARTICLES.annotate(n=Count("tags")), a=Sum("n")),
        aggregate_key(ARTICLES.annotate(n=Count("tags__name")), a=Sum("n")),
        aggregate_key(ARTICLES, a=Sum("views"), b=F("a") + 1),
        key(ARTICLES.annotate(a=Sum("views"))),
    ]
    assert len(keys) == len(set(keys))


def test_an_aggregate_leaves_the_query_as_it_was() -> None:
    queryset = ARTICLES.annotate(n=Count("tags"))
    before = key(queryset)
    walk_aggregate(queryset.query, {"a": Sum("n"), "t": Max("author__name")})
    assert before == key(queryset)


def test_an_aggregate_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(Uncacheable, match="does not resolve"):
        walk_aggregate(ARTICLES.query, {"a": Sum("nothing")})
    with pytest.raises(Uncacheable, match="volatile"):
        walk_aggregate(ARTICLES.query, {"a": Max(Now())})


@pytest.mark.django_db
def test_the_queries_of_a_many_to_many_prefetch_are_understood() -> None:
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    author = Author.objects.create(name="a")
    articles = [Article.objects.create(title=t, slug=t, author=author, created=day) for t in "ab"]
    keys = set()
    for article in articles:
        manager: Any = article.tags
        queryset = manager.get_prefetch_querysets([article], [Tag.objects.order_by("name")])[0]
        keys.add(key(queryset))
    assert 2 == len(keys)
    assert list(Article.objects.prefetch_related(Prefetch("tags"))) == articles


@pytest.mark.django_db
def test_generic_relations_are_understood() -> None:
    ContentType.objects.get_for_model(Article)
    queries = [
        ARTICLES.filter(notes__text="x"),
        ARTICLES.exclude(notes__text="x"),
        ARTICLES.annotate(n=Count("notes")),
        Article(pk=1).notes.all(),
        Article(pk=2).notes.all(),
        Note.objects.all(),
    ]
    assert len(queries) == len({key(query) for query in queries})


def test_default_orderings_are_named_in_the_structure() -> None:
    structure, _ = walk(ARTICLES.order_by("author").query)
    assert (
        "author",
        ("queryapp.Author", "country", ("queryapp.Country", "name", None), "name", None),
    ) in structure
    assert "-created" in walk(LiveArticle.objects.all().query)[0]
    assert "-created" not in walk(LiveArticle.objects.order_by().query)[0]
    assert key(Front.objects.all()) != key(Front.objects.order_by("pk"))
    assert key(Category.objects.order_by("parent")) != key(Category.objects.order_by("pk"))
    assert key(Country.objects.all()) != key(Country.objects.order_by())
