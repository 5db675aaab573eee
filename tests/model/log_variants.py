"""The logs made weaker, one guard at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ormcache import cells
from ormcache.codec.records import rows_of
from ormcache.coherence import entry as entries
from ormcache.coherence.entry import Entry, Outdated
from ormcache.coherence.log import since
from ormcache.coherence.reader import Reader
from ormcache.coherence.writer import Marked, Released, Writer
from ormcache.keys import has_log, log_of
from ormcache.query import lists
from ormcache.query.revalidation import Changes, changes_of
from tests.model import server, world
from tests.model.explore import Scenario
from tests.model.log_scenarios import LOGS
from tests.model.server import Cell, Found
from tests.model.variants import Variant, command

# Commands of the server


def marked_without_push(
    cell: Found, log: Found, now: int, token: bytes, ttl: int, record: bytes, most: int, px: int
) -> tuple[Found, Found, bytes | None]:
    """Where no stamp is dropped nothing is recorded."""
    found = cell.value[:1] if cell is not None and type(cell.value) is bytes else b""
    after, longer, old = server.mark_logged(cell, log, now, token, ttl, record, most, px)
    return after, longer if found == b"S" or record == b"" else log, old


def marked_without_end(
    cell: Found, log: Found, now: int, token: bytes, ttl: int, record: bytes, most: int, px: int
) -> tuple[Found, Found, bytes | None]:
    """Unknown rows leave the log as it is."""
    after, longer, old = server.mark_logged(cell, log, now, token, ttl, record, most, px)
    return after, longer if record else log, old


def released_without_end(
    cell: Found, log: Found, now: int, token: bytes
) -> tuple[Found, Found, int]:
    """A lost mark leaves the log as it is."""
    after, _, found = server.release_logged(cell, log, now, token)
    return after, log, found


def record_late(log: Found, now: int, record: bytes) -> tuple[Found, int]:
    before: Any = log.value if log is not None else ()
    return Cell((*before, record)), 1


class RecordsAfterwards(Writer):
    """The record is added when the marks have been taken off."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self._late: list[tuple[Any, ...]] = []

    def mark(
        self,
        token: bytes,
        keys: Sequence[bytes],
        *,
        records: Mapping[bytes, bytes | None] = {},
        **kwargs: Any,
    ) -> Marked:
        logged = [key for key in keys if records.get(key)]
        if logged:
            _, stamps = self._store.run([("GET", key) for key in logged])
            for key, stamp in zip(logged, stamps, strict=True):
                is_there = cells.roster_of(stamp) is not None
                nonce = cells.nonce_of(stamp) if is_there else bytes(cells.NONCE_SIZE)
                self._late.append(("RECORD", log_of(key), nonce + (records[key] or b"")))
        return super().mark(token, keys, **kwargs)

    def release(self, token: bytes, keys: Sequence[bytes], *rest: Any, **named: Any) -> Released:
        released = super().release(token, keys, *rest, **named)
        self._store.run(self._late)
        return released


# Readers


class ReadsLogsFirst(Reader):
    """The logs are read before the stamps are captured."""

    def capture(self, entry: Entry, stamp_ms: int) -> bytes | None:
        absent = entry.absent()
        old = Outdated(entry)
        if absent is None or not absent or not old.changed:
            return super().capture(entry, stamp_ms)
        _, logs = self._store.run(old.commands())
        epoch, stamps = self._store.run(entry.stamping(absent, stamp_ms))
        if epoch != entry.epoch:
            return None
        entry.note(absent, stamps)
        entry.changes = old.changes(logs)
        return entry.prefix


class CapturesAgain(Reader):
    """An entry is kept under the stamps as they are when it is."""

    def restamp(
        self, entry: Entry, invalid: bytes | None, prefix: bytes, lease: bytes | None = None
    ) -> None:
        self.read_entry(entry)
        captured = super().capture(entry, 1000)
        if captured is not None:
            super().restamp(entry, invalid, captured, lease)


class PassesByMarks(Reader):
    """An entry is checked and kept although a writer is at work."""

    def capture(self, entry: Entry, stamp_ms: int) -> bytes | None:
        marked = [
            key
            for key, cell in zip(entry.stamps, entry.found, strict=True)
            if cells.is_mark(cell) and has_log(key)
        ]
        if marked and entry.payload:
            self._store.run([("UNLINK", *marked)])
            self.read_entry(entry)
        return super().capture(entry, stamp_ms)


class LooksOnce(Reader):
    """The stamps are not read again when the question has been answered."""

    def read_entry(self, entry: Entry) -> bytes | None:
        if entry.changes is None:
            return super().read_entry(entry)
        entry.changes = None
        return None


def _inserted_are_new(
    changes: Mapping[bytes, list[bytes]] | None, query: Any, plan: Any, pk_type: type
) -> Changes | None:
    """Whatever is inserted is younger than the result."""
    found = changes_of(changes, query, plan, pk_type)
    if found is None or changes is None:
        return None
    written = [rows_of(records, pk_type) for records in changes.values()]
    inserted = frozenset[Any]().union(*(each.inserted for each in written if each))
    return replace(found, new=found.new | inserted)


def _since_ever(nonce: bytes, log: Any) -> list[bytes] | None:
    found = since(nonce, log)
    return [each[cells.NONCE_SIZE :] for each in log] if found is None and log else found


def _since_nothing(nonce: bytes, log: Any) -> list[bytes] | None:
    return since(nonce, log) or []


def of_two(name: str, step: Any) -> tuple[Any, str, Any]:
    return (server.STEPS_OF_TWO, name, step)


def named(name: str) -> Scenario:
    return LOGS[f"kept, {name}"].scenario


_counts = named("inserts")
_evicted = named("inserts, an eviction")

VARIANTS = [
    Variant("logs read before the stamps", _counts, True, reader=ReadsLogsFirst),
    Variant(
        "MARK adds only what drops a stamp",
        _counts,
        True,
        (of_two("MARK_LOGGED", marked_without_push),),
    ),
    Variant(
        "MARK of unknown rows leaves the log",
        named("updates, too many for a record"),
        True,
        (of_two("MARK_LOGGED", marked_without_end),),
    ),
    Variant(
        "the record added after the release",
        _counts,
        True,
        (command("RECORD", record_late), (world._SILENT, "RECORD", 1)),
        writer=RecordsAfterwards,
    ),
    Variant(
        "RELEASE that lost its mark leaves the log",
        named("updates, marks end early"),
        True,
        (of_two("RELEASE_LOGGED", released_without_end),),
    ),
    Variant("kept under stamps captured after", _counts, True, reader=CapturesAgain),
    Variant("all of a log without the nonce", _evicted, False, ((entries, "since", _since_ever),)),
    Variant(
        "nothing of a log without the nonce", _evicted, True, ((entries, "since", _since_nothing),)
    ),
    Variant("kept by an answer that is younger", named("two updates"), True, reader=LooksOnce),
    Variant(
        "rows of a younger result taken for new",
        named("an insert and its update"),
        True,
        ((lists, "changes_of", _inserted_are_new),),
    ),
    Variant("kept while a mark is in sight", named("updates"), False, reader=PassesByMarks),
]
