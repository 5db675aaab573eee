"""The cells of rows as they stand in the store, and whether a reader would use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from ormcache import cells, runtime
from ormcache.exceptions import Corrupt
from ormcache.keys import TableKeys
from ormcache.schema.tables import Schema, Table
from ormcache.writes.hooks import state_of

HIT, STALE, CORRUPT = "value", "unusable", "corrupt"
ABSENT, LEASED, MARKED, UNKNOWN = "absent", "lease", "marked", "unknown"

_DEADLINE_SIZE = 13
_MARK_SIZE = cells.TOKEN_SIZE + _DEADLINE_SIZE


@dataclass(frozen=True, slots=True)
class Dependent:
    """A list entry that declares the row in ``depends_on``.

    ``ttl_ms`` is -1 for no expiry, ``None`` when the entry is gone.
    """

    key: bytes
    ttl_ms: int | None

    @property
    def exists(self) -> bool:
        return self.ttl_ms is not None


@dataclass(slots=True)
class CellView:
    """One cell. Times in milliseconds from now, -1 for no expiry, ``None`` where there is none."""

    table: str
    key: bytes
    state: str = ABSENT
    reason: str = ""
    raw: bytes | None = None
    ttl_ms: int | None = None
    soft_ms: int | None = None
    generation: str = ABSENT
    """The nonce of the table's generation, or the state of its cell."""
    value: cells.Value | None = None
    values: list[Any] | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    marks: list[tuple[str, int]] = field(default_factory=list)
    dependents: list[Dependent] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.raw or b"")


def view_cells(schema: Schema, pk: Any, using: str) -> list[CellView]:
    """The cells of a row, one a table, with the entries that declare it: two round trips. Raises
    ``StoreError``."""
    found = _tables(schema, using)
    sets = [keys.dependents(pk) for _, keys in found]
    views, members = _ask(found, [pk], _seen(using), [("ZRANGE", key, 0, -1) for key in sets])
    for view, declared in zip(views, members, strict=True):
        view.dependents = _dependents(declared)
    return views


def view_rows(schema: Schema, pks: Sequence[Any], using: str) -> list[CellView]:
    """The cells of some rows, row by row: one round trip. Raises ``StoreError``."""
    return _ask(_tables(schema, using), pks, _seen(using), [])[0]


def _seen(using: str) -> bytes | None:
    """The view of the connection, where the project names views."""
    sight = state_of(connections[using]).sight
    sight.may_read()
    return sight.view


def _tables(schema: Schema, using: str) -> list[tuple[Table, TableKeys]]:
    label = state_of(connections[using]).label
    return [(table, runtime.current().keys(label, table.name)) for table in schema.tables]


def _ask(
    tables: list[tuple[Table, TableKeys]],
    pks: Sequence[Any],
    view: bytes | None,
    more: list[Sequence[Any]],
) -> tuple[list[CellView], list[Any]]:
    """The cells of the rows, and what the store answers to ``more``."""
    wanted = []
    commands: list[Sequence[Any]] = [("TIME",)]
    for pk in pks:
        for table, keys in tables:
            key = keys.row(pk) if view is None else keys.row_in_view(view, pk)
            wanted.append((table, key))
            # The cell that a row in a view rests on, else the same once more.
            commands += [("GET", key), ("PTTL", key), ("GET", keys.generation)]
            commands.append(("GET", keys.row(pk)))
    epoch, (time, *replies) = runtime.current().store.run([*commands, *more])
    now = int(time[0]) * 1000 + int(time[1]) // 1000
    views = []
    for number, (table, key) in enumerate(wanted):
        raw, ttl, generation, base = replies[4 * number : 4 * number + 4]
        found = CellView(table.name, key, raw=raw, ttl_ms=ttl if raw else None)
        rests_on = [generation] if view is None else [generation, base]
        _judge(found, table, rests_on, epoch, now)
        views.append(found)
    return views, replies[4 * len(wanted) :]


def _dependents(declared: list[bytes]) -> list[Dependent]:
    if not declared:
        return []
    _, ttls = runtime.current().store.run([("PTTL", key) for key in declared])
    return [
        Dependent(key, None if ttl == -2 else ttl) for key, ttl in zip(declared, ttls, strict=True)
    ]


def _judge(
    view: CellView, table: Table, rests_on: list[bytes | None], epoch: bytes, now: int
) -> None:
    """Find the state of the cell, as a reader of this version of the code would. ``rests_on``: its
    generation, and for a row in a view the row's own cell."""
    generation, *base = rests_on
    stamp = cells.join_stamps([generation])
    if stamp is not None:
        view.generation = stamp[1:].hex()
    elif generation is not None:
        view.generation = MARKED if cells.is_mark(generation) else UNKNOWN
    raw = view.raw
    if base and cells.is_mark(base[0]):
        view.state, view.marks = MARKED, _marks(base[0] or b"", now)
        view.reason = "a writer is about to commit"
        return
    if raw is None:
        return
    kind = raw[:1]
    if kind == cells.MARK:
        view.state = MARKED
        view.marks = _marks(raw, now)
        view.reason = "a writer is about to commit"
    elif kind == cells.LEASE:
        view.state = LEASED
        view.reason = "a reader is about to fill it"
    elif (value := cells.unpack_value(raw, len(rests_on))) is not None:
        view.value = value
        view.soft_ms = round(value.soft * 1000) - now if value.soft else None
        _judge_value(view, value, table, rests_on, epoch)
    else:
        view.state = UNKNOWN


def _judge_value(
    view: CellView, value: cells.Value, table: Table, rests_on: list[bytes | None], epoch: bytes
) -> None:
    reasons = []
    if value.epoch != epoch:
        reasons.append("other epoch (stored in another run of the server)")
    then = value.stamps
    if then[: cells.STAMP_SIZE] != rests_on[0]:
        reasons.append(f"old generation ({then[1 : cells.STAMP_SIZE].hex()})")
    elif then != cells.join_stamps(rests_on):
        reasons.append("the row was written since")
    if value.fingerprint != table.fingerprint:
        # Its columns are those of other code: the bytes say nothing here.
        view.state, reasons = STALE, [*reasons, "other schema (stored by another version)"]
    else:
        view.state = STALE if reasons else HIT
        try:
            view.values = table.codec.decode(value.payload)
        except Corrupt as error:
            view.state, reasons = CORRUPT, [*reasons, str(error)]
        else:
            names = [item.attname for item in table.fields]
            view.columns = dict(zip(names, view.values, strict=True))
    view.reason = "; ".join(reasons)


def _marks(raw: bytes, now: int) -> list[tuple[str, int]]:
    """Each writer's token and how long its mark still counts; negative when it is over."""
    found = []
    for start in range(1, len(raw), _MARK_SIZE):
        token = raw[start : start + cells.TOKEN_SIZE]
        deadline = raw[start + cells.TOKEN_SIZE : start + _MARK_SIZE]
        found.append((token.hex(), int(deadline) - now))
    return found
