"""Hold a random sample of the cached rows against the database.

A row counts as stale when a reader would be given it, the database says otherwise, and both hold
still while they are looked at several times. Fails if there are any, for cron and monitoring.
"""

from __future__ import annotations

import random
from argparse import ArgumentParser
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.db.models.query import QuerySet

from ormcache import keys, runtime
from ormcache.coherence.reader import Rows
from ormcache.exceptions import Corrupt
from ormcache.management.compare import same
from ormcache.management.names import databases, tables_named
from ormcache.management.output import Output, Progress
from ormcache.outage.check import check_outbox
from ormcache.reads.select import as_loaded
from ormcache.schema.options import DEFAULT, options_of
from ormcache.schema.tables import Table
from ormcache.schema.watched import watched_tables
from ormcache.stats import counters
from ormcache.text import columns, key_text
from ormcache.writes.hooks import state_of

_BATCH = 200
_LOOKS = 2
_SHOWN = 20
_MILLION = 1_000_000


@dataclass(slots=True)
class Findings:
    """What an audit found. ``ages`` are seconds since the cells were filled, about."""

    cells: int = 0
    compared: int = 0
    moving: int = 0
    """Cells that differed while they or their row were being changed."""
    ages: list[float] = field(default_factory=list)
    stale: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ppm(self) -> float | None:
        return len(self.stale) * _MILLION / self.compared if self.compared else None

    @property
    def bound(self) -> float | None:
        """What the share of stale cells is below, with 95 % confidence, when none was found."""
        return 3 * _MILLION / self.compared if self.compared else None


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="Namespaces, app labels or models to look at (default: all).",
    )
    parser.add_argument(
        "--sample", type=int, default=1000, metavar="N", help="Cells to compare (default: 1000)."
    )
    parser.add_argument(
        "--max-ppm",
        type=float,
        default=0.0,
        metavar="PPM",
        help="Fail only if more cells than these are stale (default: 0).",
    )


def handle(options: dict[str, Any], out: Output) -> None:
    if options["sample"] < 1:
        raise CommandError("--sample must be at least 1.")
    tables = tables_named(options["names"]) if options["names"] else None
    progress = out.progress("keys seen")
    sampled, findings = _sample(options["sample"], tables, progress)
    progress.end()
    aliases = databases()
    for (database, name), wanted in sorted(sampled.items()):
        watched = watched_tables().get(name)
        if watched is None or watched.table is None or database not in aliases:
            continue
        for start in range(0, len(wanted), _BATCH):
            try:
                _audit(watched.table, aliases[database], wanted[start : start + _BATCH], findings)
            except DatabaseError as error:
                raise CommandError(f"The database does not answer: {error}") from error
    out.result(_data(findings), _lines(findings))
    if findings.stale and (findings.ppm or 0) > options["max_ppm"]:
        raise CommandError(f"{len(findings.stale):,} of {findings.compared:,} cells are stale.")


def _sample(
    size: int, tables: frozenset[str] | None, progress: Progress
) -> tuple[dict[tuple[str, str], list[bytes]], Findings]:
    """``size`` keys of row cells, each as likely as any other."""
    cache = runtime.current()
    prefix = keys.site_prefix(cache.config.namespace)
    only = next(iter(tables)) if tables is not None and len(tables) == 1 else None
    kept: list[tuple[keys.Parsed, bytes]] = []
    findings = Findings()
    for batch in cache.store.scan(keys.table_pattern(cache.config.namespace, only)):
        for key in batch:
            found = keys.parse(prefix, key)
            if found is None or found.kind != "row" or (tables and found.table not in tables):
                continue
            if keys.is_in_view(key):
                # What a view shows is not what this connection would be shown.
                continue
            findings.cells += 1
            if len(kept) < size:
                kept.append((found, key))
            elif (place := random.randrange(findings.cells)) < size:
                kept[place] = found, key
        progress.at(findings.cells)
    grouped: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for found, key in kept:
        grouped[found.database, found.table].append(key)
    return grouped, findings


@dataclass(frozen=True, slots=True)
class _Cached:
    """A row as a reader would be given it. ``age``: seconds since it was filled, about."""

    raw: bytes
    values: list[Any]
    age: float | None


@dataclass(frozen=True, slots=True)
class _Difference:
    cached: _Cached
    row: tuple[Any, ...] | None


def _audit(table: Table, using: str, wanted: list[bytes], findings: Findings) -> None:
    """Compare cells of one table. What differs is looked at again, more than once."""
    found = _read(table, using, wanted)
    findings.compared += len(found)
    findings.ages += [each.age for each in found.values() if each.age is not None]
    suspects = first = _differing(table, using, found)
    for _ in range(_LOOKS):
        if suspects:
            suspects = _differing(table, using, _read(table, using, list(suspects)))
    findings.moving += len(first) - len(suspects)
    counters["audit_compared"] += len(found)
    counters["audit_stale"] += len(suspects)
    findings.stale += [_stale(table, key, each) for key, each in suspects.items()]


