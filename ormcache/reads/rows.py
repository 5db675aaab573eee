"""Rows by primary key: from their cells, the missing ones from the database with one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from ormcache import runtime
from ormcache.coherence.reader import MOST_BYTES, Lease, Rows
from ormcache.database.catalog import refusal
from ormcache.database.sight import Token, count_refused
from ormcache.exceptions import Corrupt, StoreError, Uncacheable, Unrepresentable
from ormcache.outage.check import check_outbox
from ormcache.reads.select import Row, select
from ormcache.schema.options import timeout_of
from ormcache.schema.tables import Schema
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.transaction import ConnectionState


@dataclass(slots=True)
class Wanted:
    """Rows of one model wanted in one read. Afterwards ``rows`` holds those that exist, each with
    its values in the order of the model's concrete fields."""

    schema: Schema
    pks: list[Any]
    rows: dict[Any, Row] = field(default_factory=dict)


def read_row(schema: Schema, pk: Any, connection: Any) -> Row | None:
    """One row, ``None`` if it does not exist. One round trip on a hit."""
    state, using = state_of(connection), connection.alias
    table, sight = schema.tables[0], state.sight
    if (
        schema.is_single
        and state.pending is None
        and sight.may_read((table.name,))
        and sight.view is None
    ):
        cache = runtime.current()
        keys = cache.keys(state.label, table.name)
        found: Rows | None = None
        try:
            checked = check_outbox(state)
            found = cache.reader.read_row(keys.generation, table.fingerprint, keys.row(pk))
            checked.confirm()
            payload = found.payloads()[0]
            if payload is not None:
                row = table.codec.decode(payload)
                counters["row_hit"] += 1
                counters["sql_saved"] += 1
                return row
        except StoreError:
            counters["store_error"] += 1
            found = None
        except Corrupt:
            counters["corrupt"] += 1
        if found is None:
            # Not where the error was handled: that of the SQL would have it as its context.
            return select(schema, [pk], using).get(pk)
        wanted = Wanted(schema, [pk])
        _refill([(wanted, [pk], [found])], state, using, sight.token)
        return wanted.rows.get(pk)
    wanted = Wanted(schema, [pk])
    read_rows([wanted], using)
    return wanted.rows.get(pk)


def read_rows(wanted: Sequence[Wanted], using: str) -> None:
    """Read all rows of all models: one round trip, and one SQL query for each model that has
    rows missing from the cache."""
    state = state_of(connections[using])
    sight = state.sight
    cached: list[tuple[Wanted, list[Any], list[Rows]]] = []
    for each in wanted:
        pks = _clean_pks(each, state)
        if len(pks) < len(each.pks):
            clean = set(pks)
            own = [pk for pk in each.pks if pk not in clean]
            each.rows.update(select(each.schema, own, using))
        if pks:
            cached.append((each, pks, _groups(each.schema, pks, state)))
    if not cached:
        return
    token = sight.token
    is_read = False
    try:
        checked = check_outbox(state)
        runtime.current().reader.read_rows([rows for _, _, groups in cached for rows in groups])
        checked.confirm()
        is_read = True
    except StoreError:
        counters["store_error"] += 1
    if not is_read:
        for each, pks, _ in cached:
            each.rows.update(select(each.schema, pks, using))
        return
    for each, pks, groups in cached:
        _take_hits(each, pks, groups)
    if any(len(each.rows) < len(each.pks) for each, _, _ in cached):
        _refill(cached, state, using, token)


def _clean_pks(wanted: Wanted, state: ConnectionState) -> list[Any]:
    """The rows that the running transaction has not written itself."""
    sight = state.sight
    if not sight.may_read([table.name for table in wanted.schema.tables]):
        count_refused(sight.reason)
        return []
    if state.pending is None:
        return wanted.pks
    tables = state.pending.tables
    writes = [tables[table.name] for table in wanted.schema.tables if table.name in tables]
    return [pk for pk in wanted.pks if not any(each.touches(pk) for each in writes)]


