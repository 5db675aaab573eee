"""The outbox made weaker, one guard at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ormcache import runtime
from ormcache.coherence.writer import new_token
from ormcache.outage import outbox
from ormcache.outage.check import Checked, OutboxCheck
from ormcache.writes.invalidation import Invalidation, Noted
from tests.model import replay, world
from tests.model.server import Found
from tests.model.variants import Variant, command, named

_release = Invalidation.release
_write, _invalidate, _renew = outbox._write, outbox._invalidate, OutboxCheck._renew


def _put_later(self: Any, keys: list[bytes], running_until: float = 0.0) -> None:
    self._noted = Noted(0, keys, False, True, time.monotonic())


def _release_and_put(self: Any, *, committed: bool = True) -> None:
    if self._noted is not None:
        outbox.put(self._connection, self._noted.keys)
    _release(self, committed=committed)


def _release_quietly(self: Any, *, committed: bool = True) -> None:
    self._noted = None
    _release(self, committed=committed)


_held_back: list[bytes] = []


def _hold_back(keys: list[bytes]) -> None:
    _held_back[:] = keys


def _write_first(cursor: Any, sql: str, params: list[Any]) -> bool:
    done = _write(cursor, sql, params)
    if sql.startswith("UPDATE"):
        _invalidate(_held_back)
    return done


def _drop_values(keys: list[bytes]) -> None:
    runtime.current().store.run([("DROP", key) for key in keys])


def drop_value(cell: Found, now: int) -> tuple[Found, int]:
    return (cell, 0) if cell is not None and cell.value[:1] == b"L" else (None, 1)


def _invalidate_and_release(keys: list[bytes]) -> None:
    writer, token = runtime.current().writer, new_token()
    writer.mark(token, keys)
    writer.release(token, keys)


def _renew_for_long(self: OutboxCheck, state: Any, **kwargs: Any) -> Checked:
    checked = _renew(self, state, **kwargs)
    self.checked = replace(checked, renew_at=checked.until)
    return self.checked


def _nothing(self: Any) -> None:
    pass


VARIANTS = [
    Variant(
        "the entry put after COMMIT",
        named("outbox, one is cut off, a kill"),
        True,
        ((Invalidation, "_put", _put_later), (Invalidation, "release", _release_and_put)),
    ),
    Variant(
        "the entry ticked off before its keys",
        named("outbox, one is cut off, a kill"),
        True,
        ((outbox, "_invalidate", _hold_back), (outbox, "_write", _write_first)),
    ),
    Variant(
        "replay leaves leases",
        named("outbox, one is cut off, cold"),
        True,
        (
            (outbox, "_invalidate", _drop_values),
            command("DROP", drop_value),
            (world._SILENT, "DROP", 1),
        ),
    ),
    Variant(
        "replay releases its marks",
        named("outbox, a row moves twice"),
        True,
        ((outbox, "_invalidate", _invalidate_and_release),),
    ),
    Variant(
        "a lost connection goes unnoticed",
        named("outbox, Redis is away"),
        True,
        ((replay.Store, "lost", _nothing),),
    ),
    Variant(
        "a reply believed on a new connection",
        named("outbox, Redis is away"),
        True,
        ((Checked, "confirm", _nothing),),
    ),
    Variant(
        "no look after a write into the outbox",
        named("outbox, marks are refused"),
        False,
        ((Invalidation, "release", _release_quietly),),
    ),
    Variant(
        "an entry makes nobody alert",
        named("outbox, marks are refused in turn"),
        False,
        ((OutboxCheck, "_renew", _renew_for_long),),
    ),
]
