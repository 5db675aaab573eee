"""The fixtures themselves, against a raw client."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire, take_command

ROOT = Path(__file__).parents[2]


def run_id(server: RedisServer) -> str:
    with server.client() as client:
        return str(client.info("server")["run_id"])


def test_server_is_empty_and_answers(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert 0 == client.dbsize()


def test_server_listens_on_a_socket_file(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.unix_url) as client:
        assert client.ping()


def test_restart_is_another_run_without_data(redis_server: RedisServer) -> None:
    before = run_id(redis_server)
    with redis_server.client() as client:
        client.set("key", "value")
    redis_server.restart()
    assert before != run_id(redis_server)
    with redis_server.client() as client:
        assert client.get("key") is None


def test_restart_reads_what_was_saved(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("key", "value")
        client.save()
    redis_server.restart()
    with redis_server.client() as client:
        assert b"value" == client.get("key")


def test_stopped_server_refuses(redis_server: RedisServer) -> None:
    redis_server.stop()
    with redis_server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_frozen_server_answers_after_thaw(redis_server: RedisServer) -> None:
    redis_server.freeze()
    with redis.Redis.from_url(redis_server.url, socket_timeout=0.1, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        redis_server.thaw()
        assert client.ping()


def test_flush_empties(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("key", "value")
        redis_server.flush()
        assert 0 == client.dbsize()


def test_wire_counts_each_command(wire: Wire) -> None:
    with redis.Redis.from_url(wire.url) as client:
        client.ping()
        wire.reset()
        client.set("key", "value")
        client.get("key")
    assert ["SET", "GET"] == wire.commands
    assert 2 == wire.round_trips


@pytest.mark.parametrize("size", [1, 100_000])
def test_wire_counts_a_pipeline_once(wire: Wire, size: int) -> None:
    with redis.Redis.from_url(wire.url) as client:
        client.ping()
        wire.reset()
        pipeline = client.pipeline(transaction=False)
        for number in range(50):
            pipeline.set(f"key{number}", b"\r\n" + b"x" * size)
        pipeline.execute()
    assert 50 * ["SET"] == wire.commands
    assert 1 == wire.round_trips


def test_wire_counts_over_connections(wire: Wire) -> None:
    clients = [redis.Redis.from_url(wire.url) for _ in range(3)]
    for client in clients:
        client.ping()
    wire.reset()
    for client in clients:
        client.ping()
        client.close()
    assert 3 == wire.round_trips


def test_cut_wire_breaks_old_and_new_connections(wire: Wire) -> None:
    with redis.Redis.from_url(wire.url, retry=None) as client:
        client.ping()
        wire.cut()
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        wire.mend()
        assert client.ping()


def test_paused_wire_holds_the_answer(wire: Wire) -> None:
    with redis.Redis.from_url(wire.url) as client:
        client.ping()
        wire.pause()
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(client.ping()))
        asking.start()
        asking.join(0.05)
        assert [] == answers
        wire.resume()
        asking.join(5)
        assert [True] == answers


def test_incomplete_commands_wait_for_the_rest() -> None:
    command = b"*2\r\n$3\r\nget\r\n$5\r\na\r\nbc\r\n"
    for length in range(len(command)):
        assert take_command(bytearray(command[:length])) is None
    buffer = bytearray(command + b"*1\r\n")
    assert "GET" == take_command(buffer)
    assert b"*1\r\n" == buffer


def test_the_seed_repeats(rng: random.Random) -> None:
    assert random.Random(int(os.environ["ORMCACHE_TEST_SEED"])).random() == rng.random()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        pytest.param(
            {"ORMCACHE_TEST_DB": "postgres", "ORMCACHE_TEST_DB_PORT": "1"},
            "PostgreSQL",
            marks=pytest.mark.skipif(find_spec("psycopg") is None, reason="no psycopg"),
        ),
        ({"ORMCACHE_TEST_REDIS": "redis://127.0.0.1:1/0"}, "the Redis of ORMCACHE_TEST_REDIS"),
        ({"ORMCACHE_TEST_REDIS_SERVER": "no-such-program"}, "the program no-such-program"),
    ],
)
def test_missing_server_fails_in_ci(variables: dict[str, str], complaint: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", __file__],
        cwd=ROOT,
        env={**os.environ, "CI": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 3 == run.returncode
    assert f"cannot test without {complaint}" in run.stdout + run.stderr


@pytest.mark.processes
def test_missing_program_is_a_loud_skip_elsewhere() -> None:
    variables = {"CI": "", "ORMCACHE_TEST_REDIS_SERVER": "no-such-program"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-k", "flush", __file__],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == run.returncode
    assert "1 skipped" in run.stdout
    assert "NOT covered by this run" in run.stdout
    assert "- any real Redis server (no program no-such-program)" in run.stdout
