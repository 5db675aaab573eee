"""From what a query depends on to the stamps its entry is stored under."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ormcache import runtime
from ormcache.analysis.memo import Memo
from ormcache.analysis.outputs import conversion
from ormcache.analysis.partition_filters import PartitionFilter, filters_of
from ormcache.analysis.plan import Plan, plan_of
from ormcache.database.catalog import catalog, scheme_in
from ormcache.exceptions import Uncacheable
from ormcache.keys import TableKeys
from ormcache.modelset import forget_with_models
from ormcache.schema.partitions import Partition
from ormcache.schema.tables import Table, loading
from ormcache.schema.watched import WatchList, watch_list, watched_tables

EVERY_COLUMN = frozenset({"*"})


@dataclass(slots=True)
class Dependencies:
    """The stamps of a result, the tables behind them and the fingerprint of those tables."""

    stamps: list[bytes] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    fingerprint: bytes = b""
    declared: list[tuple[TableKeys, Any]] = field(default_factory=list)
    """Rows named in ``depends_on``: their reverse dependency is kept."""
    schemes: dict[bytes, bytes] = field(default_factory=dict)
    """By lists stamp: the scheme of the partitions whose stamps its table's writers keep."""


Tokens = tuple[tuple[bytes, ...] | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What all queries of one structure depend on, but for the partitions they name."""

    plan: Plan
    label: str
    filters: tuple[PartitionFilter, ...]
    coarse: Dependencies
    """By whole tables, whatever values are named."""
    converted: str
    """What a project's own code makes of the values selected, in words."""

    def bind(self, query: Any) -> Dependencies:
        """The dependencies of ``query``, narrowed to the partitions it names."""
        if not self.filters:
            return self.coarse
        tokens = tuple(narrowing.tokens(query) for narrowing in self.filters)
        found = _bound.get((self, tokens))
        if found is None:
            found = _bound[self, tokens] = self._narrowed(tokens)
        return found

    def _narrowed(self, tokens: Tokens) -> Dependencies:
        named = {
            narrowing.table: (narrowing.partition, values)
            for narrowing, values in zip(self.filters, tokens, strict=True)
            if values is not None
        }
        coarse = self.coarse
        found = Dependencies(
            tables=coarse.tables, fingerprint=coarse.fingerprint, schemes=coarse.schemes
        )
        for name in self.coarse.tables:
            columns = self.plan.tables[name]
            if name not in named:
                found.stamps += _table_stamps(name, columns, self.label)
                continue
            partition, values = named[name]
            found.stamps += _partition_stamps(name, columns, self.label, partition, values)
        return found


_templates: Memo[tuple[str, str, int, Any, WatchList], Template] = Memo(4096)
_bound: Memo[tuple[Template, Tokens], Dependencies] = Memo(8192)


_NONE: frozenset[str] = frozenset()


def of_query(
    query: Any, structure: Any, label: str, vendor: str, secured: frozenset[str] = _NONE
) -> Template:
    """What a query depends on in the database ``label``; remembered by its structure.
    ``secured``: tables whose rows the database picks out by any of their columns.

    Raises ``Uncacheable`` when it reads a table nobody watches.
    """
    cache = runtime.current()
    shape = (structure, secured) if secured else structure
    memo = (cache.config.namespace, label, catalog.version, shape, watch_list())
    found = _templates.get(memo)
    if found is None:
        plan = plan_of(query, structure)
        if not secured.isdisjoint(plan.tables):
            widened = {name: EVERY_COLUMN for name in plan.tables if name in secured}
            plan = replace(plan, tables={**plan.tables, **widened})
        coarse = _coarse(plan, label, vendor)
        narrow = tuple(filters_of(query, plan, label, vendor))
        found = _templates[memo] = Template(plan, label, narrow, coarse, conversion(query))
    return found


def forget() -> None:
    _templates.clear()
    _bound.clear()


forget_with_models(forget)


def _coarse(plan: Plan, label: str, vendor: str) -> Dependencies:
    found = Dependencies()
    shape = hashlib.blake2b(loading().encode(), digest_size=8)
    for name in sorted(plan.tables):
        _add_table(found, name, plan.tables[name], label, vendor)
        shape.update(_shape(name).encode())
    found.fingerprint = shape.digest()
    return found


def _add_table(
    found: Dependencies, name: str, columns: frozenset[str], label: str, vendor: str
) -> None:
    found.tables.append(name)
    found.stamps += _table_stamps(name, columns, label)
    table = watched_tables()[name].table
    if table is not None:
        lists = runtime.current().keys(label, name).lists
        found.schemes[lists] = scheme_in(label, vendor, table).id


def _table_stamps(name: str, columns: frozenset[str], label: str) -> list[bytes]:
    watched = watched_tables().get(name)
    if watched is None:
        raise Uncacheable(f"it reads the table {name!r}, whose writes are not watched")
    keys = runtime.current().keys(label, name)
    if watched.table is None:
        # Writers that know a model of this table whose rows are cells tell its columns apart.
        named = sorted(_columns(name) if columns == EVERY_COLUMN else columns)
    else:
        named = _named_columns(watched.table, columns)
    return [keys.lists, keys.rows, *(keys.column(column) for column in named)]


def _partition_stamps(
    name: str,
    columns: frozenset[str],
    label: str,
    partition: Partition,
    tokens: Iterable[bytes],
) -> list[bytes]:
    """The stamps of some values' partitions: those of other values never touch them."""
    keys = runtime.current().keys(label, name)
    table: Any = watched_tables()[name].table
    # A row that moves between partitions changes the membership of both.
    named = [each for each in _named_columns(table, columns) if each != partition.column]
    stamps = [keys.lists, *(keys.loose_column(column) for column in named)]
    for token in tokens:
        stamps.append(keys.partition(partition.column, token))
        stamps += [keys.partition_column(partition.column, token, column) for column in named]
    return stamps


def _named_columns(table: Table, columns: frozenset[str]) -> list[str]:
    if columns == EVERY_COLUMN or columns & table.generated:
        columns = frozenset(table.positions)
    # A row under another primary key is another row: whoever changes one has written the table.
    return sorted(columns - {table.pk_column})


def _columns(name: str) -> frozenset[str]:
    return frozenset(field.column for field in _fields(name))


def _fields(name: str) -> Sequence[Any]:
    model = watched_tables()[name].model
    return model._meta.local_concrete_fields if model else ()


def _shape(name: str) -> str:
    """The columns of a table as this version of the code knows them."""
    shown = (f"{each.attname},{each.column},{each.get_internal_type()}" for each in _fields(name))
    return ";".join([name, *shown])


def add_model(found: Dependencies, model: Any, label: str, vendor: str) -> None:
    """Everything of a model, the tables it inherits from included."""
    for each in (model, *model._meta.get_parent_list()):
        if each._meta.db_table not in found.tables:
            _add_table(found, each._meta.db_table, EVERY_COLUMN, label, vendor)
