"""What is broken while the workers run, but for the workers themselves. Each fault lasts from the
call to the return of its function."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
from django.conf import settings
from django.db import connection

from tests.history.board import Board
from tests.history.journal import administrator
from tests.history.names import POLICIES
from tests.history.proxy import CUT, DELAY, LOSE_COMMIT, LOSE_REPLY, ONE_WAY, PASS, Proxies
from tests.history.servers import Store

REDIS, DATABASE = "redis", "database"
"""The names of the two proxies."""

_JUNK = "junk:%d"
_JUNK_BYTES = 512


@dataclass(frozen=True, slots=True)
class World:
    """What faults can reach."""

    store: Store
    proxies: Proxies
    board: Board
    rng: random.Random

    def pause(self, shortest: float, longest: float) -> None:
        time.sleep(self.rng.uniform(shortest, longest))


Fault = Callable[[World], None]


def flush(world: World) -> None:
    with world.store.client() as client:
        client.flushall()


def flush_scripts(world: World) -> None:
    with world.store.client() as client:
        client.script_flush()


def kill_redis(world: World) -> None:
    world.store.kill()
    world.pause(0.0, 1.0)
    world.store.rdb.unlink(missing_ok=True)
    world.store.start()


def restore_old_rdb(world: World) -> None:
    """The server comes back with what it held some time ago."""
    with world.store.client() as client:
        client.save()
    world.pause(0.2, 2.0)
    world.store.kill()
    world.store.start()
    world.store.rdb.unlink(missing_ok=True)


def debug_sleep(world: World) -> None:
    with world.store.client() as client, contextlib.suppress(redis.TimeoutError):
        client.execute_command("DEBUG", "SLEEP", f"{world.rng.uniform(0.05, 1.0):.3f}")


def pause_clients(world: World) -> None:
    milliseconds = int(world.rng.uniform(50, 1000))
    with world.store.client() as client:
        client.client_pause(milliseconds)
    time.sleep(milliseconds / 1000)


def kill_clients(world: World) -> None:
    with world.store.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def freeze_redis(world: World) -> None:
    world.store.server.freeze()
    try:
        world.pause(0.05, 1.5)
    finally:
        world.store.server.thaw()


def fail_over(world: World) -> None:
    world.store.fail_over()
    # Whoever is connected through the proxy finds the new server as the others do.
    world.proxies.set(REDIS, CUT)
    world.proxies.set(REDIS, PASS)


def memory(policy: str) -> Fault:
    """Redis is full, and does what ``policy`` says about it."""

    def run(world: World) -> None:
        with world.store.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory-policy", policy)
            client.config_set("maxmemory", str(used + 64 * 1024))
            try:
                _fill_up(client, time.monotonic() + world.rng.uniform(0.5, 1.5))
            finally:
                client.config_set("maxmemory", "0")

    return run


def _fill_up(client: redis.Redis, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        pipeline = client.pipeline(transaction=False)
        for _ in range(20):
            number += 1
            # Policies for volatile keys only would otherwise find nothing else to evict.
            pipeline.set(_JUNK % number, b"x" * _JUNK_BYTES, ex=60 if number % 2 else None)
        pipeline.execute(raise_on_error=False)
        time.sleep(0.005)
    for first in range(1, number + 1, 500):
        last = min(first + 500, number + 1)
        client.unlink(*(_JUNK % each for each in range(first, last)))


def proxied(name: str, mode: str, longest: float) -> Fault:
    """The network between one worker and a server."""

    def run(world: World) -> None:
        world.proxies.set(name, mode)
        try:
            world.pause(0.05, longest)
        finally:
            # A connection that lost something is of no use to anybody.
            world.proxies.set(name, CUT)
            world.proxies.set(name, PASS)

    return run


def terminate_connections(world: World) -> None:
    """The database ends every connection of the workers."""
    name = settings.DATABASES["default"]["NAME"]
    with administrator() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            return
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [name])
        for (number,) in cursor.fetchall():
            # One that is gone already is as good as killed.
            with contextlib.suppress(Exception):
                cursor.execute(f"KILL {int(number)}")


def stop_process(world: World) -> None:
    """One worker stands still."""
    pid = world.rng.choice(world.board.pids())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            world.pause(0.05, 1.5)
        finally:
            os.kill(pid, signal.SIGCONT)


FAULTS: dict[str, Fault] = {
    "flush": flush,
    "script-flush": flush_scripts,
    "redis-kill": kill_redis,
    "old-rdb": restore_old_rdb,
    "debug-sleep": debug_sleep,
    "client-pause": pause_clients,
    "client-kill": kill_clients,
    "freeze": freeze_redis,
    "fail-over": fail_over,
    **{f"memory-{policy}": memory(policy) for policy in POLICIES},
    "redis-cut": proxied(REDIS, CUT, 1.0),
    "redis-one-way": proxied(REDIS, ONE_WAY, 1.0),
    "redis-delay": proxied(REDIS, DELAY, 1.0),
    "redis-reply-lost": proxied(REDIS, LOSE_REPLY, 0.5),
    "db-cut": proxied(DATABASE, CUT, 0.5),
    "db-delay": proxied(DATABASE, DELAY, 1.0),
    "db-commit-lost": proxied(DATABASE, LOSE_COMMIT, 1.0),
    "db-terminate": terminate_connections,
    "process-stop": stop_process,
}
