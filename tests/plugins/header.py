"""What a run covers, said in its header, and loudly what it does not, at its end.

With ``CI=true`` a missing server is a failure.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import pytest
import redis
from django.conf import settings

from tests.plugins import ecosystem
from tests.plugins.databases import TITLES, server_version
from tests.plugins.redis_server import PROGRAM, program_version
from tests.plugins.seed import SEED
from tests.plugins.thorough import IS_THOROUGH, VARIABLE

CLIENTS = ("Django", "redis", "hiredis", "django-redis", "msgpack", "psycopg", "mysqlclient")
EMBEDDED = "memory:"


@dataclass(frozen=True)
class Coverage:
    """The servers of this run in words; ``missing`` are those it wanted and did not find."""

    covered: tuple[str, ...]
    uncovered: tuple[str, ...]
    missing: tuple[str, ...]


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def store_version() -> str:
    if settings.TEST_REDIS.startswith(EMBEDDED):
        return f"the embedded store (fakeredis {package_version('fakeredis')})"
    with redis.Redis.from_url(settings.TEST_REDIS, socket_connect_timeout=5) as client:
        return f"a shared Redis {client.info('server')['redis_version']}"


@cache
def coverage() -> Coverage:
    covered: list[str] = []
    missing: list[str] = []
    kind = settings.TEST_DB
    try:
        covered.append(f"{TITLES[kind]} {server_version(kind, settings.DATABASES['default'])}")
    except Exception as error:  # Every driver has errors of its own, an absent one ImportError.
        missing.append(f"{TITLES[kind]}: {error}".strip())
    try:
        covered.append(store_version())
    except redis.RedisError as error:
        missing.append(f"the Redis of ORMCACHE_TEST_REDIS: {error}")
    uncovered = [title for name, title in TITLES.items() if name != kind]
    if program := program_version():
        covered.append(f"servers of the tests' own ({program})")
    else:
        uncovered.append(f"any real Redis server (no program {PROGRAM})")
    if settings.TEST_REDIS.startswith(EMBEDDED):
        uncovered.append("a Redis shared by all tests (ORMCACHE_TEST_REDIS)")
    if not IS_THOROUGH:
        uncovered.append(f"the long searches: matrix, model, machine, history ({VARIABLE}=1)")
    if not ecosystem.IS_ASKED:
        uncovered.append(f"other people's packages ({ecosystem.VARIABLE}=1)")
    return Coverage(tuple(covered), tuple(uncovered), tuple(missing))


def pytest_configure(config: pytest.Config) -> None:
    missing = list(coverage().missing)
    if os.environ.get("CI") == "true" and program_version() is None:
        missing.append(f"the program {PROGRAM}")
    if missing:
        pytest.exit("cannot test without " + "; nor without ".join(missing), returncode=3)


def pytest_report_header() -> list[str]:
    clients = ", ".join(f"{name} {package_version(name)}" for name in CLIENTS)
    return [
        f"ormcache: {package_version('ormcache')} on Python {platform.python_version()}",
        f"clients: {clients}",
        f"covers: {', '.join(coverage().covered)}",
        f"does NOT cover: {', '.join(coverage().uncovered)}",
        f"seed: ORMCACHE_TEST_SEED={SEED}",
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("NOT covered by this run", yellow=True, bold=True)
    for what in coverage().uncovered:
        terminalreporter.line(f"- {what}", yellow=True)
