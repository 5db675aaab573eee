"""A list entry and its stamps as they stand in the store: looked at, never touched or counted."""

from __future__ import annotations

from collections.abc import Sequence

from ormcache import cells, keys, runtime
from ormcache.codec.values import unpack
from ormcache.coherence.entry import Entry, as_stamp
from ormcache.coherence.reader import GRACE_MS
from ormcache.exceptions import Corrupt, StoreError
from ormcache.explain.explanation import CellState
from ormcache.text import cli_text

_KINDS = {
    b"gen": "generation",
    b"lists": "every list",
    b"rows": "rows coming or going",
    b"col": "column",
    b"loose": "column, partition unknown",
    b"part": "partition",
    b"row": "row",
}


def view_entry(
    entry: Entry, coarse: Sequence[bytes], timeout: float | None
) -> tuple[CellState, tuple[CellState, ...]]:
    """The entry and its stamps: one round trip; one more, over the ``coarse`` stamps, while
    another version of the code keeps other partitions."""
    try:
        ttl = _look(entry)
        if entry.is_foreign:
            entry.stamps, entry.is_narrow = coarse, False
            ttl = _look(entry)
    except StoreError as error:
        stamps = [CellState(_name(key), cli_text(key)) for key in entry.stamps]
        unreachable = CellState("entry", cli_text(entry.key), "unreachable", str(error))
        return unreachable, tuple(stamps)
    return _entry_state(entry, ttl, timeout), tuple(map(_stamp_state, entry.stamps, entry.found))


def _look(entry: Entry) -> int:
    """Read the entry as a reader does, and the time it has left."""
    commands = [("MGET", entry.key, *entry.stamps), ("PTTL", entry.key)]
    entry.epoch, (found, ttl) = runtime.current().store.run(commands)
    entry.cell, entry.found = found[0], found[1:]
    return int(ttl)


def _entry_state(entry: Entry, ttl: int, timeout: float | None) -> CellState:
    state, reason = _judge(entry)
    key = cli_text(entry.key)
    if entry.cell is None:
        return CellState("entry", key, state, reason)
    age = None
    if timeout is not None and ttl >= 0 and entry.cell[:1] == cells.VALUE:
        lifetime = int(timeout * 1000)
        age = max(0, lifetime + min(lifetime, GRACE_MS) - ttl)
    return CellState("entry", key, state, reason, len(entry.cell), ttl, age)


def _judge(entry: Entry) -> tuple[str, str]:
    """The state of an entry for a reader of this version of the code, and why."""
    found = zip(entry.stamps, entry.found, strict=True)
    marked = [_name(key) for key, cell in found if cells.is_mark(cell)]
    if marked:
        return "marked", f"a writer is about to commit; it changes {', '.join(marked)}"
    cell = entry.cell
    if cell is None:
        return "absent", ""
    if cell[:1] == cells.LEASE:
        return "leased", "a reader is about to fill it"
    value = cells.unpack_value(cell, len(entry.stamps))
    if value is None:
        return (
            ("stale", "it relies on other stamps") if cell[:1] == cells.VALUE else ("unknown", "")
        )
    reason = _why_stale(entry, value)
    if reason:
        return "stale", reason
    try:
        unpack(value.payload)
    except Corrupt as error:
        return "corrupt", str(error)
    return "hit", ""


def _why_stale(entry: Entry, value: cells.Value) -> str:
    if value.fingerprint != entry.fingerprint:
        return "stored by another query under this key, or by another version of the code"
    if value.epoch != entry.epoch:
        return "stored in another run of the server"
    changed = [
        _name(key) + (" (gone)" if now is None else "")
        for key, then, now in zip(entry.stamps, cells.stamps_of(value), entry.found, strict=True)
        if then != as_stamp(now)
    ]
    return f"changed since: {', '.join(changed)}" if changed else ""


def _stamp_state(key: bytes, cell: bytes | None) -> CellState:
    if cell is None:
        state = "absent"
    elif cells.is_mark(cell):
        state = "marked"
    else:
        state = {cells.STAMP: "there", cells.VALUE: "there", cells.LEASE: "leased"}.get(
            cell[:1], "unknown"
        )
    return CellState(_name(key), cli_text(key), state)


def _name(key: bytes) -> str:
    """A stamp in words, by its key."""
    prefix = keys.site_prefix(runtime.current().config.namespace)
    parsed = keys.parse(prefix, key)
    assert parsed is not None
    kind, _, rest = key.removeprefix(prefix).split(b":", 2)[2].partition(b":")
    words = f"{parsed.table}: {_KINDS[kind]}"
    return f"{words} {rest.decode('utf-8', 'backslashreplace')}" if rest else words
