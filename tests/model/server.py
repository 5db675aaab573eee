"""The Redis server: every command the protocol uses, as a pure function of one cell.

``test_server.py`` holds it against a real server, so that it cannot lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Command = Sequence[Any]
Members = tuple[tuple[bytes, int], ...]

TOKEN_SIZE = 16
MARK_SIZE = 29
NONCE_SIZE = 8
STAMP_TIME = 4
"""Bytes of a stamp that the server sets to its time; as many follow."""


class Cell(NamedTuple):
    """A key's content: a string, or the members of a sorted set with their scores; never empty.
    ``ends`` is when it expires in Unix milliseconds, 0 for never."""

    value: bytes | Members
    ends: int = 0


class Refused(Exception):
    """The server answers a command with an error."""


Found = Cell | None
Step = Callable[..., tuple[Found, Any]]


def run(cells: dict[bytes, Cell], command: Command, now: int) -> Any:
    """Run one command on ``cells`` at the time ``now`` and return its reply."""
    name, *rest = command
    if name == "PING":
        return b"PONG"
    if name in ("MGET", b"MGET"):
        return [_string(cells.get(key)) for key in rest]
    if name == "UNLINK":
        return sum(1 for key in rest if cells.pop(key, None) is not None)
    key, *arguments = rest
    cell, reply = STEPS[name](cells.get(key), now, *arguments)
    _put_back(cells, key, cell)
    return reply


def _put_back(cells: dict[bytes, Cell], key: bytes, cell: Found) -> None:
    if cell is None:
        cells.pop(key, None)
    else:
        cells[key] = cell


def _string(cell: Found) -> bytes | None:
    """What MGET says of a cell, and what a script's ``pcall('GET')`` can use."""
    return cell.value if cell is not None and type(cell.value) is bytes else None


def _start(cell: Found, length: int) -> bytes:
    if cell is not None and type(cell.value) is not bytes:
        raise Refused("WRONGTYPE")
    return (_string(cell) or b"")[:length]


def lease(cell: Found, now: int, seen: bytes, lease: bytes, px: int) -> tuple[Found, Any]:
    if seen == b"":
        if cell is not None:
            return cell, 0
    elif _start(cell, len(seen)) != seen:
        return cell, 0
    granted = b"%016d" % (now * 1000)
    return Cell(lease + granted, now + px), granted


def fill(cell: Found, now: int, lease: bytes, value: bytes, px: int) -> tuple[Found, int]:
    if _start(cell, len(lease)) != lease:
        return cell, 0
    return Cell(value, now + px if px else 0), 1


def stamp(cell: Found, now: int, fresh: bytes, px: int) -> tuple[Found, bytes]:
    found = _string(cell)
    kind = found[:1] if found else b""
    if kind == b"W":
        assert found is not None
        return cell, found
    ends = now + px
    if kind == b"S":
        assert cell is not None
        assert found is not None
        return Cell(found, max(cell.ends, ends)), found
    time = (now * 1000 % 2**32).to_bytes(STAMP_TIME, "big")
    made = fresh[: -2 * STAMP_TIME] + time + fresh[-STAMP_TIME:]
    return Cell(made, ends), made


def marks(cell: Found) -> dict[bytes, int]:
    """The tokens in a cell and their deadlines, in order."""
    found = _string(cell)
    if not found or found[:1] != b"W":
        return {}
    parts = (found[i : i + MARK_SIZE] for i in range(1, len(found), MARK_SIZE))
    return {part[:TOKEN_SIZE]: int(part[TOKEN_SIZE:]) for part in parts}


def marked(tokens: dict[bytes, int]) -> bytes:
    return b"W" + b"".join(token + b"%013d" % ends for token, ends in tokens.items())


def mark(cell: Found, now: int, token: bytes, ttl: int) -> tuple[Found, bytes | None]:
    found = _string(cell)
    others = {t: ends for t, ends in marks(cell).items() if t != token and ends > now}
    old = found if found and found[:1] == b"V" else None
    tokens = {token: now + ttl, **others}
    return Cell(marked(tokens), max(tokens.values())), old


def release(cell: Found, now: int, token: bytes) -> tuple[Found, int]:
    tokens = marks(cell)
    if not tokens:
        return None, 0
    known = tokens.pop(token, None) is not None
    if not tokens:
        return None, int(known)
    assert cell is not None
    return Cell(marked(tokens), cell.ends), int(known)


def hold(
    cell: Found, now: int, entry: bytes, expires: int, at: int, most: int, px: int
) -> tuple[Found, int]:
    if cell is not None and type(cell.value) is bytes:
        raise Refused("WRONGTYPE")
    members = dict(cell.value) if cell is not None else {}  # type: ignore[arg-type]
    kept = {member: score for member, score in members.items() if score > at}
    ends = cell.ends if cell is not None and kept else 0
    kept[entry] = expires
    newest = sorted(kept.items(), key=lambda item: (item[1], item[0]))[-most:]
    if ends == 0 or ends - now < px:
        ends = now + px
    return Cell(tuple(newest), ends), 1


def put(cell: Found, now: int, value: bytes, *options: Any) -> tuple[Found, bytes | None]:
    if options[:1] == ("NX",):
        if cell is not None:
            return cell, None
        options = options[1:]
    return Cell(value, now + options[1] if options else 0), b"OK"


def get(cell: Found, now: int) -> tuple[Found, bytes | None]:
    if cell is not None and type(cell.value) is not bytes:
        raise Refused("WRONGTYPE")
    return cell, _string(cell)


def members(cell: Found, now: int, first: int, last: int) -> tuple[Found, list[bytes]]:
    if (first, last) != (0, -1):
        raise NotImplementedError("ZRANGE of a part")
    if cell is not None and type(cell.value) is bytes:
        raise Refused("WRONGTYPE")
    return cell, [member for member, _ in cell.value] if cell is not None else []  # type: ignore[misc]


STEPS: dict[str, Step] = {
    "LEASE": lease,
    "FILL": fill,
    "STAMP": stamp,
    "MARK": mark,
    "RELEASE": release,
    "HOLD": hold,
    "SET": put,
    "GET": get,
    "ZRANGE": members,
}
"""By name of the command. A step is given the cell, the time and the command's arguments, and
gives the cell as it is then, and the reply."""
