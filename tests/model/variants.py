"""The protocol made weaker, one guard at a time. Each has to be found out by a scenario.

A variant replaces one method of the production code, or one command of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from ormcache import cells
from ormcache.coherence.entry import Entry
from ormcache.coherence.reader import Lease, Reader, Rows
from ormcache.coherence.writer import Marked, Released, Writer
from ormcache.writes import stamps
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.transaction import ConnectionState
from tests.model import scenarios as s
from tests.model import server
from tests.model.explore import Scenario
from tests.model.server import Cell, Found

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Variant:
    """``patches`` are (owner, name, replacement). ``scenario`` is the one that finds it;
    ``stuck``: what it leaves is still old when nobody does anything any more."""

    name: str
    scenario: Scenario
    stuck: bool
    patches: tuple[Patch, ...] = ()
    reader: type[Reader] = Reader
    writer: type[Writer] = Writer

    def weakened(self) -> Scenario:
        setting = self.scenario.setting._replace(reader=self.reader, writer=self.writer)
        return replace(self.scenario, setting=setting)

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, replacement in self.patches:
                if type(owner) is dict:
                    stack.enter_context(patch.dict(owner, {name: replacement}))
                else:
                    stack.enter_context(patch.object(owner, name, replacement))
            yield


# Simpler protocols


class SetsOnMiss(Reader):
    """A miss is stored without any permission."""

    def lease(
        self, groups: Sequence[Rows], misses: Sequence[Sequence[int]], stamp_ms: int
    ) -> list[dict[int, Lease]]:
        leases = super().lease(groups, [[] for _ in misses], stamp_ms)
        for rows in groups:
            if rows.prefix is None:
                ask = ("STAMP", rows.generation, cells.new_stamp(), stamp_ms)
                epoch, (stamp,) = self._store.run([ask])
                if cells.scheme_of(stamp) is not None:
                    rows.prefix = cells.value_prefix(epoch, rows.fingerprint, stamp)
        for rows, positions, granted in zip(groups, misses, leases, strict=True):
            if rows.prefix is not None:
                for i in positions:
                    nonce = cells.new_nonce()
                    granted[i] = Lease(rows.keys[i], b"", nonce, rows.prefix, 0.0)
        return leases

    def fill(self, filled: Sequence[tuple[Lease, bytes]], timeout: float | None) -> int:
        for lease, payload in filled:
            cell = cells.pack_value(lease.prefix, lease.nonce, 0.0, 0.0, payload)
            self._store.run([self.storing(lease.key, cell)])
        return len(filled)

    def storing(self, key: bytes, cell: bytes) -> tuple[Any, ...]:
        return ("SET", key, cell)


class AddsOnMiss(SetsOnMiss):
    """A miss is stored where nothing is."""

    def storing(self, key: bytes, cell: bytes) -> tuple[Any, ...]:
        return ("ADD", key, cell)


class Deletes(Writer):
    """No marks: cells are deleted, before the commit, after it, or both."""

    before = after = True

    def mark(self, token: bytes, keys: Sequence[bytes], **kwargs: Any) -> Marked:
        if self.before:
            self._store.run([("UNLINK", *keys)])
        marked = super().mark(token, (), **kwargs)
        return Marked(marked.epoch, [None] * len(keys), marked.looked_up)

    def release(self, token: bytes, keys: Sequence[bytes], *rest: Any, **named: Any) -> Released:
        if self.after:
            self._store.run([("UNLINK", *keys)])
        return Released(0, [])


class DeletesBefore(Deletes):
    after = False


class DeletesAfter(Deletes):
    before = False


class KeepsTombstones(Writer):
    """What a write leaves is no mark of its own but a stone that has to expire."""

    def release(self, token: bytes, keys: Sequence[bytes], *rest: Any, **named: Any) -> Released:
        return Released(0, [])


# Commands of the server


def add(cell: Found, now: int, value: bytes) -> tuple[Found, int]:
    return (cell, 0) if cell is not None else (Cell(value), 1)


def mark_alone(cell: Found, now: int, token: bytes, ttl: int) -> tuple[Found, bytes | None]:
    """A mark that takes the place of others."""
    found = cell.value if cell is not None and type(cell.value) is bytes else None
    old = found if found and found[:1] == b"V" else None
    return Cell(server.marked({token: now + ttl}), now + ttl), old


def mark_what_is_there(
    cell: Found, now: int, token: bytes, ttl: int
) -> tuple[Found, bytes | None]:
    """Absent cells are not marked."""
    return (None, None) if cell is None else server.mark(cell, now, token, ttl)


def release_leaving(cell: Found, now: int, token: bytes) -> tuple[Found, int]:
    """What came in after a mark was lost may stay."""
    return server.release(cell, now, token) if server.marks(cell) else (cell, 0)


def release_all(cell: Found, now: int, token: bytes) -> tuple[Found, int]:
    """The marks of others are taken off, too."""
    return None, 1


def fill_always(cell: Found, now: int, lease: bytes, value: bytes, px: int) -> tuple[Found, int]:
    return Cell(value, now + px if px else 0), 1


def fill_if_leased(
    cell: Found, now: int, lease: bytes, value: bytes, px: int
) -> tuple[Found, int]:
    """Any lease will do."""
    leased = cell is not None and cell.value[:1] == b"L"
    return fill_always(cell, now, lease, value, px) if leased else (cell, 0)


def lease_always(cell: Found, now: int, seen: bytes, lease: bytes, px: int) -> tuple[Found, Any]:
    return server.lease(None, now, b"", lease, px)


def lease_without_time(
    cell: Found, now: int, seen: bytes, lease: bytes, px: int
) -> tuple[Found, Any]:
    """A lease granted twice is the same lease."""
    after, reply = server.lease(cell, 0, seen, lease, px)
    return after, reply


def stamp_always(cell: Found, now: int, fresh: bytes, px: int) -> tuple[Found, bytes]:
    """A stamp that takes the place of a mark."""
    marked = cell is not None and cell.value[:1] == b"W"
    return server.stamp(None if marked else cell, now, fresh, px)


def stamp_without_time(cell: Found, now: int, fresh: bytes, px: int) -> tuple[Found, bytes]:
    """A stamp made twice is the same stamp."""
    after, reply = server.stamp(cell, 0, fresh, px)
    return after, reply


# Readers


def comparing_all_but(ignored: int) -> type[Reader]:
    """Of an entry's stamps one is taken as it was."""

    class ComparesSomeStamps(Reader):
        def read_entry(self, entry: Entry) -> bytes | None:
            payload = super().read_entry(entry)
            known = cells.unpack_value(entry.cell, len(entry.stamps))
            if payload is not None or known is None:
                return payload
            found = list(entry.found)
            number = ignored % len(found)
            found[number] = cells.stamps_of(known)[number]
            return known.payload if cells.join_stamps(found) == known.stamps else None

    return ComparesSomeStamps


