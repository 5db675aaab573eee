"""A database and a Redis server for one measurement alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import redis

from benchmarks import settings

SERVER = settings.DATABASES["default"]
STARTUP_SECONDS = 10


@contextmanager
def database(purpose: str) -> Iterator[dict[str, str]]:
    """An empty PostgreSQL database that goes at the end; gives its entry for ``DATABASES``."""
    name = f"ormcache_{purpose}_{os.getpid()}"
    server = {"host": SERVER["HOST"], "port": SERVER["PORT"], "user": SERVER["USER"]}
    password = SERVER["PASSWORD"] or None
    drop = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
    with psycopg.connect(**server, password=password, dbname="postgres", autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {**SERVER, "NAME": name}
        finally:
            admin.execute(drop)


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis server that saves nothing; gives the path of its Unix socket."""
    program = os.environ.get("ORMCACHE_TEST_REDIS_SERVER", "redis-server")
    with tempfile.TemporaryDirectory(prefix="ormcache-redis-") as directory:
        path = f"{directory}/redis.sock"
        options = f"--port 0 --unixsocket {path} --dir {directory} --appendonly no"
        process = subprocess.Popen(
            [program, *options.split(), "--save", ""], stdout=subprocess.DEVNULL
        )
        try:
            _wait(path)
            yield path
        finally:
            process.kill()
            process.wait()


def _wait(path: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    client = redis.Redis(unix_socket_path=path)
    while True:
        try:
            client.ping()
            client.close()
            return
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
