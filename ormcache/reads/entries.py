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
from ormcache.analysis import dependencies, fingerprint
from ormcache.codec.values import pack, unpack
from ormcache.coherence.entry import Entry
from ormcache.coherence.flight import Flights, Turn
from ormcache.coherence.reader import LEASE_MS, MOST_BYTES, kept_ms
from ormcache.exceptions import Corrupt, StoreError, Uncacheable, Unrepresentable
from ormcache.outage.check import check_outbox
from ormcache.reads import faults
from ormcache.reads.depends_on import declared
from ormcache.schema.options import DEFAULT, timeout_of
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.transaction import ConnectionState

logger = logging.getLogger("ormcache")

MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """What ``QuerySet.cache()`` was given. ``timeout`` in seconds, ``None`` for no expiry."""

    key: str | None = None
    timeout: Any = DEFAULT
    depends_on: tuple[Any, ...] = ()
    reset: bool = False
    off: bool = False
    """``nocache()``: the database answers, and nothing is filled."""


PLAIN_OPTIONS = EntryOptions()
NOCACHE = EntryOptions(off=True)


# Pointers are no values, but the annotations beside them are.
_HOLDING_VALUES = frozenset({b"values", b"aggregate", b"rows"})


on_replaced: list[Callable[[ListEntry, bytes, bytes], None]] = []
"""Called when an entry has taken the place of a current one: with it, and the payloads of both."""


class ListEntry:
    """The cached result of one query on one database."""

    _replaced: bytes | None = None  # Of the class: a hit has none.
    _payload = b""

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
        connection = connections[using]
        self.state: ConnectionState = state_of(connection)
        sight = self.state.sight
        sight.look()
        view, self._token = sight.view, sight.token
        label, vendor = self.state.label, connection.vendor
        self._model = queryset.model
        self.kind = kind
        self.options = options
        template = dependencies.of_query(query, structure, label, vendor, sight.secured)
        if template.converted and kind in _HOLDING_VALUES:
            raise Uncacheable(template.converted)
        self._coarse = template.coarse.stamps
        narrow = template.bind(query)
        stamps, tables, schemes = narrow.stamps, narrow.tables, narrow.schemes
        rows: frozenset[bytes] = frozenset()
        extra: list[bytes] = [kind] if view is None else [kind, b"view", view]
        if options.depends_on:
            # In a view nobody fills the cells of rows themselves; they are stamps like others.
            reads = using if to_read and view is None else None
            named = declared(options.depends_on, label, vendor, reads, sight.secured)
            self._coarse = [*self._coarse, *named.stamps]
            stamps, tables = [*stamps, *named.stamps], [*tables, *named.tables]
            extra += named.stamps
            self._declared = named.declared
            schemes = schemes | named.schemes
            if view is None:
                rows = frozenset(row_keys.row(pk) for row_keys, pk in named.declared)
        else:
            self._declared = []
        self.tables = tables
        sight.check(tables)
        self._is_secured = not sight.secured.isdisjoint(tables)
        self.query = query
        keys = cache.keys(label, queryset.model._meta.db_table)
        shape = narrow.fingerprint
        if options.key is None:
            key = keys.entry(fingerprint.digest(structure, values, *extra))
        else:
            # The developer's key stands for values, not for what is asked of the database.
            apart = fingerprint.told_apart(structure, values, query)
            told = fingerprint.digest((), apart) if apart else b""
            key = keys.named_entry(options.key, told, view)
            shape = fingerprint.digest(structure, apart, shape, *extra)[:8]
        self.entry = Entry(key, shape, stamps, rows, schemes, narrow is not template.coarse)
        self.turn = _NO_TURN

    @property
    def is_dirty(self) -> bool:
        """Whether the running transaction wrote to something the result depends on."""
        pending = self.state.pending
        return pending is not None and any(name in pending.tables for name in self.tables)

    def fetch(self, is_valid: Callable[[Any], bool]) -> Any:
        """The stored result. One round trip on a hit.

        ``MISSING``: the reader has to run the SQL, inside ``with self.turn``; before that it may
        have waited for another reader's result. ``is_valid`` says whether something read from the
        store has the shape of such a result: nobody else vouches for it.
        """
        found = self.read(is_valid)
        if found is MISSING:
            return self._await_turn(is_valid)
        late = self.entry.late
        return found if late is None else self._refresh(found, late, is_valid)

    def read(self, is_valid: Callable[[Any], bool]) -> Any:
        """The stored result, ``MISSING`` if there is none that is current. One round trip."""
        payload = self._look()
        if self.options.reset:
            self._replaced = payload
            return MISSING
        found = MISSING if payload is None else self._unpack(payload, is_valid)
        counters["list_miss" if found is MISSING else "list_hit"] += 1
        return found

    def _unpack(self, payload: bytes, is_valid: Callable[[Any], bool]) -> Any:
        try:
            found = unpack(payload)
        except Corrupt:
            found = MISSING
        if found is MISSING or not is_valid(found):
            counters["corrupt"] += 1
            return MISSING
        return found

    def _await_turn(self, is_valid: Callable[[Any], bool]) -> Any:
        if not self.state.may_fill(self.tables):
            counters["list_fill_refused"] += 1
            self.turn = Turn()
            return MISSING
        cache = runtime.current()
        self.entry.kept_ms = self._kept_ms()
        flights = Flights(cache.reader)
        if self.options.reset:
            self.turn = flights.at_once(self.entry, cache.stamp_ms)
        else:
            self.turn = flights.after_miss(self.entry, self._lease(), cache.stamp_ms)
        if self.turn.payload is not None:
            return self._take(self.turn, is_valid)
        if self.turn.prefix is None:
            counters["list_fill_refused"] += 1
        return MISSING

    def _refresh(self, found: Any, late: float, is_valid: Callable[[Any], bool]) -> Any:
        """``MISSING`` if it is this reader that refreshes the entry; ``found`` for all others."""
        if not self.state.may_fill(self.tables):
            self.turn = Turn()
            return found if late < 0 else MISSING
        cache = runtime.current()
        self.entry.kept_ms = self._kept_ms()
        replaced = self.entry.payload
        try:
            turn = Flights(cache.reader).to_refresh(self.entry, self._lease(), cache.stamp_ms)
        except StoreError:
            counters["store_error"] += 1
            return found
        if turn is None:
            return found
        self.turn = turn
        if turn.payload is not None:
            return self._take(turn, is_valid)
        counters["list_refresh"] += 1
        self._replaced = replaced
        return MISSING

    def _take(self, turn: Turn, is_valid: Callable[[Any], bool]) -> Any:
        """What another reader has stored meanwhile."""
        with turn:
            self._checked.confirm_late(self.state)
            found = self._unpack(turn.payload or b"", is_valid)
        self.turn = Turn()
        return found

    def _timeout(self) -> float | None:
        return timeout_of(self._model, runtime.current().config.timeout, self.options.timeout)

    def _kept_ms(self) -> int:
        """How long the entry will be there at most, counted from before its SQL."""
        timeout = self._timeout()
        return kept_ms(int(timeout * 1000) if timeout is not None else 0) + LEASE_MS

    def _lease(self) -> bytes:
        keys = runtime.current().keys(self.state.label, self._model._meta.db_table)
        return keys.lease(self.entry.key)

    def _look(self) -> bytes | None:
        read = runtime.current().reader.read_entry
        self._checked = checked = check_outbox(self.state)
        payload = read(self.entry)
        if payload is None and self.entry.is_foreign:
            # Another version of the code keeps other partitions: rely on whole tables meanwhile.
            self.entry.stamps, self.entry.is_narrow = self._coarse, False
            payload = read(self.entry)
        checked.confirm()
        return payload

    def packs(self, result: Any) -> bool:
        """Pack a result, to be stored next. When it cannot be stored nobody will wait for it."""
        try:
            self._payload = pack(result)
        except Unrepresentable:
            counters["unrepresentable"] += 1
        else:
            if len(self._payload) <= MOST_BYTES:
                return True
            counters["oversized"] += 1
        self.turn.in_vain()
        return False

    def store(self, cost: float) -> None:
        """Store the result packed before, under the stamps captured before its SQL ran.

        ``cost``: the seconds it took.
        """
        turn, payload = self.turn, self._payload
        if turn.prefix is None:
            return
        if not self.state.sight.is_still(self._token, self.tables):
            counters["list_fill_refused"] += 1
            turn.in_vain()
            return
        cache = runtime.current()
        timeout = self._timeout()
        dependents = [row_keys.dependents(pk) for row_keys, pk in self._declared]
        try:
            cache.reader.store_entry(
                self.entry,
                turn.prefix,
                payload,
                timeout,
                cost,
                cache.stamp_ms,
                dependents,
                turn.lease,
            )
        except StoreError:
            counters["store_error"] += 1
            return
        turn.lease = None
        counters["list_fill"] += 1
        if self._replaced is not None:
            for told in on_replaced:
                told(self, self._replaced, payload)

    def is_unchanged(self) -> bool:
        """Whether the stamps are still those captured before the SQL. One round trip."""
        self._look()
        return self.entry.prefix == self.turn.prefix

    def drop(self) -> None:
        """Remove the entry. One round trip."""
        runtime.current().reader.drop([self.entry.key])