class IgnoresGenerations(Reader):
    """A row is a hit whatever generation it was filled under."""

    def read_row(self, generation: bytes, fingerprint: bytes, key: bytes) -> Rows:
        rows = super().read_row(generation, fingerprint, key)
        cell = rows.found[0]
        if cell is not None and cell[:1] == cells.VALUE:
            value = cells.unpack_value(cell)
            assert value is not None
            rows.prefix = cells.value_prefix(rows.epoch, fingerprint, value.stamps)
        return rows


class CapturesAfterwards(Reader):
    """The stamps are captured when the entry is stored, after its SQL."""

    def capture(self, entry: Entry, stamp_ms: int) -> bytes | None:
        return b""

    def store_entry(self, entry: Entry, prefix: bytes, *args: Any, **kwargs: Any) -> None:
        self.read_entry(entry)
        captured = super().capture(entry, kwargs.get("stamp_ms", 1000))
        if captured is not None:
            super().store_entry(entry, captured, *args, **kwargs)


class RestsOnGenerations(Reader):
    """Rows in a view rest on the generation of their table alone."""

    def read_rows(self, groups: Sequence[Rows]) -> None:
        for rows in groups:
            rows.bases = ()
        super().read_rows(groups)

    def read_row(self, generation: bytes, fingerprint: bytes, key: bytes) -> Rows:
        raise AssertionError("not in a view")

    def lease(
        self, groups: Sequence[Rows], misses: Sequence[Sequence[int]], stamp_ms: int
    ) -> list[dict[int, Lease]]:
        granted: list[dict[int, Lease]] = []
        for rows, positions in zip(groups, misses, strict=True):
            ask = ("STAMP", rows.generation, cells.new_stamp(), stamp_ms)
            epoch, (stamp,) = self._store.run([ask])
            known = cells.join_stamps([stamp])
            prefix = known and cells.value_prefix(epoch, rows.fingerprint, known)
            granted.append(
                {
                    i: Lease(rows.keys[i], b"", cells.new_nonce(), prefix, 0.0)
                    for i in positions
                    if prefix
                }
            )
        return granted