def _read(table: Table, using: str, wanted: list[bytes]) -> dict[bytes, _Cached]:
    """Those of the cells that would answer a reader now."""
    cache = runtime.current()
    state = state_of(connections[using])
    rows = Rows(cache.keys(state.label, table.name).generation, table.fingerprint, wanted)
    # As a reader does: what the outbox makes useless it is not given.
    checked = check_outbox(state)
    cache.reader.read_rows([rows])
    checked.confirm()
    _, ttls = cache.store.run([("PTTL", key) for key in wanted])
    found = {}
    for key, raw, payload, ttl in zip(wanted, rows.found, rows.payloads(), ttls, strict=True):
        if raw is None or payload is None:
            continue
        try:
            values: Any = table.codec.decode(payload)
            if table.codec.raw:
                names = tuple(item.attname for item in table.fields)
                values = as_loaded(table.model, names, table.codec.raw, values, using)
            found[key] = _Cached(raw, values, _age(table, ttl))
        except Corrupt:
            continue
    return found


def _differing(table: Table, using: str, found: dict[bytes, _Cached]) -> dict[bytes, _Difference]:
    """The cells that differ from their rows, and were the same before and after the rows were
    read."""
    position = table.positions[table.pk_column]
    rows = _select(table, using, [each.values[position] for each in found.values()])
    differing = {}
    for key, each in found.items():
        row = rows.get(each.values[position])
        if row is None or not all(same(a, b) for a, b in zip(each.values, row, strict=True)):
            differing[key] = _Difference(each, row)
    after = _read(table, using, list(differing)) if differing else {}
    return {
        key: each
        for key, each in differing.items()
        if key in after and after[key].raw == each.cached.raw
    }


def _select(table: Table, using: str, pks: list[Any]) -> dict[Any, tuple[Any, ...]]:
    # Django's own queryset: it knows no cache.
    rows: QuerySet[Any, Any] = QuerySet(table.model, using=using).order_by().filter(pk__in=pks)
    names = [item.attname for item in table.fields]
    position = table.positions[table.pk_column]
    return {row[position]: row for row in rows.values_list(*names)}


def _age(table: Table, ttl: int) -> float | None:
    """Up to a tenth too much: so much is taken off the timeout at random."""
    timeout = options_of(table.model).timeout
    if timeout is DEFAULT:
        timeout = runtime.current().config.timeout
    return None if timeout is None or ttl < 0 else max(0.0, timeout - ttl / 1000)


def _stale(table: Table, key: bytes, found: _Difference) -> dict[str, Any]:
    names = [item.attname for item in table.fields]
    differs = ["the row is gone"]
    if found.row is not None:
        pairs = zip(names, found.cached.values, found.row, strict=True)
        differs = [name for name, a, b in pairs if not same(a, b)]
    return {
        "model": table.model._meta.label,
        "key": key_text(key),
        "age": None if found.cached.age is None else round(found.cached.age, 1),
        "differs": differs,
    }


def _data(findings: Findings) -> dict[str, Any]:
    return {
        "cells": findings.cells,
        "compared": findings.compared,
        "stale": len(findings.stale),
        "ppm": findings.ppm,
        "below_ppm": None if findings.stale else findings.bound,
        "moving": findings.moving,
        "median_age": round(median(findings.ages), 1) if findings.ages else None,
        "oldest_age": round(max(findings.ages), 1) if findings.ages else None,
        "stale_cells": findings.stale,
    }


def _lines(findings: Findings) -> list[str]:
    lines = [f"Cells        {findings.cells:,} of rows, {findings.compared:,} compared"]
    if findings.ages:
        lines.append(
            f"Age          {median(findings.ages):,.0f} s in the middle, "
            f"{max(findings.ages):,.0f} s at most"
        )
    if findings.moving:
        lines.append(f"Moving       {findings.moving:,} changed while they were looked at")
    if not findings.compared:
        return [*lines, "Stale        nothing to compare"]
    if not findings.stale:
        return [*lines, f"Stale        none: below {findings.bound:,.0f} ppm, 95 % certain"]
    lines.append(f"Stale        {len(findings.stale):,}: {findings.ppm:,.0f} ppm")
    shown = [
        (each["model"], each["key"], f"{each['age'] or 0:,.0f} s", ", ".join(each["differs"]))
        for each in findings.stale[:_SHOWN]
    ]
    return [*lines, *columns([("  model", "key", "age", "differs in"), *shown])]
