"""Counters of this process. No key or primary key ever becomes part of a counter's name."""

from __future__ import annotations

import os
from collections import Counter

NAMES = (
    "row_hit",
    "row_miss",
    "row_fill",
    "row_fill_refused",
    "list_hit",
    "list_miss",
    "list_fill",
    "list_fill_refused",
    "list_wait",
    "list_wait_timeout",
    "list_refresh",
    "list_vanished",
    "list_compared",
    "list_stale",
    "uncached",
    "bypassed",
    "corrupt",
    "unrepresentable",
    "oversized",
    "analysis_error",
    "sql_saved",
    "mark",
    "release",
    "release_mark_lost",
    "release_scheme_changed",
    "release_failed",
    "store_error",
    "store_down",
    "epoch_unknown",
    "outbox_put",
    "outbox_replayed",
    "unannounced_write",
    "invalidate",
    "audit_compared",
    "audit_stale",
)

# A plain dict that knows every name: an addition to it is one step for all threads, which one to a
# Counter is not, and costs least.
counters: dict[str, int] = dict.fromkeys(NAMES, 0)
_flushed: Counter[str] = Counter()


def get_stats() -> dict[str, int]:
    """What this process has counted since it started, by name. See the reference for each."""
    return dict(counters)


def reset() -> None:
    counters.update(dict.fromkeys(NAMES, 0))
    _flushed.clear()


def unflushed() -> dict[str, int]:
    """What was counted since it was last added to the site's totals."""
    return {name: more for name in NAMES if (more := counters[name] - _flushed[name]) > 0}


def mark_flushed(added: dict[str, int]) -> None:
    """``added`` has reached the site's totals."""
    _flushed.update(added)


def _after_fork() -> None:
    # What the parent counted is the parent's to report.
    _flushed.clear()
    _flushed.update(counters)


os.register_at_fork(after_in_child=_after_fork)
