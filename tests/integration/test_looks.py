"""When the outbox is looked into again, before anything the store holds is believed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connection, connections

from ormcache import runtime
from ormcache.outage import outbox
from tests.commands import keys_of
from tests.integration.interleave import after, once
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture
def author(ormcache_wire: Wire) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ["old"] * 2 == [Author.objects.get(pk=author.pk).name for _ in range(2)]
    return author


def _write_noted(author: Author) -> None:
    """What another process leaves that is cut off from the store."""
    with outbox.own_connection(connection) as other:
        other.ensure_connection()
        cursor = other.create_cursor()
        cursor.execute("UPDATE testapp_author SET name = 'new' WHERE id = %s", [author.pk])
        cursor.close()
    keys = keys_of(Author)
    outbox.put(connection, [keys.row(author.pk), keys.generation, keys.lists])


def _believe(seconds: float) -> None:
    """From now on, that the outbox is empty."""
    trusted, until = (
        next(iter(runtime.current().outbox_checks.values())),
        time.monotonic() + seconds,
    )
    trusted.checked = replace(trusted.checked, renew_at=until, until=until)


def _drop_clients(server: RedisServer) -> None:
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)


def test_the_store_is_reached_before_the_look(
    author: Author, ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted after the look, and before the store came back, was not seen by it."""

    def come_back() -> None:
        _write_noted(author)
        ormcache_wire.mend()

    runtime.reset()
    ormcache_wire.cut()
    after(monkeypatch, outbox, "look", once(come_back))
    Author.objects.get(pk=author.pk)
    assert Author.nocache.get().name == Author.objects.get(pk=author.pk).name


def test_a_loss_during_the_look(
    author: Author, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread has connected again meanwhile: the look tells nothing."""

    def lose() -> None:
        _write_noted(author)
        _drop_clients(redis_server)
        runtime.current().store.reach()

    _believe(0.0)
    after(monkeypatch, outbox, "look", once(lose))
    Author.objects.get(pk=author.pk)
    assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.processes
def test_a_fork_looks_again(author: Author, redis_server: RedisServer) -> None:
    """It cannot notice that the connections of its parent were lost."""
    _believe(60.0)
    _write_noted(author)
    _drop_clients(redis_server)
    connections.close_all()
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        try:
            os.write(write_end, Author.objects.get(pk=author.pk).name.encode())
        finally:
            os._exit(0)
    os.close(write_end)
    assert b"new" == os.read(read_end, 10)
    os.wait()


@pytest.mark.parametrize("lost", [True, False], ids=["connection lost", "a while"])
@pytest.mark.parametrize(
    "one",
    [
        lambda: Author.objects.get(pk=Author.nocache.get().pk).name,
        lambda: Author.objects.in_bulk([Author.nocache.get().pk]).popitem()[1].name,
        lambda: Author.objects.order_by("name")[0].name,
        lambda: "old" if Author.objects.filter(name="old").exists() else "new",
    ],
    ids=["row", "rows", "list", "data"],
)
def test_every_read_looks_again(
    ormcache_redis: RedisServer, one: Callable[[], str], lost: bool
) -> None:
    """Others may have been cut off while the connection to the store was lost, or by themselves.
    The very reply that shows the loss is not believed."""
    author = Author.objects.create(name="old", slug="a")
    assert "old" == one() == one()
    _believe(60.0)
    _write_noted(author)
    if lost:
        _drop_clients(ormcache_redis)
    else:
        _believe(0.0)
    assert "new" == one()
