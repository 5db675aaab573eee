"""ormcache on a Redis server of the test's own."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire


@pytest.fixture
def ormcache_redis(redis_server: RedisServer, settings: Settings) -> RedisServer:
    """ormcache talks to ``redis_server`` during this test."""
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": redis_server.url}
    return redis_server


@pytest.fixture
def ormcache_wire(wire: Wire, settings: Settings) -> Wire:
    """ormcache talks to ``redis_server`` through ``wire`` during this test."""
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": wire.url}
    return wire
