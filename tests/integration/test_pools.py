"""Connections of a pool: a thread gets what the one before has made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from ormcache.outage import outbox
from tests.integration.aliases import sql
from tests.integration.authors import seen
from tests.integration.interleave import elsewhere
from tests.integration.test_tenants import tenant_schema
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

__all__ = ["tenant_schema"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"]) == seen(author)
    return author


@pytest.fixture
def _pool(author: Author, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The other threads share a pool of one connection."""
    pytest.importorskip("psycopg_pool")
    here = connections.settings["default"]
    pooled = {**here, "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}}}
    monkeypatch.setitem(connections.settings, "default", pooled)
    yield
    database: Any = connections.create_connection("default")
    database.close_pool()


@pytest.mark.usefixtures("tenant_schema", "_pool")
@pytest.mark.parametrize("is_cached", [True, False])
def test_another_search_path(author: Author, is_cached: bool) -> None:
    """A thread that came to know its connection only when it missed filled in the rows of the
    path that another thread had set."""
    elsewhere(lambda: sql("SET search_path TO tenant, public"))
    if not is_cached:
        Author.objects.filter(pk=author.pk).update(name="old")

    def read() -> tuple[str, list[str]]:
        if is_cached:
            connection.ensure_connection()
        return seen(author)

    assert ("tenant", ["tenant"]) == elsewhere(read)
    assert ("old", ["old"]) == seen(author)


@pytest.mark.usefixtures("_pool")
def test_another_isolation_level(author: Author) -> None:
    """What the server answered before does not hold for a connection that was changed."""

    def read_old() -> None:
        with transaction.atomic():
            assert 1 == Author.nocache.count()
            with outbox.own_connection(connection) as other, other.cursor() as cursor:
                cursor.execute("UPDATE testapp_author SET name = 'new'")
            assert ("old", ["old"]) == seen(author)

    Author.objects.filter(pk=author.pk).update(name="old")
    elsewhere(lambda: transaction.atomic()(seen)(author))
    elsewhere(lambda: sql("SET default_transaction_isolation TO 'repeatable read'"))
    elsewhere(read_old)
    assert ("new", ["new"]) == seen(author)
