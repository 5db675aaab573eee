"""Holding the cells of a row against the row in the database, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ormcache.explain.row import HIT, CellView, view_cells
from ormcache.reads.select import Row, select
from ormcache.schema.tables import Schema

_TRIES = 5

Difference = tuple[str, Any, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``differences`` are attributes with their value in the cache and in the database."""

    in_database: bool
    equal: bool
    differences: list[Difference]


def compare(
    schema: Schema, pk: Any, using: str, views: list[CellView]
) -> tuple[list[CellView], Comparison]:
    """Compare what the cache would answer with the database, and return the cells compared.

    A difference counts only if the cells stayed what they are while the database was read:
    otherwise a write came in between, and the comparison is made again.
    """
    for _ in range(_TRIES):
        found = _compare(schema, views, _read(schema, pk, using))
        if found.equal:
            break
        before = [view.raw for view in views]
        views = view_cells(schema, pk, using)
        if before == [view.raw for view in views]:
            break
    return views, found


def _read(schema: Schema, pk: Any, using: str) -> Row | None:
    # Past the cache, and as its cells hold a row.
    return select(schema, [pk], using).get(pk)


def _compare(schema: Schema, views: list[CellView], row: Row | None) -> Comparison:
    if row is None:
        # A row in several tables is answered from the cache only if all its cells are.
        return Comparison(False, not all(view.state == HIT for view in views), [])
    differences = []
    for name, (table, position), value in zip(schema.attnames, schema.sources, row, strict=True):
        view = views[table]
        if view.state != HIT or view.values is None:
            continue
        cached = view.values[position]
        if not same(cached, value):
            differences.append((name, cached, value))
    return Comparison(True, not differences, differences)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are one, in type, too."""
    if type(ours) is not type(theirs):
        return False
    # Not by == alone: NaN differs from itself, and [1] equals [True].
    if repr(ours) == repr(theirs):
        return True
    return bool(ours == theirs) and not isinstance(ours, dict | list)
