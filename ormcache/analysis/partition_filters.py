"""Which partitions a query is restricted to: ``filter(author=5)`` reads no other author's rows.

Worked out once for a structure, as a path through the WHERE tree to the condition; on a hit only
the value at the end of the path is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models.expressions import Col
from django.db.models.sql.where import WhereNode

from ormcache.analysis.plan import Plan
from ormcache.database.catalog import scheme_in
from ormcache.schema.conversions import comparison
from ormcache.schema.partitions import Partition
from ormcache.schema.watched import watched_tables

MOST_VALUES = 16
"""Values of one ``IN`` that are told apart; a longer one relies on the whole table."""


@dataclass(frozen=True, slots=True)
class PartitionFilter:
    """A condition ``column = value`` that every row of ``table`` in the query meets."""

    table: str
    partition: Partition
    path: tuple[int, ...]

    def tokens(self, query: Any) -> tuple[bytes, ...] | None:
        """The values in ``query``, whose structure is the one this was found in, as parts of
        keys; ``None`` when one of them is not certain."""
        node = self._node(query)
        kind = comparison(node)
        if kind == "isnull":
            return (b"-",) if node.rhs is True else None
        values = list(node.rhs) if kind == "in" else [node.rhs]
        if not values or len(values) > MOST_VALUES:
            return None
        # A NULL in a comparison equals nothing; it is no value to be told apart by.
        tokens = [None if value is None else self.partition.token(value) for value in values]
        return None if None in tokens else tuple(sorted(set(tokens)))  # type: ignore[arg-type]

    def text(self, query: Any) -> str:
        """The condition in ``query`` for people."""
        node, column = self._node(query), self.partition.column
        if node.lookup_name == "isnull":
            return f"{column} is NULL"
        if node.lookup_name == "in":
            return f"{column} in ({', '.join(map(repr, node.rhs))})"
        return f"{column} = {node.rhs!r}"

    def _node(self, query: Any) -> Any:
        node = query.where
        for index in self.path:
            node = node.children[index]
        return node


def filters_of(query: Any, plan: Plan, label: str, vendor: str) -> list[PartitionFilter]:
    """For each table at most one narrowing, unique columns first."""
    if query.combinator or any(
        getattr(each, "contains_over_clause", False) for each in query.annotations.values()
    ):
        return []
    found: dict[str, PartitionFilter] = {}
    for path, lookup in _conditions(query.where, ()):
        narrowing = _restriction(query, plan, label, vendor, path, lookup)
        if narrowing is None:
            continue
        known = found.get(narrowing.table)
        if known is None or (_is_unique(narrowing) and not _is_unique(known)):
            found[narrowing.table] = narrowing
    return list(found.values())


def _conditions(node: Any, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The conditions that all have to hold, with the way to each."""
    if node.negated or (node.connector != "AND" and len(node.children) > 1):
        return
    for index, child in enumerate(node.children):
        if type(child) is WhereNode:
            yield from _conditions(child, (*path, index))
        else:
            yield (*path, index), child


def _restriction(
    query: Any, plan: Plan, label: str, vendor: str, path: tuple[int, ...], lookup: Any
) -> PartitionFilter | None:
    column = getattr(lookup, "lhs", None)
    if type(column) is not Col or column.alias not in query.alias_map:
        return None
    name = query.alias_map[column.alias].table_name
    watched = watched_tables().get(name)
    if name not in plan.once or watched is None or watched.table is None:
        return None
    if column.target.model._meta.db_table != name:
        return None
    kind = comparison(lookup)
    if kind == "isnull":
        # Beyond an outer join NULL also stands for "no row".
        if column.alias != query.base_table:
            return None
    elif (
        kind not in ("exact", "in")
        or hasattr(lookup.rhs, "resolve_expression")
        or (kind == "in" and not isinstance(lookup.rhs, list | tuple | set | frozenset))
    ):
        return None
    for partition in scheme_in(label, vendor, watched.table).partitions:
        if partition.column == column.target.column:
            return PartitionFilter(name, partition, path)
    return None


def _is_unique(narrowing: PartitionFilter) -> bool:
    table = watched_tables()[narrowing.table].table
    return bool(table and table.fields[narrowing.partition.position].unique)
