"""ormcache on a Redis server of the test's own."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from ormcache.outage import outbox
from ormcache.store import connect
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire

PATIENCE = 5.0
"""Seconds a call may take: on a machine that is busy with tests, slow does not mean broken."""


@pytest.fixture
def ormcache_redis(
    redis_server: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> RedisServer:
    """ormcache talks to ``redis_server`` during this test."""
    monkeypatch.setattr(connect, "TIMEOUT", PATIENCE)
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": redis_server.url}
    return redis_server


@pytest.fixture
def ormcache_wire(wire: Wire, settings: Settings) -> Wire:
    """ormcache talks to ``redis_server`` through ``wire`` during this test."""
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": wire.url}
    return wire


@pytest.fixture
def brief_notice(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of an outage waits for a tenth of a second, to be noticed by all."""
    if "whole_notice" not in request.keywords:
        monkeypatch.setattr(outbox, "INTERVAL", 0.1)
