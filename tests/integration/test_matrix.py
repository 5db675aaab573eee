"""After each kind of write, each kind of cached read equals the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

import ormcache
from ormcache.stats import counters
from tests.integration.matrix import READS, WRITES, World
from tests.plugins.redis_server import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# What is read from the database every time, and why.
UNCACHED = {"films": "CacheMeta.lists is False"}
UNCACHED_ON_MYSQL = {
    "get text key": "text keys are compared loosely there",
    "select related": "it follows a relation to a text key",
}


def fresh(read: Callable[[], Any]) -> Any:
    with ormcache.bypass():
        return read()


def test_every_write_against_every_read(ormcache_redis: RedisServer) -> None:
    world = World()
    stale = []
    for write_name, write in WRITES.items():
        for read in READS.values():
            read()
        write(world)
        for read_name, read in READS.items():
            expected = fresh(read)
            # Twice: once as the write left it, once as the first reading refilled it.
            for got in (read(), read()):
                if got != expected:
                    stale.append((write_name, read_name, expected, got))
    assert [] == stale


def test_every_read_is_answered_from_the_cache(ormcache_redis: RedisServer) -> None:
    World()
    known = UNCACHED | (UNCACHED_ON_MYSQL if connection.vendor == "mysql" else {})
    uncached = []
    for name, read in READS.items():
        read()
        refused, answered = counters["uncached"], counters["sql_saved"] + counters["row_hit"]
        read()
        if counters["uncached"] > refused:
            uncached.append(name)
        else:
            assert answered < counters["sql_saved"] + counters["row_hit"], name
    assert sorted(known) == sorted(uncached)
