"""``manage.py ormcache`` against real servers, and the embedded store where that is enough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.signals import request_finished
from django.db import connection, connections
from pytest_django import Settings

from ormcache import cells, runtime, stats, totals
from ormcache.keys import TableKeys, site_prefix, totals_key
from ormcache.schema import schema_of
from ormcache.writes.transaction import state_of
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import (
    Article,
    Author,
    Film,
    ItalianRestaurant,
    Photo,
    PlainThing,
    Tag,
)

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def run(*arguments: str) -> tuple[str, str]:
    """What a subcommand writes to the standard output and to the error output."""
    out, err = StringIO(), StringIO()
    call_command("ormcache", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def run_json(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(run(*arguments, "--format", "json")[0]))


def keys_of(model: Any, using: str = "default") -> TableKeys:
    label = state_of(connections[using]).label
    return runtime.current().keys(label, model._meta.db_table)


def new_author(slug: str = "ann") -> Author:
    return Author.objects.create(name="Ann", slug=slug)


def warm(author: Author) -> None:
    """One row, a list, a named list and what belongs to them."""
    assert 1 == len(Author.objects.filter(active=True))
    assert 1 == len(Author.objects.filter(active=True).cache(key="active"))
    assert author == Author.objects.get(pk=author.pk)


def change_unseen(author: Author, name: str) -> None:
    """What another program would do to the row."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute(f"UPDATE testapp_author SET name = '{name}' WHERE id = {author.pk:d}")
    cursor.close()


# purge


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
    assert (1, 1, 1, 1) == (table["row"], table["list"], table["named"], table["reverse"])
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
    assert 0 == cache.writer.release(token, [keys.row(1), keys.generation, keys.column("name")])


def test_a_mark_unlinked_before_the_commit_would_let_old_data_in(
    ormcache_redis: RedisServer,
) -> None:
    """Why purge keeps marks: a reader between mark and commit may fill only where there is none."""
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
    cache.store.run([("SET", keys.row(number), b"Vvalue") for number in range(20_000)])

    def interrupt() -> None:
        while "SCAN" not in ormcache_wire.commands:
            time.sleep(0.0001)
        ormcache_wire.pause()
        os.kill(os.getpid(), signal.SIGINT)

    ormcache_wire.reset()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(CommandError, match="Everything was purged .* not all memory") as caught:
        run("purge")
    thread.join()
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
    from ormcache.management.names import tables_named

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
    cursor = connection.connection.cursor()
    cursor.execute("UPDATE testapp_plainthing SET name = 'cup'")
    cursor.close()
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


# stats


def test_stats_adds_up_the_counts_of_all_processes(ormcache_redis: RedisServer) -> None:
    author = new_author()
    run("stats", "--reset")
    warm(author)
    here = run_json("stats")["counters"]
    script = (
        "import django; django.setup()\n"
        "from tests.testapp.models import Author\n"
        f"for _ in range(3): Author.objects.get(pk={author.pk})\n"
    )
    namespace = runtime.current().config.namespace
    child = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ORMCACHE_TEST_REDIS": ormcache_redis.url,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "" == child.stderr
    found = run_json("stats")
    assert namespace == found["namespace"]
    assert here["row_hit"] + 3 == found["counters"]["row_hit"]
    reads = found["counters"]["row_hit"] + found["counters"]["row_miss"]
    assert round(found["counters"]["row_hit"] / reads, 4) == found["row_hit_rate"]
    assert ("Redis", "master", True) == tuple(
        found["server"][name] for name in ("name", "role", "epoch_known")
    )


