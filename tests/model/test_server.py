"""The simulated server against a real one: the same commands, the same replies and cells."""

from __future__ import annotations

import random
import time
from typing import Any

from ormcache.exceptions import StoreError
from ormcache.store.connect import open_url
from tests.model import server
from tests.model.server import Cell
from tests.plugins.redis_server import RedisServer

KEYS = (b"a", b"b", b"c")
TOKENS = tuple(bytes([65 + i]) * 16 for i in range(3))
LEASES = tuple(b"L" + bytes([97 + i]) * 16 for i in range(2))
LEASED = len(LEASES[0]) + 16
VALUES = tuple(b"V" + bytes([48 + i]) * 60 for i in range(3))
STAMPS = tuple(b"S" + bytes([64 + i]) * 12 for i in range(3))
ENTRIES = (b"x", b"y", b"z")
NONCES = (bytes(server.NONCE_SIZE), *(stamp[-server.NONCE_SIZE :] for stamp in STAMPS))

# Lives differ by far more than a run takes, so that they can be compared after rounding.
UNIT_MS = 1_000_000
STEPS = 3000


def lives(rng: random.Random) -> int:
    return rng.choice((1, 2, 3)) * UNIT_MS


def some_command(rng: random.Random, now: int) -> tuple[Any, ...]:
    key = rng.choice(KEYS)
    seen = rng.choice((b"", *LEASES, *(value[:20] for value in VALUES)))
    past = server.marked({rng.choice(TOKENS): now - 5, rng.choice(TOKENS): now + UNIT_MS})
    makers = (
        lambda: ("LEASE", key, seen, rng.choice(LEASES), lives(rng)),
        lambda: ("FILL", key, rng.choice(LEASES), rng.choice(VALUES), rng.choice((0, UNIT_MS))),
        lambda: ("STAMP", key, rng.choice(STAMPS), rng.choice((1, 2)) * UNIT_MS),
        lambda: ("MARK", key, rng.choice(TOKENS), lives(rng)),
        lambda: ("RELEASE", key, rng.choice(TOKENS)),
        lambda: (
            "HOLD",
            key,
            rng.choice(ENTRIES),
            now + rng.choice((-1, 1, 2)) * UNIT_MS,
            now,
            2,
            lives(rng),
        ),
        lambda: ("SET", key, rng.choice((*VALUES, *STAMPS, *LEASES, past, b"junk"))),
        lambda: ("SET", key, rng.choice(VALUES), "PX", lives(rng)),
        lambda: ("SET", key, rng.choice(LEASES), "NX", "PX", lives(rng)),
        lambda: ("PING",),
        lambda: ("GET", key),
        lambda: ("ZRANGE", key, 0, -1),
        lambda: ("UNLINK", *rng.sample(KEYS, 2)),
        lambda: ("MGET", *KEYS),
    )
    return rng.choice(makers)()


def rounded(ends: int, now: int) -> int:
    return round((ends - now) / UNIT_MS)


def as_seen(cell: Cell | None, now: int) -> Any:
    """A cell without the milliseconds that pass between two commands."""
    if cell is None:
        return None
    return without_clock(cell.value, now), rounded(cell.ends, now) if cell.ends else None


def without_clock(value: Any, now: int) -> Any:
    if type(value) is bytes and value[:1] == b"L" and len(value) == LEASED:
        return value[:-16], rounded(int(value[-16:]) // 1000, now)
    if type(value) is bytes and len(value) == 16 and value.isdigit():
        return rounded(int(value) // 1000, now)
    if type(value) is bytes and value[:1] == b"S" and value[-server.NONCE_SIZE :] not in NONCES:
        # Its time has to be one of this run.
        size = server.STAMP_TIME
        passed = (int.from_bytes(value[-2 * size : -size], "big") - now * 1000) % 2**32
        return value[: -2 * size], value[-size:], passed < UNIT_MS * 1000
    if type(value) is bytes and value[:1] == b"W":
        return {token: rounded(ends, now) for token, ends in server.marks(Cell(value)).items()}
    if type(value) is list or (type(value) is tuple and type(value[0]) is bytes):
        return [without_clock(each, now) for each in value]
    return value


def read(client: Any, key: bytes, now: int) -> Cell | None:
    kind, life = client.run([("TYPE", key), ("PTTL", key)])[1]
    if kind == b"none":
        return None
    ends = now + life if life >= 0 else 0
    if kind == b"zset":
        found = client.run([("ZRANGE", key, 0, -1, "WITHSCORES")])[1][0]
        pairs = (
            found
            if found and type(found[0]) is list
            else zip(found[::2], found[1::2], strict=True)
        )
        return Cell(tuple((member, int(float(score))) for member, score in pairs), ends)
    return Cell(client.run([("GET", key)])[1][0], ends)


def on_server(client: Any, command: tuple[Any, ...]) -> Any:
    try:
        return client.run([command])[1][0]
    except StoreError:
        return StoreError


def simulated(cells: dict[bytes, Cell], command: tuple[Any, ...], now: int) -> Any:
    try:
        return server.run(cells, command, now)
    except server.Refused:
        return StoreError


def test_the_simulation_does_what_the_server_does(
    redis_server: RedisServer, rng: random.Random
) -> None:
    client = open_url(redis_server.url)
    now = int(time.time() * 1000)
    cells: dict[bytes, Cell] = {}
    refused = 0
    client.run([("UNLINK", *KEYS)])
    for _ in range(STEPS):
        command = some_command(rng, now)
        expected = on_server(client, command)
        got = simulated(cells, command, now)
        refused += got is StoreError
        assert without_clock(expected, now) == without_clock(got, now), command
        for key in KEYS:
            assert as_seen(read(client, key, now), now) == as_seen(cells.get(key), now), command
    client.close()
    # Both saw errors too, but not only errors.
    assert 0 < refused < STEPS // 2
