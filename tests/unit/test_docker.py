"""What can be said of the containers without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugins.redis_server import RedisServer, program_version

DOCKER = Path(__file__).parents[2] / "docker"
PINNED = re.compile(r"[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# A line that ends in a backslash goes on.
DOCKERFILE = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in DOCKERFILE if line.startswith(f"{name} ")]


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_server_is_healthy_before_it_is_used(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert name == SERVICES[name]["user"]
    for client in ("load", "example"):
        assert "service_healthy" == SERVICES[client]["depends_on"][name]["condition"]


def test_only_the_site_is_published_and_only_on_loopback() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert {"example": ["127.0.0.1:8000:8000"]} == published


@pytest.mark.redis_server
@pytest.mark.skipif(program_version() is None, reason="no redis-server program")
def test_redis_is_a_bounded_cache(tmp_path: Path) -> None:
    _, *arguments = SERVICES["redis"]["command"]
    server = RedisServer(tmp_path, *arguments)
    server.start()
    try:
        with server.client() as client:
            assert {"maxmemory": str(256 << 20)} == client.config_get("maxmemory")
            assert {"save": ""} == client.config_get("save")
            policy = client.config_get("maxmemory-policy")
            assert {"maxmemory-policy": "allkeys-lru"} == policy
    finally:
        server.kill()


def test_the_data_is_there_before_the_site() -> None:
    loaded = SERVICES["example"]["depends_on"]["load"]["condition"]
    assert "service_completed_successfully" == loaded


def test_every_stage_of_the_image_is_pinned() -> None:
    bases = [line.split()[0] for line in instructions("FROM")]
    assert 2 == len(bases)
    assert all(PINNED.fullmatch(base) for base in bases)


def test_the_image_runs_as_an_ordinary_user_and_tells_its_health() -> None:
    (user,) = instructions("USER")
    assert int(user) > 0
    (health,) = instructions("HEALTHCHECK")
    assert "CMD" in health


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    for line in instructions("COPY"):
        for source in line.split()[:-1]:
            assert (DOCKER.parent / source).exists()
            assert f"!{source}" in ignored
