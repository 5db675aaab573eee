"""The counters of all processes of the site, added up in one hash in the store.

A trip every few seconds from every process that answers requests, and one at its end. Nothing
depends on the totals: whatever cannot be added is left out, and nothing here raises but ``read``.
"""

from __future__ import annotations

import os
import time

from ormcache import runtime, stats
from ormcache.exceptions import StoreError
from ormcache.keys import totals_key
from ormcache.locks import Claim, ExpiringLock

INTERVAL = 5.0
"""Seconds between two additions by one process."""

_due = time.monotonic() + INTERVAL
_lock = ExpiringLock(INTERVAL)


def flush_if_due() -> None:
    """``flush``, if the last time is long enough ago. To be called often."""
    if time.monotonic() >= _due:
        flush()


def flush() -> None:
    """Add what this process has counted since the last time: one round trip, or none."""
    global _due
    cache = runtime.built()
    claim = Claim()
    if cache is None or not _lock.take(claim):
        return
    try:
        _due = time.monotonic() + INTERVAL
        added = stats.unflushed()
        if not added:
            return
        key = totals_key(cache.config.namespace)
        cache.store.run([("HINCRBY", key, name, more) for name, more in added.items()])
        stats.mark_flushed(added)
    except StoreError:
        # Kept for the next time: how often the store failed is just what one wants to know.
        return
    finally:
        _lock.give_back(claim)


def flush_at_exit() -> None:
    """``flush``, unless the store ends with the process."""
    cache = runtime.built()
    if cache is not None and cache.store.shared:
        flush()


def read(*, reset: bool = False) -> dict[str, int]:
    """The site's totals by name; with ``reset`` they start again from zero.

    Raises ``StoreError``.
    """
    flush()
    cache = runtime.current()
    key = totals_key(cache.config.namespace)
    commands = [("HGETALL", key), ("UNLINK", key)] if reset else [("HGETALL", key)]
    found = cache.store.run(commands)[1][0]
    totals = dict(zip(found[::2], found[1::2], strict=True))
    return {name: int(totals.get(name.encode(), 0)) for name in stats.NAMES}


def _after_fork() -> None:
    global _lock
    # Another thread of the parent may have held it.
    _lock = ExpiringLock(INTERVAL)


os.register_at_fork(after_in_child=_after_fork)
