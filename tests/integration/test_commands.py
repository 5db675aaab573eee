"""``manage.py ormcache purge``, and what the subcommands share."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from django.core.management import CommandError
from pytest_django import Settings

from ormcache import cells, runtime, totals
from ormcache.keys import TableKeys, site_prefix, totals_key
from ormcache.management import output
from ormcache.management.names import tables_named
from tests.commands import change_unseen, execute_unseen, keys_of, new_author, run, run_json, warm
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Author, ItalianRestaurant, PlainThing, Tag

pytestmark = pytest.mark.django_db(transaction=True)


def test_purge_lets_nothing_old_be_served(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    change_unseen(author, "Bea")
    assert "Ann" == Author.objects.get(pk=author.pk).name
    run("purge", "testapp.Author")
    assert "Bea" == Author.objects.get(pk=author.pk).name
    assert ["Bea"] == [each.name for each in Author.objects.filter(active=True)]


def test_purge_frees_the_keys_of_the_model_and_no_others(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    tag = Tag.objects.create(name="news")
    assert tag == Tag.objects.get(pk=tag.pk)
    site = site_prefix(runtime.current().config.namespace)
    author_keys = keys_of(Author)
    # Neighbours in name only: another site, an unknown kind, a stranger.
    foreign = [b"x" + site + b"default:testapp_author:row:1", author_keys.prefix + b"new:1"]
    foreign += [site + b"note", b"author", site + b"default:x:named:a:testapp_author:row:1"]
    with ormcache_redis.client() as client:
        for key in foreign:
            client.set(key, b"Vkept")
        found = run_json("purge", "testapp.Author")
        left = set(client.scan_iter(count=1000))
    assert [author_keys.prefix + b"new:1"] == [
        key for key in left if key.startswith(author_keys.prefix)
    ]
    assert set(foreign) <= left
    assert keys_of(Tag).row(tag.pk) in left
    (table,) = found["tables"]
    assert "testapp_author" == table["table"]
    assert (1, 1, 1, 0) == (table["row"], table["list"], table["named"], table["reverse"])
    assert found["keys"] == sum(
        table[kind] for kind in ("row", "list", "named", "stamp", "reverse")
    )


def test_purge_of_the_site_keeps_its_counters(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    totals.flush()
    found = run_json("purge")
    assert 0 < found["keys"]
    with ormcache_redis.client() as client:
        assert [totals_key(runtime.current().config.namespace)] == client.keys()


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_purge_reaches_every_database(ormcache_redis: RedisServer) -> None:
    for using in ("default", "other"):
        Author.objects.using(using).create(name="Ann", slug="ann")
        assert 1 == len(Author.objects.using(using).filter(active=True))
    found = run_json("purge", "testapp.Author")
    assert ["default", "other"] == [table["database"] for table in found["tables"]]


def test_purge_frees_what_unknown_databases_hold(ormcache_redis: RedisServer) -> None:
    """Those of tenants, say, which no alias of this process stands for."""
    cache = runtime.current()
    tenant = TableKeys(cache.config.namespace, "tenant:7", "testapp_author")
    cache.store.run([("SET", tenant.row(1), b"Vvalue")])
    found = run_json("purge", "testapp.Author")
    assert ("tenant:7", 1) == (found["tables"][0]["database"], found["tables"][0]["row"])
    assert [None] == cache.store.mget([tenant.row(1)])[1]


def test_dry_run_changes_nothing_and_tells_what_would_go(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    cache = runtime.current()
    cache.writer.mark(cells.new_token(), [keys_of(Author).row(99)])
    with ormcache_redis.client() as client:
        before = {key: client.dump(key) for key in client.keys()}
        would = run_json("purge", "testapp", "--dry-run")
        assert before == {key: client.dump(key) for key in client.keys()}
    assert 1 == would["kept"]
    went = run_json("purge", "testapp")
    # Generation and lists stamp went with the invalidation.
    stamps = [table.pop("stamp") for found in (would, went) for table in found["tables"]]
    assert 2 == stamps[0] - stamps[1]
    assert would["tables"] == went["tables"]


@pytest.mark.parametrize("embedded", [False, True])
def test_purge_keeps_marks_and_leases(
    embedded: bool, settings: Settings, redis_server: RedisServer
) -> None:
    url = "memory://" if embedded else redis_server.url
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": url}
    cache, keys, token = runtime.current(), keys_of(Author), cells.new_token()
    cache.writer.mark(token, [keys.row(1), keys.generation, keys.column("name")])
    lease = cells.pack_lease(b"e" * 8, cells.new_nonce())
    cache.store.run([("LEASE", keys.row(2), b"", lease, 3000), ("SET", keys.row(3), b"Vvalue")])
    assert {"keys": 1, "kept": 4} == {
        name: value for name, value in run_json("purge").items() if name in ("keys", "kept")
    }
    states = [cell and cell[:1] for cell in cache.store.mget([keys.row(n) for n in (1, 2, 3)])[1]]
    assert [cells.MARK, cells.LEASE, None] == states
    assert (
        0 == cache.writer.release(token, [keys.row(1), keys.generation, keys.column("name")]).lost
    )


def test_a_mark_unlinked_before_the_commit_would_let_old_data_in(
    ormcache_redis: RedisServer,
) -> None:
    """Why purge keeps marks: between mark and commit a reader may fill where there is none."""
    author = new_author()
    cache, row, token = runtime.current(), keys_of(Author).row(author.pk), cells.new_token()
    for unlink, kind in ((False, None), (True, cells.VALUE)):
        change_unseen(author, "old")
        cache.writer.mark(token, [row])
        run("purge", "testapp.Author")
        if unlink:
            cache.store.run([("UNLINK", row)])
        # A reader; the writer has not committed yet.
        assert "old" == Author.objects.get(pk=author.pk).name
        change_unseen(author, "new")
        cell = cache.store.mget([row])[1][0]
        assert kind == (None if cells.is_mark(cell) else cell and cell[:1])
        assert ("old" if unlink else "new") == Author.objects.get(pk=author.pk).name
        # Which the release ends; a writer killed here never would.
        cache.writer.release(token, [row])
        assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.faults
def test_an_interrupted_purge_leaves_a_right_cache(ormcache_wire: Wire) -> None:
    author = new_author()
    warm(author)
    change_unseen(author, "Bea")
    cache, keys = runtime.current(), keys_of(Tag)
    for start in range(0, 20_000, 500):
        cache.store.run([("SET", keys.row(start + i), b"Vvalue") for i in range(500)])

    def interrupt() -> None:
        while "SCAN" not in ormcache_wire.commands:
            time.sleep(0.0001)
        ormcache_wire.pause()
        os.kill(os.getpid(), signal.SIGINT)

    ormcache_wire.reset()
    thread = threading.Thread(target=interrupt)
    # Who is started in the background ignores the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(CommandError, match=r"Everything was purged .* not all") as caught:
            run("purge")
        thread.join()
    finally:
        signal.signal(signal.SIGINT, handler)
    ormcache_wire.resume()
    assert 130 == caught.value.returncode
    assert "Bea" == Author.objects.get(pk=author.pk).name
    assert 0 < run_json("purge")["keys"]


@pytest.mark.faults
def test_purge_without_a_server_fails(ormcache_redis: RedisServer) -> None:
    ormcache_redis.kill()
    with pytest.raises(CommandError, match="does not answer"):
        run("purge")


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("films", {"testapp_film"}),
        ("testapp.photo", {"testapp_photo"}),
        ("testapp.ArticleProxy", {"testapp_article", "testapp_article_tags"}),
        (
            "testapp.ItalianRestaurant",
            {"testapp_italianrestaurant", "testapp_restaurant", "testapp_place"},
        ),
        ("testapp.PlainThing", {"testapp_plainthing"}),
    ],
)
def test_names_stand_for_tables(name: str, tables: set[str]) -> None:
    assert tables == tables_named([name])


def test_purge_of_a_child_reaches_its_parents(ormcache_redis: RedisServer) -> None:
    child = ItalianRestaurant.objects.create(name="Roma")
    assert "Roma" == ItalianRestaurant.objects.get(pk=child.pk).name
    found = run_json("purge", "testapp.ItalianRestaurant")
    assert ["testapp_italianrestaurant", "testapp_place", "testapp_restaurant"] == [
        table["table"] for table in found["tables"] if table["row"] == 1
    ]


def test_purge_of_a_plain_model_drops_the_lists_over_it(ormcache_redis: RedisServer) -> None:
    author = new_author()
    PlainThing.objects.create(author=author, name="pen")
    assert 1 == Author.objects.filter(things__name="pen").count()
    execute_unseen("UPDATE testapp_plainthing SET name = 'cup'")
    assert 1 == Author.objects.filter(things__name="pen").count()
    run("purge", "testapp.PlainThing")
    assert 0 == Author.objects.filter(things__name="pen").count()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("testap", "testapp"), ("film", "films"), ("testapp.Articel", "testapp.Article")],
)
def test_purge_of_an_unknown_name_suggests_one(name: str, hint: str) -> None:
    with pytest.raises(CommandError, match=rf"{name}.*Did you mean .*\b{hint}\b"):
        run("purge", name)


def test_long_work_says_how_far_it_is(
    ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(new_author())
    assert "" == run("purge")[1]
    warm(Author.objects.get())
    monkeypatch.setattr(output, "_SECONDS_BETWEEN_LINES", 0)
    assert "keys freed" in run("purge")[1]
    assert "" == run("purge", "--verbosity", "0")[1]


def test_options_of_django_may_follow_the_subcommand(ormcache_redis: RedisServer) -> None:
    run("ping", "--verbosity", "0", "--no-color", "--settings", "tests.settings")
