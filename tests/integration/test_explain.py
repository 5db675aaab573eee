"""``explain_cache()``: why, how, on what, and what is there now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.db.models import Count
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

import ormcache
from ormcache import cells
from ormcache.coherence.reader import GRACE_MS
from ormcache.database import servers
from ormcache.explain.explanation import Explanation
from ormcache.stats import counters
from tests.commands import keys_of
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import (
    Article,
    Author,
    Film,
    ItalianRestaurant,
    Tag,
    Visitor,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    return Author.objects.create(name="Ann", slug="ann")


def listed(author: Author) -> Any:
    return Article.objects.filter(author=author, published=True).order_by("-created")[:20]


def texts(found: Explanation) -> list[str]:
    return [each.text for each in found.depends_on]


def test_what_a_list_depends_on(author: Author) -> None:
    found = listed(author).select_related("editor").explain_cache()
    assert ("testapp.Article", "default", "list", True) == (
        found.model,
        found.database,
        found.kind,
        found.cached,
    )
    assert [
        f"every row of testapp_article where author_id = {author.pk}: coming or going, "
        "and its columns created, editor_id, published",
        "every row of testapp_author: coming or going",
        "the rows of testapp_article it points at, each by its own cell",
        "the rows of testapp_author that editor leads to, each by its own cell",
    ] == texts(found)
    text = str(found)
    assert "testapp.Article in default, list: cached\n" in text
    assert "from a list entry of pointers" in text
    assert f"testapp_article: partition author_id:{author.pk}:published" in text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (lambda: Article.objects.filter(author__in=[1, 2]), "where author_id in (1, 2): coming"),
        (lambda: Article.objects.filter(editor=None), "where editor_id is NULL: coming or going"),
        (lambda: Tag.objects.filter(name__lt="x"), "every row of testapp_tag: coming or going, "),
        (lambda: Tag.objects.cache(depends_on=Visitor), "any of its columns, named in depends_on"),
        (
            lambda: Tag.objects.cache(depends_on=Author(pk=7)),
            "the row of testapp_author where id = 7, named in depends_on",
        ),
        (
            lambda: Tag.objects.cache(depends_on=Author.objects.filter(active=True)),
            "every row of testapp_author: coming or going, and its columns active, named in",
        ),
    ],
)
def test_dependencies_in_words(author: Author, query: Callable[[], Any], text: str) -> None:
    assert any(text in each for each in texts(query().explain_cache())), texts(
        query().explain_cache()
    )


def test_a_list_from_absent_to_hit_to_stale(author: Author) -> None:
    """The key shown is the one a read uses, and what changed is named."""
    articles = listed(author)
    assert "absent" == articles.explain_cache().state
    list(articles)
    found = articles.explain_cache()
    assert "hit" == found.state
    assert found.entry is not None
    assert found.entry.ttl_ms is not None
    assert found.entry.age_ms is not None
    assert 3_600_000 + GRACE_MS == found.entry.ttl_ms + found.entry.age_ms
    assert 100 < found.entry.size < 500
    assert {"there"} == {each.state for each in found.stamps}
    Article.objects.create(title="new", author=author, published=True)
    found = articles.explain_cache()
    assert found.entry is not None
    assert (
        "stale",
        f"changed since: testapp_article: partition author_id:{author.pk} (gone)",
    ) == (
        found.state,
        found.entry.reason,
    )


def test_the_key_is_the_one_in_redis(author: Author, ormcache_redis: RedisServer) -> None:
    tags = Tag.objects.filter(name__lt="x").cache(key="front")
    list(tags)
    with ormcache_redis.client() as client:
        (key,) = client.keys("*:named:*")
        assert key.decode() == tags.explain_cache().key
        assert "hit" == tags.explain_cache().state
        client.set(key, client.get(key)[:-1] + b"\xc1")
        assert "corrupt" == tags.explain_cache().state
        client.set(key, b"garbage")
        assert "unknown" == tags.explain_cache().state
        client.set(key, cells.pack_lease(bytes(8), bytes(8)))
        assert "leased" == tags.explain_cache().state
    assert (
        '"' + key.decode()[:-5] + r'a b\xc3\xa9\x22"'
        == tags.cache(key='a bé"').explain_cache().key
    )


def test_a_mark_is_seen(author: Author) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    list(listed(author))
    original = connection._commit  # type: ignore[attr-defined]
    seen: list[Explanation] = []

    def commit() -> None:
        seen.append(elsewhere(lambda: listed(author).explain_cache()))
        original()

    connection._commit = commit  # type: ignore[attr-defined]
    try:
        Article.objects.create(title="new", author=author)
    finally:
        del connection._commit  # type: ignore[attr-defined]
    assert ["marked"] == [each.state for each in seen]
    assert f"it changes testapp_article: partition author_id:{author.pk}" in str(seen[0])


def test_another_run_and_another_query_under_one_key(
    author: Author, ormcache_redis: RedisServer
) -> None:
    list(Tag.objects.filter(name__lt="x").cache(key="k"))
    found = Tag.objects.filter(name__gt="x").order_by("pk").cache(key="k").explain_cache()
    assert "stored by another query under this key" in str(found)
    with ormcache_redis.client() as client:
        kept = {key: client.dump(key) for key in client.keys("*")}
    ormcache_redis.restart()
    with ormcache_redis.client() as client:
        for key, value in kept.items():
            client.restore(key, 0, value)
    found = Tag.objects.filter(name__lt="x").cache(key="k").explain_cache()
    assert "stale: stored in another run of the server" in str(found)


def test_rows_by_primary_key(author: Author) -> None:
    other = Author.objects.create(name="Bob", slug="bob")
    rows = Author.objects.filter(pk__in=[author.pk, other.pk])
    found = rows.explain_cache()
    assert ("rows", "absent", None) == (found.kind, found.state, found.entry)
    Author.objects.get(pk=author.pk)
    assert ["hit", "absent"] == [each.state for each in rows.explain_cache().rows]
    found = Author.objects.explain_cache("get", pk=author.pk)
    assert ("rows", "hit") == (found.kind, found.state)
    assert found.key == keys_of(Author).row(author.pk).decode()
    assert f"the rows of testapp_author where id = {author.pk}, each" in texts(found)[0]
    assert 3 == len(ItalianRestaurant.objects.explain_cache("get", pk=1).rows)


@pytest.mark.parametrize(
    ("verb", "run"),
    [
        ("", lambda articles: list(articles)),
        ("count", lambda articles: articles.count()),
        ("exists", lambda articles: articles.exists()),
        ("first", lambda articles: articles.first()),
        ("last", lambda articles: articles.last()),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_each_verb_has_the_entry_of_its_read(
    author: Author, verb: str, run: Callable[[Any], Any], ordered: bool
) -> None:
    articles = Article.objects.filter(author=author, views=0)
    articles = articles.order_by("created") if ordered else articles
    assert "absent" == articles.explain_cache(verb).state
    run(articles)
    assert "hit" == articles.explain_cache(verb).state


def test_values_aggregates_and_get_have_the_entry_of_their_read(author: Author) -> None:
    names: Any = Author.objects.filter(active=True).values_list("name", flat=True)
    list(names)
    assert ("values", "hit") == (names.explain_cache().kind, names.explain_cache().state)
    Author.objects.aggregate(Count("pk"), n=Count("name"))
    assert "hit" == Author.objects.explain_cache("aggregate", Count("pk"), n=Count("name")).state
    assert "absent" == Author.objects.explain_cache("aggregate", Count("pk")).state
    for queryset in (Author.objects.order_by("name"), Author.objects.cache(key="ann")):
        queryset.get(slug="ann")
        assert "hit" == queryset.explain_cache("get", slug="ann").state


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (lambda: Tag.objects.order_by("?"), "random order"),
        (lambda: Tag.objects.annotate(at=Now()), "volatile"),
        (lambda: Tag.objects.extra(where=["1=1"]), "raw SQL"),
        (lambda: Tag.objects.select_for_update(), "select_for_update() locks rows"),
        (lambda: Film.objects.all(), "testapp.Film.CacheMeta.lists is False"),
        (
            lambda: Article.objects.only("author__name").select_related("author"),
            "defers fields of related models",
        ),
    ],
)
def test_why_a_query_is_not_cached(author: Author, query: Callable[[], Any], reason: str) -> None:
    found = query().explain_cache()
    assert not found.cached
    assert [reason in each for each in found.reasons] == [True], found.reasons
    assert "not cached\nBecause     " in str(found)


def test_bypass_is_named_and_the_rest_explained(author: Author) -> None:
    with ormcache.bypass():
        found = listed(author).explain_cache()
    assert ("bypass() is active",) == found.reasons
    assert found.key == listed(author).explain_cache().key
    assert "Otherwise   from a list entry" in str(found)


def test_a_dirty_and_a_broken_transaction(author: Author) -> None:
    with transaction.atomic():
        Article.objects.create(title="new", author=author)
        found = listed(author).explain_cache()
        assert ("the running transaction wrote to testapp_article",) == found.reasons
        assert Tag.objects.explain_cache().cached
        Author.objects.filter(pk=author.pk).update(name="new")
        found = Author.objects.explain_cache("get", pk=author.pk)
        assert ("the running transaction wrote to these rows",) == found.reasons
        found = Author.objects.explain_cache("get", pk=author.pk + 1)
        assert found.cached
        assert "the running transaction wrote to testapp_author" in found.not_stored
        transaction.set_rollback(True)
        found = Tag.objects.explain_cache()
        assert "the transaction is broken and has to be rolled back" in found.reasons


def test_an_old_snapshot_is_not_stored(author: Author) -> None:
    level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

    def explained() -> Any:
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute(level)
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    cursor.execute(level)
                found = listed(author).explain_cache()
                assert found.cached
                return found.not_stored

    (text,) = elsewhere(explained)
    assert text == (
        "a transaction of SQLite may see an old snapshot"
        if connection.vendor == "sqlite"
        else "a statement may have changed the isolation level"
    )


def test_the_isolation_level_is_named_once_it_is_known(author: Author) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("its transactions are refused as a whole")

    def explained() -> tuple[Explanation, Explanation]:
        with transaction.atomic():
            before = listed(author).explain_cache()
            list(listed(author))
            return before, listed(author).explain_cache()

    servers.forget_answers()
    before, then = elsewhere(explained)
    assert any("isolation level, not asked for yet" in each for each in before.notes)
    assert () == then.notes
    assert () == then.not_stored


def test_a_replica_and_a_connection_that_sees_otherwise(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replica() -> Any:
        list(listed(author))
        return listed(author).explain_cache().not_stored

    with monkeypatch.context() as patch:
        patch.setattr(servers, "is_replica", lambda connection: True)
        assert ("the database server is a replica",) == elsewhere(replica)
    if connection.vendor != "postgresql":
        return

    def otherwise() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
        return listed(author).explain_cache()

    assert ["search_path" in each for each in elsewhere(otherwise).reasons] == [True]


def test_it_asks_redis_once_changes_nothing_and_runs_no_sql(
    author: Author, ormcache_wire: Wire, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    queries = [
        listed(author),
        Tag.objects.cache(depends_on=[author, Tag]).values("name"),
        Author.objects.filter(pk__in=[author.pk, 77]),
        Author.objects.order_by("?"),
    ]
    list(queries[0])
    for query in queries:
        before = dict(counters)
        ormcache_wire.reset()
        with django_assert_num_queries(0):
            found = query.explain_cache()
        assert ormcache_wire.round_trips == (1 if found.cached else 0)
        assert {"TIME", "GET", "MGET", "PTTL", "INFO"} >= set(ormcache_wire.commands)
        assert before == dict(counters)
        assert query._result_cache is None or query is queries[0]


@pytest.mark.faults
def test_without_redis_the_rest_is_explained(author: Author, ormcache_redis: RedisServer) -> None:
    list(listed(author))
    there = listed(author).explain_cache()
    ormcache_redis.kill()
    found = listed(author).explain_cache()
    assert ("unreachable", there.key, there.depends_on) == (
        found.state,
        found.key,
        found.depends_on,
    )
    assert "does not answer" in str(found)
    found = Author.objects.explain_cache("get", pk=author.pk)
    assert "unreachable" == found.state
    assert "not asked" in str(found)


def test_for_programs_and_for_async_code(author: Author) -> None:
    found = asyncio.run(_explained(author))
    assert found == json.loads(json.dumps(listed(author).explain_cache().as_dict(), default=list))


async def _explained(author: Author) -> Any:
    found = await listed(author).aexplain_cache()
    await sync_to_async(connections.close_all)()
    return json.loads(json.dumps(found.as_dict()))


def test_unknown_verbs_and_arguments(author: Author) -> None:
    with pytest.raises(ValueError, match=r"'get', 'first', 'last', 'count', .* not 'conut'"):
        Author.objects.explain_cache("conut")
    with pytest.raises(TypeError, match=r"explain_cache\('count'\) takes no further arguments"):
        Author.objects.explain_cache("count", 5)
