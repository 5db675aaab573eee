"""Ways to break the product in a worker, each of which the checker has to notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ormcache.coherence.reader import Reader
from ormcache.store import channel, scripts
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.transaction import ConnectionState


def fill_without_lease() -> None:
    """Every reader stores what it read, whether its lease is still there or not."""
    _replace("FILL", "redis.call('SET', KEYS[1], ARGV[2]) return 1")


def no_mark() -> None:
    """A writer does nothing before its COMMIT, and deletes after it."""
    _replace("MARK", "return false")


def release_before_commit() -> None:
    """Deletes before the COMMIT, and does nothing after it."""
    mark = Invalidation._mark

    def mark_and_release(self: Invalidation, *arguments: Any) -> None:
        mark(self, *arguments)
        self.release()

    Invalidation._mark = mark_and_release  # type: ignore[assignment,method-assign]


def no_epoch() -> None:
    """What another run of the server stored counts as well."""
    channel._epoch = lambda info: bytes(8)


def snapshot_fill() -> None:
    """A transaction that reads from an old snapshot fills like any other."""
    ConnectionState.sees_newest = lambda self: True  # type: ignore[method-assign]


def late_capture() -> None:
    """A list is stored under the stamps that are there when it is stored, not those of before."""
    capture, store = Reader.capture, Reader.store_entry

    def capture_late(self: Reader, entry: Any, stamp_ms: int) -> bytes | None:
        prefix = capture(self, entry, stamp_ms)
        return prefix if prefix is None else b"later"

    def store_now(self: Reader, entry: Any, prefix: bytes, *rest: Any) -> None:
        entry.epoch, found = self._store.mget((entry.key, *entry.stamps))
        entry.found = found[1:]
        now = capture(self, entry, 60_000)
        if now is not None:
            store(self, entry, now, *rest)

    Reader.capture = capture_late  # type: ignore[method-assign]
    Reader.store_entry = store_now  # type: ignore[assignment,method-assign]


def _replace(name: str, text: str) -> None:
    for known in (scripts.PLAIN, scripts.WITH_FLAGS):
        known[name] = scripts._script(text)


BREAKS: dict[str, Callable[[], None]] = {
    "fill-without-lease": fill_without_lease,
    "no-mark": no_mark,
    "release-before-commit": release_before_commit,
    "no-epoch": no_epoch,
    "snapshot-fill": snapshot_fill,
    "late-capture": late_capture,
}


def apply(name: str) -> None:
    """Break this process's ormcache in the way ``name``; not at all if it is empty."""
    if name:
        BREAKS[name]()
