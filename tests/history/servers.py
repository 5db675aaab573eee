"""The Redis of a run: found under one path, whichever server stands behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.plugins.redis_server import PROGRAM, RedisServer, free_port

_PATIENCE = 20.0


class Store:
    """A Redis server that can be replaced by another. Clients connect to ``socket``, a symbolic
    link to the socket of the server in charge, so that a fail-over costs no proxy."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = 0
        self.socket = str(directory / "redis.sock")
        self.server = self._make()
        self.server.start()
        self._take_charge(self.server)

    def client(self) -> redis.Redis:
        """A client of the server in charge. Gives up after some seconds."""
        return redis.Redis(port=self.server.port, socket_timeout=5, socket_connect_timeout=5)

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    @property
    def rdb(self) -> Path:
        """The file the server in charge loads when it starts."""
        return self.server.directory / "dump.rdb"

    def fail_over(self) -> None:
        """A Sentinel promotes a replica after the primary was killed."""
        replica = self._make("--replicaof", "127.0.0.1", str(self.server.port))
        replica.start()
        old, sentinel = self.server, None
        try:
            _await(lambda: _info(replica.port, "replication")["master_link_status"] == "up")
            sentinel = self._start_sentinel(old.port)
            old.kill()
            _await(lambda: _info(replica.port, "replication")["role"] == "master")
            # When it is started again it follows nobody.
            replica.arguments = self.server.arguments
            self._take_charge(replica)
        finally:
            if sentinel is not None:
                sentinel.kill()
                sentinel.wait()
            if self.server is not replica:
                replica.kill()
        shutil.rmtree(old.directory, ignore_errors=True)

    def close(self) -> None:
        if self.server.process is not None:
            self.server.thaw()
            self.server.kill()

    def _make(self, *arguments: str) -> RedisServer:
        self._made += 1
        directory = self._directory / f"redis-{self._made}"
        directory.mkdir()
        # Without it a replica that has just connected would wait five seconds.
        quick = ("--repl-diskless-sync-delay", "0", "--loglevel", "warning")
        return RedisServer(directory, "--enable-debug-command", "yes", *quick, *arguments)

    def _take_charge(self, server: RedisServer) -> None:
        link = Path(self.socket + ".next")
        link.symlink_to(server.directory / "redis.sock")
        os.replace(link, self.socket)
        self.server = server

    def _start_sentinel(self, port: int) -> subprocess.Popen[bytes]:
        own = free_port()
        config = self._directory / f"sentinel-{own}.conf"
        config.write_text(
            f"port {own}\nbind 127.0.0.1\ndir {self._directory}\n"
            f"sentinel monitor site 127.0.0.1 {port} 1\n"
            "sentinel down-after-milliseconds site 200\nsentinel failover-timeout site 2000\n"
        )
        sentinel = subprocess.Popen(
            [PROGRAM, str(config), "--sentinel"], stdout=subprocess.DEVNULL
        )

        def knows_the_replica() -> bool:
            with redis.Redis(port=own, socket_timeout=2) as client:
                state: Any = client.execute_command("INFO", "sentinel")
            return bool(state["master0"]["slaves"] == 1)

        try:
            _await(knows_the_replica)
        except BaseException:
            sentinel.kill()
            sentinel.wait()
            raise
        return sentinel


def _info(port: int, section: str) -> dict[str, Any]:
    with redis.Redis(port=port, socket_timeout=2) as client:
        found: dict[str, Any] = client.info(section)
        return found


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, KeyError, OSError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("a Redis server did not come to the state waited for")
        time.sleep(0.02)