class StampsRowsAfterwards(Reader):
    """What a row in a view rests on is captured when it is stored, after its SQL."""

    def lease(
        self, groups: Sequence[Rows], misses: Sequence[Sequence[int]], stamp_ms: int
    ) -> list[dict[int, Lease]]:
        self._groups, self._ms = groups, stamp_ms
        return [
            {i: Lease(rows.keys[i], b"", cells.new_nonce(), b"", 0.0) for i in positions}
            for rows, positions in zip(groups, misses, strict=True)
        ]

    def fill(self, filled: Sequence[tuple[Lease, bytes]], timeout: float | None) -> int:
        positions = [
            [i for i, key in enumerate(rows.keys) if any(key == lease.key for lease, _ in filled)]
            for rows in self._groups
        ]
        captured = {
            lease.key: lease
            for leases in super().lease(self._groups, positions, self._ms)
            for lease in leases.values()
        }
        found = [(captured[lease.key], row) for lease, row in filled if lease.key in captured]
        return super().fill(found, timeout)


class HandsOver(Reader):
    """Who waits for another reader's result takes it as it comes, under whatever stamps."""

    def poll(self, entry: Entry, lease: bytes) -> tuple[bytes | None, bytes | None]:
        payload, holder = super().poll(entry, lease)
        value = cells.unpack_value(entry.cell, len(entry.stamps))
        return payload if value is None else value.payload, holder


class OneEpoch(Reader):
    """Who wrote a value is not asked."""

    def __init__(self, store: Any) -> None:
        super().__init__(_WithoutEpoch(store))


class _WithoutEpoch:
    def __init__(self, store: Any) -> None:
        self._store = store

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        return bytes(cells.EPOCH_SIZE), self._store.mget(keys)[1]

    def run(self, commands: Sequence[Any]) -> tuple[bytes, list[Any]]:
        return bytes(cells.EPOCH_SIZE), self._store.run(commands)[1]


# Writers

_row_stamps = stamps.TableChanges.row_stamps
_tokens = stamps.TableChanges._tokens
_mark = Invalidation._mark


def _before_the_lock(self: Any, table: Any, old: bytes | None) -> list[Any] | None:
    """The row as this program knew it before it held the lock: as it was at the very first."""
    return list(s.ONE[0])


def _without_lists(self: Any, pk: Any, old: bytes | None) -> Iterator[bytes]:
    return (stamp for stamp in _row_stamps(self, pk, old) if stamp != self.keys.lists)


def _new_partition_only(self: Any, old: Any, new: Any, named: Any = None) -> Any:
    moved = {column: values for column, values in new.items() if values}
    return _tokens(self, None, moved, None) if moved else _tokens(self, old, new, named)


def _trusting(self: Any, pending: Any, ttl_ms: int, holds_locks: bool, put: Any) -> None:
    _mark(self, pending, ttl_ms, True, put)


def _released_at_once(self: ConnectionState) -> None:
    if self.pending is not None:
        invalidation = Invalidation(self.label, self.connection)
        invalidation.mark(self.pending)
        invalidation.release()


def _released_when_closed(self: ConnectionState) -> None:
    """The outcome of a COMMIT is taken for known when the connection is closed."""
    committing = getattr(self, "_committing", None)
    _forget(self)
    if committing is not None:
        committing.release()


_forget = ConnectionState.forget


def _may_always_fill(self: ConnectionState, tables: Any) -> bool:
    return True


def named(name: str) -> Scenario:
    return s.ALL[name].scenario


def command(name: str, step: Callable[..., Any]) -> Patch:
    return (server.STEPS, name, step)


