"""Servers in every state: full, demoted, loading, promoted by a Sentinel, part of a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from ormcache import runtime
from ormcache.exceptions import StoreError
from ormcache.models import OutboxEntry
from ormcache.stats import counters
from ormcache.store.channel import Channel
from tests.commands import execute_unseen
from tests.integration.outage import recover
from tests.plugins.redis_server import RedisServer, Sentinel, free_port
from tests.testapp.models import Article, Author

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.faults,
    pytest.mark.usefixtures("brief_notice"),
]


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[RedisServer]:
    directory.mkdir()
    server = RedisServer(directory, *arguments)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def use(settings: Settings, url: str) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": url}


def read() -> tuple[str, list[str], int]:
    return (
        Author.objects.get(slug="a").name,
        [each.name for each in Author.objects.order_by("name")],
        Author.objects.filter(active=True).count(),
    )


def write(name: str) -> None:
    Author.objects.filter(slug="a").update(name=name)


def until_hits(name: str) -> None:
    """Read, always right, until the cache answers again."""
    # The breaker waits up to 5 s for its next probe, and the marks of a replay last as long.
    deadline, before = time.monotonic() + 30, dict(counters)
    while counters["list_hit"] == before["list_hit"] and time.monotonic() < deadline:
        assert (name, [name], 1) == read()
    counted = {each: n - before[each] for each, n in counters.items() if n != before[each]}
    assert counted.get("list_hit"), counted


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"], 1) == read() == read()
    return author


def fill_up(client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)


def test_a_full_server_still_takes_marks(author: Author, ormcache_redis: RedisServer) -> None:
    """It answers reads, so what it holds must still be invalidated; it takes no fills."""
    with ormcache_redis.client() as client:
        if int(client.info()["redis_version"].split(".")[0]) < 7:
            pytest.skip("older servers refuse, and the outbox takes note")
        fill_up(client)
        write("new")
        assert not OutboxEntry.objects.filter(waiting=True)
        # A process that was told nothing reads the very cells.
        keys = runtime.current().keys("default", Author._meta.db_table)
        assert not client.exists(keys.row(author.pk))
        assert ("new", ["new"], 1) == read() == read()
        client.config_set("maxmemory", 0)
    until_hits("new")


def test_a_full_server_that_refuses_marks(
    author: Author, ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Redis 7: the outbox takes note."""
    from ormcache.store import channel, scripts

    monkeypatch.setattr(channel, "scripts_for", lambda version: scripts.PLAIN)
    runtime.reset()
    assert ("old", ["old"], 1) == read()
    with ormcache_redis.client() as client:
        fill_up(client)
        write("new")
        assert 1 == OutboxEntry.objects.filter(waiting=True).count()
        assert ("new", ["new"], 1) == read()
        client.config_set("maxmemory", 0)
    until_hits("new")
    assert not OutboxEntry.objects.filter(waiting=True)


def test_scripts_may_be_forgotten_at_any_time(author: Author, ormcache_redis: RedisServer) -> None:
    with ormcache_redis.client() as client:
        client.script_flush()
        write("new")
        assert ("new", ["new"], 1) == read()
        client.script_flush()
        until_hits("new")
    assert not OutboxEntry.objects.filter(waiting=True)


def test_a_primary_that_became_a_replica(
    author: Author, ormcache_redis: RedisServer, tmp_path: Path
) -> None:
    """Its values are read no more, whatever they are."""
    with running(tmp_path / "other") as other, ormcache_redis.client() as client:
        client.replicaof("127.0.0.1", other.port)
        write("new")
        assert ("new", ["new"], 1) == read()
        assert 1 == OutboxEntry.objects.filter(waiting=True).count()
        client.replicaof("NO", "ONE")
        recover()
    until_hits("new")
    assert not OutboxEntry.objects.filter(waiting=True)