def test_stats_reset_sets_the_counters_to_zero(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    assert 0 < run_json("stats", "--reset")["counters"]["row_hit"]
    found = run_json("stats")
    assert {0} == set(found["counters"].values())
    assert found["row_hit_rate"] is None


def test_stats_counts_keys_on_demand(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    assert "keys" not in run_json("stats")
    found = run_json("stats", "--keys")["keys"]
    assert (1, 1, 1, 1, 0) == tuple(
        found[kind] for kind in ("row", "list", "named", "reverse", "mark_or_lease")
    )
    assert 0 < found["stamp"]


def test_stats_as_text(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    out, err = run("stats", "--keys")
    assert "Row hits" in out
    assert "row_hit" in out
    assert "maxmemory" in err


def test_a_request_adds_counts_at_most_every_few_seconds(
    ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = new_author()
    warm(author)
    monkeypatch.setattr(totals, "_due", 0.0)
    ormcache_wire.reset()
    request_finished.send(None)
    assert 1 == ormcache_wire.round_trips
    assert {"HINCRBY"} == set(ormcache_wire.commands)
    Author.objects.get(pk=author.pk)
    ormcache_wire.reset()
    request_finished.send(None)
    assert 0 == ormcache_wire.round_trips


@pytest.mark.faults
def test_counts_wait_for_a_server_that_is_down(ormcache_redis: RedisServer) -> None:
    author = new_author()
    totals.flush()
    Author.objects.get(pk=author.pk)
    counted = stats.unflushed()["row_miss"]
    ormcache_redis.kill()
    totals.flush()
    assert counted == stats.unflushed()["row_miss"]
    with pytest.raises(CommandError, match="does not answer"):
        run("stats")


def test_a_forked_child_does_not_count_for_its_parent() -> None:
    stats.counters["row_hit"] += 5
    child = os.fork()
    if child == 0:
        os._exit(0 if stats.unflushed() == {} else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 5 <= stats.unflushed()["row_hit"]


# inspect


def test_inspect_shows_a_value_and_what_depends_on_it(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    list(Tag.objects.cache(key="tags", depends_on=[author]))
    found = run_json("inspect", "testapp.Author", str(author.pk))
    assert ("testapp.Author", str(author.pk), "default", True) == tuple(
        found[name] for name in ("model", "pk", "database", "hit")
    )
    (cell,) = found["cells"]
    assert ("value", "", "'Ann'") == (cell["state"], cell["reason"], cell["columns"]["name"])
    assert 3_000_000 < cell["ttl_ms"] <= 3_600_000
    assert 3_000_000 < cell["soft_expiry_ms"] <= 3_600_000
    assert 16 == len(cell["generation"])
    relations = sorted((each["relation"], each["exists"]) for each in cell["dependents"])
    assert [("declares", True), ("holds", True), ("holds", True)] == relations
    Author.objects.filter(active=True).cache(key="active").clean()
    (cell,) = run_json("inspect", "testapp.Author", str(author.pk))["cells"]
    assert [False] == [
        each["exists"]
        for each in cell["dependents"]
        if "named" in each["key"] and each["relation"] == "holds"
    ]


def test_inspect_shows_absence(ormcache_redis: RedisServer) -> None:
    found = run_json("inspect", "testapp.Author", "5")
    assert not found["hit"]
    assert ["absent"] == [cell["state"] for cell in found["cells"]]
    assert "absent" in run("inspect", "testapp.Author", "5")[0]


def test_inspect_shows_marks_and_leases(ormcache_redis: RedisServer) -> None:
    cache, keys = runtime.current(), keys_of(Author)
    tokens = [cells.new_token(), cells.new_token()]
    for token in tokens:
        cache.writer.mark(token, [keys.row(1)])
    (cell,) = run_json("inspect", "testapp.Author", "1")["cells"]
    assert "marked" == cell["state"]
    assert {token.hex() for token in tokens} == {mark["token"] for mark in cell["marks"]}
    assert all(4000 < mark["remaining_ms"] <= 5000 for mark in cell["marks"])
    lease = cells.pack_lease(b"e" * 8, cells.new_nonce())
    cache.store.run([("LEASE", keys.row(2), b"", lease, 3000)])
    assert ["lease"] == [c["state"] for c in run_json("inspect", "testapp.Author", "2")["cells"]]


def test_inspect_tells_why_a_value_is_of_no_use(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    cache, keys = runtime.current(), keys_of(Author)
    stamp = cache.store.mget([keys.generation])[1][0]
    epoch, (cell,) = cache.store.mget([keys.row(author.pk)])
    assert stamp is not None
    assert cell is not None
    fingerprint = schema_of(Author).table.fingerprint
    payload = cell[cells.value_offset(cells.value_prefix(epoch, fingerprint, stamp)) :]
    for prefix, body, state, reason in (
        ((b"e" * 8, fingerprint, stamp), payload, "unusable", "other epoch"),
        ((epoch, b"f" * 8, stamp), payload, "unusable", "other schema"),
        ((epoch, fingerprint, cells.pack_stamp(b"g" * 8)), payload, "unusable", "old generation"),
        ((epoch, fingerprint, stamp), b"\xc1", "corrupt", "does not decode"),
    ):
        value = cells.pack_value(cells.value_prefix(*prefix), b"n" * 8, 0.0, 0.0, body)
        cache.store.run([("SET", keys.row(author.pk), value)])
        found = run_json("inspect", "testapp.Author", str(author.pk))
        assert not found["hit"]
        assert (state, -1) == (found["cells"][0]["state"], found["cells"][0]["ttl_ms"])
        assert reason in found["cells"][0]["reason"]
        assert reason in run("inspect", "testapp.Author", str(author.pk))[0]


def test_inspect_cuts_long_values(ormcache_redis: RedisServer) -> None:
    author = new_author()
    article = Article.objects.create(title="t", body="x" * 1000, author=author)
    Article.objects.get(pk=article.pk)
    (cell,) = run_json("inspect", "testapp.Article", str(article.pk))["cells"]
    assert 80 == len(cell["columns"]["body"])


def test_inspect_reads_keys_as_the_field_does(ormcache_redis: RedisServer) -> None:
    photo = Photo.objects.create(title="sea")
    Photo.objects.get(pk=photo.pk)
    assert run_json("inspect", "testapp.Photo", photo.pk.hex)["hit"]
    child = ItalianRestaurant.objects.create(name="Roma")
    ItalianRestaurant.objects.get(pk=child.pk)
    found = run_json("inspect", "testapp.italianrestaurant", str(child.pk))
    assert found["hit"]
    assert 3 == len(found["cells"])


@pytest.mark.sqlite
@pytest.mark.postgres
def test_inspect_text_key_cannot_command_the_terminal(ormcache_redis: RedisServer) -> None:
    out, _ = run("inspect", "testapp.Category", "a\x1b[2J")
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["testapp.Author", "five"], "'five' is no primary key of testapp.Author"),
        (["testapp.Photo", "5"], "'5' is no primary key"),
        (["testapp.Autor", "5"], "Did you mean testapp.Author"),
        (["Author", "5"], "There is no model 'Author'"),
        (["testapp.PlainThing", "5"], "no CachedModel"),
        (["testapp.Author", "5", "--database", "defualt"], "Did you mean default"),
    ],
)
def test_inspect_refuses_what_is_not_there(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("inspect", *arguments)


def test_compare_finds_equality_and_differences(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    arguments = ("inspect", "testapp.Author", str(author.pk), "--compare")
    assert {"in_database": True, "equal": True, "differences": []} == run_json(*arguments)[
        "comparison"
    ]
    change_unseen(author, "Bea")
    out = StringIO()
    with pytest.raises(CommandError, match="differ"):
        call_command("ormcache", *arguments, "--format", "json", stdout=out)
    assert [{"column": "name", "cache": "'Ann'", "database": "'Bea'"}] == json.loads(
        out.getvalue()
    )["comparison"]["differences"]
    run("purge", "testapp.Author")
    assert run_json(*arguments)["comparison"]["equal"]


def test_compare_finds_a_row_that_is_gone(ormcache_redis: RedisServer) -> None:
    film = Film.objects.create(title="M")
    Film.objects.get(pk=film.pk)
    cursor = connection.connection.cursor()
    cursor.execute("DELETE FROM testapp_film")
    cursor.close()
    with pytest.raises(CommandError, match="differ"):
        run("inspect", "testapp.Film", str(film.pk), "--compare")


# ping


def test_ping_reports_the_server(ormcache_redis: RedisServer) -> None:
    found = run_json("ping")
    assert found["scripts"]
    assert 0 < found["latency_us"] < 250_000
    assert ("Redis", "master", True) == (found["name"], found["role"], found["epoch_known"])
    assert ["maxmemory" in text for text in found["warnings"]] == [True]
    with ormcache_redis.client() as client:
        client.config_set("maxmemory", "100mb")
        for policy, warned in (("allkeys-lru", 0), ("noeviction", 1), ("volatile-ttl", 1)):
            client.config_set("maxmemory-policy", policy)
            assert warned == len(run_json("ping")["warnings"])
        assert [] == client.keys()
    out, err = run("ping")
    assert "median of 20" in out
    assert "volatile-ttl" in err


def test_ping_of_the_embedded_store_warns(settings: Settings) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": "memory://"}
    out, err = run("ping")
    assert "fakeredis" in out
    assert "embedded store" in err


@pytest.mark.faults
def test_ping_without_a_server_fails(ormcache_redis: RedisServer) -> None:
    ormcache_redis.kill()
    with pytest.raises(CommandError, match="does not answer"):
        run("ping")


@pytest.mark.faults
def test_ping_of_a_full_server_fails(ormcache_redis: RedisServer) -> None:
    with ormcache_redis.client() as client:
        client.config_set("maxmemory", "1")
    with pytest.raises(CommandError, match="refused"):
        run("ping")


def test_ping_of_a_replica_fails(ormcache_redis: RedisServer) -> None:
    with ormcache_redis.client() as client:
        client.replicaof("127.0.0.1", 1)
    with pytest.raises(CommandError, match="read-only replica"):
        run("ping")


@pytest.mark.parametrize(
    "url",
    [
        "redis://hans:geheim@127.0.0.1:{port}/0",
        "redis://:geheim@127.0.0.1:{port}/0?client_name=geheim",
        "redis://127.0.0.1:{port}/0?password=geheim",
        "redis://:ge/heim@127.0.0.1:{port}/0",
        "redis://:12/geheim@127.0.0.1:{port}/0",
        "redis://hans:geheim@127.0.0.1:{port}x/0",
    ],
)
def test_credentials_are_never_shown(
    url: str, redis_server: RedisServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": url.format(port=redis_server.port)}
    with pytest.raises(CommandError) as caught:
        run("ping")
    for secret in ("geheim", "heim", "hans"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text


def test_misconfiguration_is_a_clear_error(settings: Settings) -> None:
    settings.ORMCACHE = {"URI": "redis://127.0.0.1"}
    with pytest.raises(CommandError, match=r'ORMCACHE\["URI"\].*Did you mean "URL"'):
        run("ping")


def test_options_of_django_may_follow_the_subcommand(ormcache_redis: RedisServer) -> None:
    run("ping", "--verbosity", "0", "--no-color", "--settings", "tests.settings")