_calm = named("row")
_killed = named("row, a kill")
_moves = named("list, a row moves twice")
_once = named("list, a row moves")
_cold = named("list, a row moves twice, cold")
_two_statements = named("row, raw SQL by itself twice, a kill")
_raw = named("row, raw SQL in a transaction, a kill")

VARIANTS = [
    # Simpler protocols
    Variant("SET on a miss, DEL after", _calm, True, reader=SetsOnMiss, writer=DeletesAfter),
    Variant("DEL before and after", _calm, True, reader=SetsOnMiss, writer=Deletes),
    Variant("lease, DEL before", _calm, True, writer=DeletesBefore),
    Variant("lease, DEL after", _calm, False, writer=DeletesAfter),
    Variant("lease, DEL after, kills", _killed, True, writer=DeletesAfter),
    Variant(
        "tombstone and ADD, a flush",
        named("row, a flush and a kill"),
        True,
        (command("ADD", add),),
        reader=AddsOnMiss,
        writer=KeepsTombstones,
    ),
    Variant(
        "fills from old snapshots",
        named("row, old snapshots"),
        True,
        ((ConnectionState, "may_fill", _may_always_fill),),
    ),
    Variant("no epoch, a fail-over", named("row, a fail-over"), True, reader=OneEpoch),
    # Commands
    Variant("MARK replaces other marks", _two_statements, True, (command("MARK", mark_alone),)),
    Variant("MARK passes by what is absent", _cold, False, (command("MARK", mark_what_is_there),)),
    Variant(
        "RELEASE takes all marks off", _two_statements, True, (command("RELEASE", release_all),)
    ),
    Variant(
        "RELEASE leaves a cell that lost its mark",
        named("row, an eviction and a kill"),
        True,
        (command("RELEASE", release_leaving),),
    ),
    Variant("FILL without a lease", _calm, True, (command("FILL", fill_always),)),
    Variant("FILL under any lease", _calm, True, (command("FILL", fill_if_leased),)),
    Variant("LEASE replaces a mark", _calm, False, (command("LEASE", lease_always),)),
    Variant(
        "LEASE without the time of its grant",
        named("row, calls made twice"),
        True,
        (command("LEASE", lease_without_time),),
    ),
    Variant(
        "STAMP without the time of its making",
        named("election, calls made twice"),
        True,
        (command("STAMP", stamp_without_time),),
    ),
    Variant("STAMP replaces a mark", _cold, False, (command("STAMP", stamp_always),)),
    # Readers
    Variant("generations are not compared", _raw, True, reader=IgnoresGenerations),
    Variant("a partition's stamp is not compared", _once, True, reader=comparing_all_but(1)),
    Variant("the lists stamp is not compared", _cold, True, reader=comparing_all_but(0)),
    Variant(
        "a column's stamp is not compared",
        named("list of a column, a kill"),
        True,
        reader=comparing_all_but(-1),
    ),
    Variant("stamps captured after the SQL", _moves, True, reader=CapturesAfterwards),
    Variant(
        "a row in a view without its own stamp",
        named("row in a view"),
        True,
        reader=RestsOnGenerations,
    ),
    Variant(
        "a row in a view stamped after the SQL",
        named("row in a view"),
        True,
        reader=StampsRowsAfterwards,
    ),
    Variant(
        "the elected reader's without stamps",
        named("election, cold"),
        False,
        reader=HandsOver,
    ),
    # Writers
    Variant(
        "the old row read before its lock",
        _moves,
        True,
        ((stamps.TableChanges, "_old_values", _before_the_lock),),
    ),
    Variant(
        "an old row trusted without its lock",
        named("list, raw SQL that names its row"),
        True,
        ((Invalidation, "_mark", _trusting),),
    ),
    Variant(
        "the lists stamp left out for unknown rows",
        _cold,
        True,
        ((stamps.TableChanges, "row_stamps", _without_lists),),
    ),
    Variant(
        "only the new partition marked",
        _once,
        True,
        ((stamps.TableChanges, "_tokens", _new_partition_only),),
    ),
    Variant(
        "released before the commit",
        _calm,
        True,
        ((ConnectionState, "before_commit", _released_at_once),),
    ),
    Variant(
        "released though the outcome is unknown",
        named("row, uncertain commits"),
        True,
        ((ConnectionState, "forget", _released_when_closed),),
    ),
]
