"""List entries: the result of a query as pointers to rows, or as data, with its stamps.

An entry that matches its stamps answers the query; otherwise the stamps are captured, the SQL
runs, and what it gave is stored under the stamps of before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from ormcache import runtime
from ormcache.codec.values import pack, unpack
from ormcache.coherence.reader import Entry, is_foreign
from ormcache.exceptions import Corrupt, StoreError, Uncacheable, Unrepresentable
from ormcache.options import DEFAULT, options_of
from ormcache.query import dependencies, fingerprint
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.transaction import ConnectionState

logger = logging.getLogger("ormcache")

MOST_HELD = 1000
"""Pointers of one entry noted beside their rows; the rest is known by stamps alone."""


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """What ``QuerySet.cache()`` was given. ``timeout`` in seconds, ``None`` for no expiry."""

    key: str | None = None
    timeout: Any = DEFAULT
    depends_on: tuple[Any, ...] = ()
    reset: bool = False


class ListEntry:
    """The cached result of one query on one database."""

    def __init__(
        self,
        queryset: Any,
        kind: bytes,
        structure: Any,
        values: list[Any],
        query: Any,
        using: str,
        *,
        to_read: bool = True,
    ) -> None:
        options: EntryOptions = queryset._cache_options
        cache = runtime.current()
        self.using = using
        self.state: ConnectionState = state_of(connections[using])
        label, vendor = self.state.label, connections[using].vendor
        self._model = queryset.model
        self._options = options
        template = dependencies.of_query(query, structure, label, vendor)
        self._coarse = template.coarse.stamps
        narrow = template.bind(query)
        stamps, tables, rosters = narrow.stamps, narrow.tables, narrow.rosters
        rows: frozenset[bytes] = frozenset()
        extra: list[bytes] = [kind]
        if options.depends_on:
            named = dependencies.declared(
                options.depends_on, label, vendor, using if to_read else None
            )
            self._coarse = [*self._coarse, *named.stamps]
            stamps, tables = [*stamps, *named.stamps], [*tables, *named.tables]
            extra += named.stamps
            self._declared = named.declared
            rosters = rosters | named.rosters
            rows = frozenset(row_keys.row(pk) for row_keys, pk in named.declared)
        else:
            self._declared = []
        self.tables = tables
        keys = cache.keys(label, queryset.model._meta.db_table)
        shape = narrow.fingerprint
        if options.key is None:
            key = keys.entry(fingerprint.digest(structure, values, *extra))
        else:
            # The developer's key stands for the values, not for what is asked of the database.
            key = keys.named_entry(options.key + _slice(query))
            shape = fingerprint.digest(structure, [], shape, *extra)[:8]
        self.entry = Entry(key, shape, stamps, rows, rosters, narrow is not template.coarse)

    @property
    def is_dirty(self) -> bool:
        """Whether the running transaction wrote to something the result depends on."""
        state = self.state
        return state.uncached or (
            state.pending is not None and any(name in state.pending.tables for name in self.tables)
        )

    def read(self) -> Any:
        """The stored result, ``MISSING`` if there is none that is current. One round trip."""
        if self._options.reset:
            self._look()
            return MISSING
        payload = self._look()
        if payload is None:
            counters["list_miss"] += 1
            return MISSING
        try:
            found = unpack(payload)
        except Corrupt:
            counters["corrupt"] += 1
            counters["list_miss"] += 1
            return MISSING
        counters["list_hit"] += 1
        return found

    def _look(self) -> bytes | None:
        read = runtime.current().reader.read_entry
        payload = read(self.entry)
        if payload is None and is_foreign(self.entry):
            # Another version of the code keeps other partitions: rely on whole tables meanwhile.
            self.entry.stamps, self.entry.is_narrow = self._coarse, False
            payload = read(self.entry)
        return payload

    def capture(self) -> bytes | None:
        """The permission to store what is read from the database after this call."""
        if not self.state.may_fill(self.tables):
            counters["list_fill_refused"] += 1
            return None
        prefix = runtime.current().reader.capture(self.entry, runtime.current().stamp_ms)
        if prefix is None:
            counters["list_fill_refused"] += 1
        return prefix

    def store(self, prefix: bytes, result: Any, cost: float, pointers: list[Any]) -> None:
        """Store a result under the stamps captured before its SQL ran. Never raises."""
        try:
            payload = pack(result)
        except Unrepresentable:
            counters["unrepresentable"] += 1
            return
        cache = runtime.current()
        timeout = self._options.timeout
        if timeout is DEFAULT:
            timeout = options_of(self._model).timeout
        if timeout is DEFAULT:
            timeout = cache.config.timeout
        keys = cache.keys(self.state.label, self._model._meta.db_table)
        holders = [keys.holders(pk) for pk in pointers[:MOST_HELD]]
        holders += [row_keys.dependents(pk) for row_keys, pk in self._declared]
        try:
            cache.reader.store_entry(
                self.entry, prefix, payload, timeout, cost, cache.stamp_ms, holders
            )
        except StoreError:
            counters["store_error"] += 1
            return
        counters["list_fill"] += 1

    def drop(self) -> None:
        """Remove the entry. One round trip."""
        runtime.current().reader.drop([self.entry.key])


def _slice(query: Any) -> str:
    """What tells the pages of one named list apart."""
    return f"[{query.low_mark}:{query.high_mark or ''}]" if query.is_sliced else ""


MISSING: Any = object()


def read_data(
    queryset: Any,
    kind: bytes,
    walked: Any,
    using: str,
    run: Callable[[], Any],
    is_valid: Callable[[Any], bool],
) -> Any:
    """The result of a query that is data: values, a count, an aggregate.

    ``walked`` is the query's structure, its values and the query itself; ``run`` asks the
    database. What cannot be cached is asked there every time. ``is_valid`` says whether something
    read from the store has the shape of such a result.
    """
    try:
        structure, values, query = walked
        entry = ListEntry(queryset, kind, structure, values, query, using)
        if entry.is_dirty:
            counters["bypassed"] += 1
            return run()
        found = entry.read()
        if found is not MISSING:
            if is_valid(found):
                counters["sql_saved"] += 1
                return found
            counters["corrupt"] += 1
        prefix = entry.capture()
    except (StoreError, Uncacheable) as error:
        count_uncached(error)
        return run()
    started = time.perf_counter()
    result = run()
    if prefix is not None:
        entry.store(prefix, result, time.perf_counter() - started, [])
    return result


def count_uncached(error: Exception) -> None:
    """Note that a read went to the database, and for what reason."""
    logger.debug("ormcache.uncached: %s", error)
    counters["uncached" if isinstance(error, Uncacheable) else "store_error"] += 1