_NO_TURN = Turn()


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
    database. What cannot be cached is asked there every time. ``is_valid``: as of ``fetch``.
    """
    entry: ListEntry | None = None
    found = MISSING
    try:
        structure, values, query = walked
        entry = ListEntry(queryset, kind, structure, values, query, using)
        if entry.is_dirty:
            counters["bypassed"] += 1
            entry = None
        else:
            found = entry.fetch(is_valid)
    except Exception as error:
        count_uncached(error, queryset.model)
        entry = None
    if entry is None:
        # Not where the error was handled: what Django raises would have it as its context.
        return run()
    if found is not MISSING:
        counters["sql_saved"] += 1
        return found
    with entry.turn as turn:
        started = time.perf_counter()
        result = run()
        cost = time.perf_counter() - started
        if turn.prefix is not None:
            try:
                if entry.packs(result):
                    entry.store(cost)
            except Exception as error:
                count_uncached(error, queryset.model)
    return result


def _log(error: Exception, model: Any) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        named = {"model": model._meta.label, "reason": str(error)}
        logger.debug("ormcache.uncached: %s: %s", *named.values(), extra=named)


def count_uncached(error: Exception, model: Any) -> None:
    """Note that a read of ``model`` went to the database, and for what reason.

    Raises the error again if it is not the cache's to keep (see ``faults``).
    """
    if isinstance(error, Uncacheable):
        _log(error, model)
        counters["uncached"] += 1
    elif isinstance(error, StoreError):
        _log(error, model)
        counters["store_error"] += 1
    else:
        faults.note(error)