def test_a_connection_in_use_when_its_primary_becomes_a_replica(
    author: Author, ormcache_redis: RedisServer, tmp_path: Path
) -> None:
    """It is left like the idle ones, as soon as it is free."""
    store = runtime.current().store

    def demote(channel: Channel) -> object:
        client.replicaof("127.0.0.1", other.port)
        write("new")
        return channel.call((b"PING",))

    with (
        running(tmp_path / "other") as other,
        ormcache_redis.client() as client,
        pytest.raises(StoreError, match="read-only replica"),
    ):
        store._attempt(demote)


@pytest.mark.parametrize("is_promoted_again", [False, True])
def test_a_primary_that_becomes_a_replica_while_a_connection_lives(
    author: Author, ormcache_redis: RedisServer, is_promoted_again: bool
) -> None:
    """It goes on answering reads, and the marks of others go elsewhere. As a primary once more it
    is another one."""
    assert ("old", ["old"], 1) == read()
    with ormcache_redis.client() as client:
        # Nothing is there: it keeps what it has.
        client.replicaof("127.0.0.1", str(free_port()))
        # By a process that has found the new primary.
        execute_unseen(f"UPDATE testapp_author SET name = 'new' WHERE id = {author.pk}")
        if is_promoted_again:
            client.replicaof("NO", "ONE")
        assert ("new", ["new"], 1) == read()
        client.replicaof("NO", "ONE")
    assert ("new", ["new"], 1) == read()
    until_hits("new")


def test_a_primary_that_takes_no_writes_answers_reads(
    author: Author, ormcache_redis: RedisServer
) -> None:
    """``min-replicas-to-write``, and a snapshot that could not be saved, refuse writes only."""
    assert ("old", ["old"], 1) == read()
    with ormcache_redis.client() as client:
        client.config_set("min-replicas-to-write", 1)
        hits = counters["row_hit"]
        assert "old" == Author.objects.get(pk=author.pk).name
        client.config_set("min-replicas-to-write", 0)
    assert hits + 1 == counters["row_hit"]


def test_a_server_that_is_loading(
    author: Author, ormcache_redis: RedisServer, tmp_path: Path
) -> None:
    with ormcache_redis.client() as client:
        for i in range(200):
            client.set(f"other:{i}", i)
        client.save()
    ormcache_redis.arguments = ("--key-load-delay", "10000")
    ormcache_redis.kill()
    ormcache_redis._answers = lambda: True  # type: ignore[method-assign]  # before it has loaded
    ormcache_redis.start()
    refused = counters["store_error"] + counters["store_down"]
    assert ("old", ["old"], 1) == read()
    write("new")
    assert ("new", ["new"], 1) == read()
    assert refused < counters["store_error"] + counters["store_down"]
    until_hits("new")
    assert not OutboxEntry.objects.filter(waiting=True)


def test_a_node_of_a_cluster_is_as_good_as_none(settings: Settings, tmp_path: Path) -> None:
    # Else it takes the port 10,000 above its own, which need not exist.
    bus = ("--cluster-port", str(free_port()))
    with running(tmp_path / "node", "--cluster-enabled", "yes", *bus) as node:
        use(settings, node.url)
        author = Author.objects.create(name="old", slug="a")
        assert ("old", ["old"], 1) == read() == read()
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            write("new")
            assert ("new", ["new"], 1) == read() == read()
            client.execute_command("CLUSTER", "DELSLOTSRANGE", 0, 8000)
            write("newer")
            assert ("newer", ["newer"], 1) == read() == read()
        author.delete()


def test_a_sentinel_names_the_primary(settings: Settings, tmp_path: Path) -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(running(tmp_path / "primary"))
        link = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
        replica = stack.enter_context(running(tmp_path / "replica", *link))
        (tmp_path / "sentinel").mkdir()
        sentinel = Sentinel(tmp_path / "sentinel", primary)
        stack.callback(sentinel.kill)
        sentinel.start()
        use(settings, sentinel.url)
        Author.objects.create(name="old", slug="a")
        until_hits("old")
        with replica.client() as client:
            wait_for(lambda: client.dbsize() > 0)
        primary.kill()
        write("new")
        assert ("new", ["new"], 1) == read()
        until_hits("new")
        # What the promoted replica had copied belongs to another run.
        assert not OutboxEntry.objects.filter(waiting=True)
        assert 0 == Article.objects.count()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
