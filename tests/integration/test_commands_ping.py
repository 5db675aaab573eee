"""``manage.py ormcache ping``."""

from __future__ import annotations

import pytest
from django.core.management import CommandError
from pytest_django import Settings

from tests.commands import run, run_json
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.django_db(databases=["default", "other"])


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
