"""From what a query depends on to the stamps its entry is stored under."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models.query import QuerySet

from ormcache import runtime
from ormcache.exceptions import Uncacheable
from ormcache.keys import TableKeys
from ormcache.query import analysis, fingerprint
from ormcache.query.memo import Memo
from ormcache.query.rows import read_row
from ormcache.schema import schema_or_none
from ormcache.writes.watched import watched_tables

EVERY_COLUMN = frozenset({"*"})


@dataclass(slots=True)
class Dependencies:
    """The stamps of a result, the tables behind them and the fingerprint of those tables."""

    stamps: list[bytes] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    fingerprint: bytes = b""
    declared: list[tuple[TableKeys, Any]] = field(default_factory=list)
    """Rows named in ``depends_on``: their reverse dependency is kept."""


_by_structure: Memo[tuple[str, str, Any], Dependencies] = Memo(4096)


def of_query(query: Any, structure: Any, label: str) -> Dependencies:
    """What a query depends on in the database ``label``; remembered by its structure.

    Raises ``Uncacheable`` when it reads a table nobody watches.
    """
    memo = (runtime.current().config.namespace, label, structure)
    found = _by_structure.get(memo)
    if found is None:
        plan = analysis.plan(query, structure)
        found = _of_plan(plan, label)
        _by_structure[memo] = found
    return found


def forget() -> None:
    _by_structure.clear()


def _of_plan(plan: Any, label: str) -> Dependencies:
    found = Dependencies()
    shape = hashlib.blake2b(digest_size=8)
    for name in sorted(plan.tables):
        found.tables.append(name)
        found.stamps += _table_stamps(name, plan.tables[name], label)
        shape.update(_shape(name).encode())
    found.fingerprint = shape.digest()
    return found


def _table_stamps(name: str, columns: frozenset[str], label: str) -> list[bytes]:
    watched = watched_tables().get(name)
    if watched is None:
        raise Uncacheable(f"it reads the table {name!r}, whose writes are not watched")
    keys = runtime.current().keys(label, name)
    table = watched.table
    if table is None:
        return [keys.lists]
    if columns == EVERY_COLUMN or columns & table.generated:
        columns = frozenset(table.positions)
    return [keys.lists, keys.rows, *(keys.column(column) for column in sorted(columns))]


def _shape(name: str) -> str:
    """The columns of a table as this version of the code knows them."""
    fields = watched_tables()[name].model._meta.local_concrete_fields
    return ";".join([name, *(f"{f.attname},{f.column},{f.get_internal_type()}" for f in fields)])


def declared(items: Iterable[Any], label: str, using: str) -> Dependencies:
    """What ``cache(depends_on=…)`` names: instances, models and querysets.

    An instance stands for its row: the nonce of its cell, which every write drops. Its row is
    therefore read into the cache first if it is not there.
    """
    found = Dependencies()
    for item in items:
        if isinstance(item, QuerySet):
            structure, _ = fingerprint.walk(item.query)
            one = of_query(item.query, structure, label)
            found.stamps += one.stamps
            found.tables += one.tables
        elif isinstance(item, type) and issubclass(item, models.Model):
            found.stamps += _table_stamps(item._meta.db_table, EVERY_COLUMN, label)
            found.tables.append(item._meta.db_table)
        else:
            _add_instance(found, item, label, using)
    return found


def _add_instance(found: Dependencies, item: models.Model, label: str, using: str) -> None:
    schema = schema_or_none(type(item))
    name = item._meta.db_table
    found.tables.append(name)
    if schema is None or any(table.normalise(item.pk) is None for table in schema.tables):
        found.stamps += _table_stamps(name, EVERY_COLUMN, label)
        return
    read_row(schema, schema.table.normalise(item.pk), using)
    for table in schema.tables:
        pk = table.normalise(item.pk)
        keys = runtime.current().keys(label, table.name)
        found.stamps += [keys.generation, keys.row(pk)]
        found.declared.append((keys, pk))


def check_declared(items: Any) -> tuple[Any, ...]:
    """``depends_on`` as a tuple. Raises ``TypeError`` or ``ValueError`` for what cannot be one."""
    if isinstance(items, models.Model | QuerySet | type) or not isinstance(items, Iterable):
        items = (items,)
    checked = tuple(items)
    for item in checked:
        if isinstance(item, QuerySet):
            continue
        model = item if isinstance(item, type) else type(item)
        meta = getattr(model, "_meta", None)
        if not issubclass(model, models.Model) or meta is None or meta.abstract:
            raise TypeError(f"depends_on takes instances, models and querysets, not {item!r}.")
        if not isinstance(item, type) and item.pk is None:
            raise ValueError(f"depends_on was given an unsaved {meta.label}: save it first.")
    return checked
