"""A small Django site in two processes, on a database and a Redis server of its own.

The tests of other people's packages need settings, applications and even database backends of
their own, so each is a site that lives in processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.ecosystem.support import PASSES, Support
from tests.plugins.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = f"ormcache_site_{os.environ.get('ORMCACHE_TEST_RUN', os.getpid())}" + os.environ.get(
    "PYTEST_XDIST_WORKER", ""
)


def require(package: str) -> None:
    """Fail with ``ImportError`` unless a package is there: who asks for these tests has to have
    installed the extra ``ecosystem``."""
    import_module(package)


class Process:
    """One process of a site; see ``tests.ecosystem.worker``."""

    def __init__(self, description: dict[str, Any], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.ecosystem.worker"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask(description)

    def run(self, code: str) -> None:
        """Execute statements. Fails with the error they raise."""
        answer = self._ask({"do": "run", "code": textwrap.dedent(code)})
        assert "error" not in answer, answer["trace"]

    def read(self, code: str) -> dict[str, Any]:
        """``value`` (the ``repr`` of an expression, or its error), ``sql`` and ``reason``."""
        return self._ask({"do": "read", "code": code})

    def value(self, code: str) -> str:
        """The ``repr`` of an expression, or its error."""
        return str(self.read(code)["value"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the process of the site has died"
        answer: dict[str, Any] = json.loads(line)
        return answer


class Site:
    """What a test does with its site."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.processes: list[Process] = []
        self._description: dict[str, Any] = {}

    def start(
        self,
        models: str,
        *,
        apps: tuple[str, ...] = (),
        setup: str = "",
        names: str = "",
        patch: str = "",
        processes: int = 2,
        ormcache: dict[str, Any] | None = None,
        database: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Site:
        """Create the database, start the processes and migrate.

        ``models``: the source of the application's models. ``setup``: statements run in the first
        process before ``migrate`` (schemas, extensions). ``names``: statements run in every
        process, as functions that reads use. ``patch``: statements run before Django is set up.
        ``ormcache`` and ``database`` change those settings. Settings have to be JSON.
        """
        create_database(NAME)
        self._description = {
            "models": textwrap.dedent(models),
            "patch": textwrap.dedent(patch),
            "settings": {
                "SECRET_KEY": "only for tests",
                "USE_TZ": True,
                "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
                "INSTALLED_APPS": [
                    "django.contrib.contenttypes",
                    "django.contrib.auth",
                    "ormcache",
                    *apps,
                    "tests.ecosystem.app.apps.SiteConfig",
                ],
                "DATABASES": {"default": {**postgres(NAME), **(database or {})}},
                "ORMCACHE": {"URL": self.server.url, "NAMESPACE": "site", **(ormcache or {})},
                **settings,
            },
        }
        self._environment = environment or {}
        self._names = textwrap.dedent(names)
        first = self.join()
        first.run(setup)
        # The site's own tables refer to those of applications with migrations; but the migrate of
        # django-tenants reads the site's own.
        passes = (True,) if "django_tenants" in apps else (False, True)
        first.run(
            "from django.core.management import call_command\n"
            f"for syncs in {passes}:\n"
            "    call_command('migrate', verbosity=0, run_syncdb=syncs, interactive=False)"
        )
        while len(self.processes) < processes:
            self.join()
        for each in self.processes:
            each.run(self._names)
        return self

    def join(self, models: str = "", **settings: Any) -> Process:
        """One more process of the site, with other models or changes to its settings."""
        description = dict(self._description)
        if models:
            description["models"] = textwrap.dedent(models)
        description["settings"] = {**description["settings"], **settings}
        process = Process(description, self._environment)
        self.processes.append(process)
        return process

    def run(self, code: str, *, by: int = 0) -> None:
        """Execute statements in the process of that number."""
        self.processes[by].run(code)

    def warm(self, *reads: str) -> None:
        """Read in every process, so that what can be cached is."""
        for each in (*self.processes, *self.processes):
            for code in reads:
                each.read(code)

    def check(self, *reads: str) -> None:
        """See that every process is given what the database holds, twice."""
        for code in reads:
            expected = self.processes[0].value(f"_past_the_cache(lambda: ({code}))")
            found = [each.value(code) for each in (*self.processes, *self.processes)]
            assert [expected] * len(found) == found, code

    def check_cached(self, *reads: str, besides: str = "") -> None:
        """See that reads are right and answered without SQL once they are warm, but for statements
        with the words ``besides``, which the site sends itself."""
        self.check(*reads)
        for code in reads:
            for each in self.processes:
                answer = each.read(code)
                sent = [sql for sql in answer["sql"] if not besides or besides not in sql]
                assert [] == sent, (code, answer)

    def check_uncached(self, reason: str, *reads: str) -> None:
        """See that reads are right and ask the database each time, for a reason with these
        words."""
        self.check(*reads)
        for code in reads:
            answer = self.processes[0].read(code)
            assert answer["sql"], f"{code} is cached"
            assert reason in answer["reason"], code

    def check_support(self, support: Support) -> None:
        """See that every read the table tells of is right in every process, and cached or not as
        the table says."""
        for _, code in support.cached:
            self.warm(code)
            self.check_cached(code)
        for _, code, reason in support.uncached:
            if reason == PASSES:
                self.check_uncached("", code)
                assert "" == self.processes[0].read(code)["reason"], code
            else:
                self.check_uncached(reason, code)

    def close(self) -> None:
        for each in self.processes:
            each.close()
        drop_database(NAME)


def postgres(name: str) -> dict[str, Any]:
    """An entry of DATABASES."""
    options = {"HOST": "127.0.0.1", "PORT": "5432", "USER": "postgres", "PASSWORD": ""}
    for option in options:
        options[option] = os.environ.get(f"ORMCACHE_TEST_DB_{option}", options[option])
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name, **options}


def create_database(name: str, *, template: str = "template1") -> None:
    drop_database(name)
    _administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def drop_database(name: str) -> None:
    _administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _administer(statement: str) -> None:
    import psycopg

    config = postgres("postgres")
    with psycopg.connect(
        dbname="postgres",
        host=config["HOST"],
        port=config["PORT"],
        user=config["USER"],
        password=config["PASSWORD"],
        autocommit=True,
        connect_timeout=5,
    ) as connection:
        connection.execute(statement)


@pytest.fixture
def site(redis_server: RedisServer) -> Iterator[Site]:
    """A site that is not started yet."""
    require("psycopg")
    made = Site(redis_server)
    try:
        yield made
    finally:
        made.close()