def _groups(schema: Schema, pks: list[Any], state: ConnectionState) -> list[Rows]:
    groups = []
    view = state.sight.view
    for table in schema.tables:
        keys = runtime.current().keys(state.label, table.name)
        row = keys.row
        cells = [row(pk) for pk in pks]
        rows = Rows(keys.generation, table.fingerprint, cells)
        if view is not None:
            # Writers know of no views: they mark what all views of the row rest on.
            rows.bases, rows.keys = cells, [keys.row_in_view(view, pk) for pk in pks]
        groups.append(rows)
    return groups


def _take_hits(wanted: Wanted, pks: list[Any], groups: list[Rows]) -> None:
    schema, hits = wanted.schema, wanted.rows
    if schema.is_single:
        decode = schema.tables[0].codec.decode
        for pk, payload in zip(pks, groups[0].payloads(), strict=True):
            if payload is not None:
                try:
                    hits[pk] = decode(payload)
                except Corrupt:
                    counters["corrupt"] += 1
    else:
        decoders = [table.codec.decode for table in schema.tables]
        for pk, payloads in zip(
            pks, zip(*(g.payloads() for g in groups), strict=True), strict=True
        ):
            if None not in payloads:
                try:
                    parts = [decode(part) for decode, part in zip(decoders, payloads, strict=True)]
                except Corrupt:
                    counters["corrupt"] += 1
                else:
                    hits[pk] = [parts[table][position] for table, position in schema.sources]
    counters["row_hit"] += len(hits)


def _refill(
    cached: Sequence[tuple[Wanted, list[Any], list[Rows]]],
    state: ConnectionState,
    using: str,
    token: Token,
) -> None:
    """Lease what is missing, read it from the database, fill what was leased."""
    fills: list[tuple[Wanted, list[Any], list[Rows]]] = []
    for each, pks, groups in cached:
        if reason := refusal(state.label, each.schema):
            raise Uncacheable(reason)
        missing = [pk for pk in pks if pk not in each.rows]
        counters["row_miss"] += len(missing)
        if missing and state.may_fill([table.name for table in each.schema.tables]):
            fills.append((each, pks, groups))
        elif missing:
            counters["row_fill_refused"] += len(missing)
            each.rows.update(select(each.schema, missing, using))
    if not fills:
        return
    all_groups = [rows for _, _, groups in fills for rows in groups]
    misses = [
        [i for i, pk in enumerate(pks) if pk not in each.rows]
        for each, pks, groups in fills
        for _ in groups
    ]
    try:
        leases = runtime.current().reader.lease(all_groups, misses, runtime.current().stamp_ms)
    except StoreError:
        counters["store_error"] += 1
        leases = [{} for _ in all_groups]
    granted = iter(leases)
    for each, pks, groups in fills:
        own = [next(granted) for _ in groups]
        missing = [pk for pk in pks if pk not in each.rows]
        if missing:
            loaded = select(each.schema, missing, using)
            each.rows.update(loaded)
            if state.sight.is_still(token, [table.name for table in each.schema.tables]):
                _fill(each.schema, pks, loaded, own)
            else:
                counters["row_fill_refused"] += len(loaded)


def _fill(
    schema: Schema, pks: list[Any], loaded: dict[Any, Row], leases: list[dict[int, Lease]]
) -> None:
    filled: list[tuple[Lease, bytes]] = []
    for number, (table, granted) in enumerate(zip(schema.tables, leases, strict=True)):
        for position, lease in granted.items():
            # A row under another spelling of its key is not the cell that was leased.
            row = loaded.get(pks[position])
            if row is None:
                continue
            try:
                payload = table.codec.encode(_part(schema, number, row))
            except Unrepresentable:
                counters["unrepresentable"] += 1
                continue
            if len(payload) > MOST_BYTES:
                counters["oversized"] += 1
                continue
            filled.append((lease, payload))
    if not filled:
        return
    cache = runtime.current()
    timeout = timeout_of(schema.model, cache.config.timeout)
    try:
        taken = cache.reader.fill(filled, timeout)
    except StoreError:
        counters["store_error"] += 1
        return
    counters["row_fill"] += taken
    counters["row_fill_refused"] += len(filled) - taken


def _part(schema: Schema, number: int, row: Row) -> Row:
    """The values of one of the model's tables, in the order of its columns."""
    if schema.is_single:
        return row
    part: list[Any] = [None] * len(schema.tables[number].fields)
    for (table, position), value in zip(schema.sources, row, strict=True):
        if table == number:
            part[position] = value
    return part
