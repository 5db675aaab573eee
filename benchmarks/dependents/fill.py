"""Puts any number of lists into a cache: one is read, the others are stored as it was.

The copies bear keys of their own and are written by the system's own code, so that it keeps
all its books of them. They are as large as the one they copy and depend on the same rows.
"""

from __future__ import annotations

import copy
import time
from typing import Any


def fill(system: str, queryset: Any, count: int) -> None:
    """Have ``count`` lists of what ``queryset`` finds in the cache of a system."""
    if count:
        _FILLS[system](queryset, list(queryset.all()), count - 1)


def _ormcache(queryset: Any, rows: list[Any], count: int) -> None:
    from ormcache import runtime
    from ormcache.codec.values import pack

    cache = runtime.current()
    listed = queryset._list_entry()
    listed.read(lambda found: True)
    prefix = cache.reader.capture(listed.entry, cache.stamp_ms)
    payload = pack([[row.pk for row in rows], []])
    for number in range(count):
        entry = copy.copy(listed.entry)
        entry.key += b"%d" % number
        cache.reader.store_entry(entry, prefix, payload, 3600, 0.001, cache.stamp_ms)


def _cacheops(queryset: Any, rows: list[Any], count: int) -> None:
    from cacheops.getset import cache_thing

    for number in range(count):
        cache_thing("", f"q:{number}", rows, queryset._cond_dnfs, 3600)


def _cachalot(queryset: Any, rows: list[Any], count: int) -> None:
    from django.core.cache import caches

    values = [[[tuple(row.__dict__.values())[1:] for row in rows]]]
    for number in range(count):
        caches["default"].set(f"{number:040}", (time.time(), values), 3600)


def _none(queryset: Any, rows: list[Any], count: int) -> None:
    """Nothing to put it into."""


_FILLS = {"ormcache": _ormcache, "cacheops": _cacheops, "cachalot": _cachalot, "none": _none}
