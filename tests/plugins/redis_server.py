"""A Redis server of the test's own, which it may stop, kill, freeze and flush."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import redis

PROGRAM = os.environ.get("ORMCACHE_TEST_REDIS_SERVER", "redis-server")
STARTUP_SECONDS = 10


@cache
def program_version() -> str | None:
    """The server program as in ``redis-server 7.0.15``; None if there is none."""
    if shutil.which(PROGRAM) is None:
        return None
    banner = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"v=([\d.]+)", banner.stdout)
    return f"{PROGRAM} {found[1] if found else 'of an unknown version'}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server process on a port and a socket of its own; nothing is saved unless asked."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.arguments = arguments
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.directory}/redis.sock"

    def start(self) -> None:
        """Start the server, from its RDB file if there is one, and return once it answers."""
        # A higher hz lets it notice SIGTERM within 10 ms instead of 100.
        options = (
            f"--port {self.port} --bind 127.0.0.1 --unixsocket {self.directory}/redis.sock "
            f"--dir {self.directory} --appendonly no --daemonize no --hz 100"
        )
        self._launch(*options.split(), "--save", "", *self.arguments)

    def _launch(self, *arguments: str) -> None:
        self.process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTUP_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{PROGRAM} did not start on port {self.port}")
            if self.process.poll() is not None:
                # Somebody has its port, for a connection perhaps, and gives it back.
                time.sleep(0.1)
                self.process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL)
            time.sleep(0.002)

    def stop(self) -> None:
        """Shut it down in order."""
        self._signal(signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """Kill it at whatever it is doing."""
        self._signal(signal.SIGKILL)
        self._reap()

    def restart(self) -> None:
        """Another run of the server (another ``run_id``) on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it accept connections but answer nothing, until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        """A raw client of this server; close it, or use it as a context manager."""
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=STARTUP_SECONDS)
            self.process = None


class Sentinel(RedisServer):
    """A Sentinel that watches a primary, under the name ``main``, and promotes a replica."""

    def __init__(self, directory: Path, primary: RedisServer) -> None:
        super().__init__(directory)
        self.primary = primary

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/main/0"

    def start(self) -> None:
        """Start it and return once it knows the primary's replica."""
        config = self.directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor main 127.0.0.1 {self.primary.port} 1\n"
            "sentinel down-after-milliseconds main 200\nsentinel failover-timeout main 2000\n"
        )
        self._launch(str(config), "--sentinel")
        deadline = time.monotonic() + STARTUP_SECONDS
        with self.client() as client:
            while not client.execute_command("SENTINEL", "REPLICAS", "main"):
                if time.monotonic() > deadline:
                    raise RuntimeError("the Sentinel found no replica")
                time.sleep(0.05)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A fresh, empty server for this test alone (it starts in some 10 ms)."""
    if program_version() is None:
        pytest.skip(f"no program {PROGRAM}")
    with tempfile.TemporaryDirectory(prefix="ormcache-redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "redis_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis_server)
