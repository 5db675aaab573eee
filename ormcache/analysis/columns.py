"""Collects every table and column a Query reads, with the joins Django adds at compile time.

The joins of default columns, select_related and orderings are made on a clone, by the methods of
Django's compiler that make them, so they are the ones of the SQL; nothing is compiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.dummy.base import DatabaseWrapper
from django.db.models import ForeignObjectRel, Func, Model
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, ColPairs
from django.db.models.lookups import Lookup
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.datastructures import Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import NothingNode, WhereNode

from ormcache import interrupts
from ormcache.analysis.names import is_generic
from ormcache.analysis.parameters import SEQUENCES
from ormcache.analysis.stability import is_declared
from ormcache.analysis.structure import class_path
from ormcache.exceptions import Uncacheable

EVERY_COLUMN = "*"

# The alias maps in scope, innermost first: a subquery refers to the tables of the outer ones.
Scope = tuple[Mapping[str | None, Any], ...]


class Reads:
    """What has been read so far: ``tables`` (columns by table) and ``models`` (by table)."""

    def __init__(self) -> None:
        self.tables: dict[str, set[str]] = {}
        self.models: dict[str, type[Model]] = {}
        self.aliases: Counter[str] = Counter()
        """How many aliases a table has, over all parts of the query."""

    def query(self, query: Query, outer: Scope = (), *, rows_apart: bool = False) -> None:
        """Add what ``query`` reads. ``rows_apart``: the default columns are fetched elsewhere.

        Raises Uncacheable for what does not resolve or is not known.
        """
        clone: Any = query.clone()
        try:
            read = self._resolve(clone, rows_apart)
        except Exception as error:  # Whatever is wrong, Django will say it to the caller.
            interrupts.pass_on(error)
            raise Uncacheable(f"the query does not resolve: {error}") from error
        scope: Scope = (clone.alias_map, *outer)
        self._from(clone, scope)
        for node in read:
            self.node(node, scope)
        # Rows of a combination are compared whole: by primary key, or by all that is selected. It
        # is ordered by columns of the first part, which are these or stand in the select lists.
        for part in clone.combined_queries:
            self.query(part, outer, rows_apart=rows_apart and clone.default_cols)

    def node(self, node: Any, scope: Scope) -> None:
        """Add the columns an expression or a condition reads."""
        if isinstance(node, Col):
            self._col(node, scope)
        elif isinstance(node, Query):
            self.query(node, scope)
        elif isinstance(node, Lookup):
            self.node(node.lhs, scope)
            self._operand(node.rhs, scope)
        elif isinstance(node, WhereNode):
            for child in node.children:
                self.node(child, scope)
        elif isinstance(node, ColPairs):
            for column in node.get_cols():
                self.node(column, scope)
        elif hasattr(node, "get_source_expressions"):
            self._sources(node, scope)
        elif not isinstance(node, NothingNode):
            raise Uncacheable(f"{class_path(type(node))} reads columns nobody can tell")

    def _resolve(self, query: Any, rows_apart: bool) -> list[Any]:
        """Make the joins of the compiler on ``query``; the nodes that are read."""
        compiler: Any = SQLCompiler(query, _nowhere(), None)
        if not any(query.alias_refcount.values()):
            query.get_initial_alias()
        mask = query.get_select_mask()
        read: list[Any] = []
        if query.default_cols:
            columns = compiler.get_default_columns(mask)
            if not rows_apart:
                read += columns
        if query.select_related:
            compiler.get_related_selections([], mask)
        for term, _ in compiler._order_by_pairs():
            read.append(term.resolve_expression(query, allow_joins=True, reuse=None))
        for name in query.distinct_fields:
            read += _distinct_on(compiler, name)
        read += [*query.select, *query.annotations.values(), query.where]
        if isinstance(query.group_by, tuple):
            read += query.group_by
        return read

    def _from(self, query: Any, scope: Scope) -> None:
        concrete = query.model._meta.concrete_model
        for field in concrete._meta.pk_fields:
            self._field(concrete._meta.db_table, field)
        for alias, table in query.alias_map.items():
            if not query.alias_refcount[alias]:
                continue
            self.tables.setdefault(table.table_name, set())
            self.aliases[table.table_name] += 1
            if isinstance(table, Join):
                self._join(table, scope)
                if query.extra:
                    # The columns a prefetch selects from a through table are known as text only.
                    self.tables[table.table_name].add(EVERY_COLUMN)

    def _join(self, join: Any, scope: Scope) -> None:
        parent = _table(join.parent_alias, scope)
        for ours, theirs in join.join_fields:
            self._field(parent or ours.model._meta.db_table, ours)
            self._field(join.table_name, theirs)
        relation = join.join_field
        field: Any = relation.field if isinstance(relation, ForeignObjectRel) else relation
        if is_generic(field):
            kind = field.remote_field.model._meta.get_field(field.content_type_field_name)
            self._field(kind.model._meta.db_table, kind)
        elif relation.get_extra_restriction(join.table_alias, join.parent_alias) is not None:
            raise Uncacheable(f"{field} adds a condition of its own to joins")
        if join.filtered_relation is not None:
            self.node(join.filtered_relation.resolved_condition, scope)

    def _sources(self, node: Any, scope: Scope) -> None:
        children = [child for child in node.get_source_expressions() if child is not None]
        for child in children:
            self.node(child, scope)
        if is_declared(type(node)) and not (children and isinstance(node, Func)):
            # An expression that shows no sources may read any column.
            for aliases in scope:
                for table in aliases.values():
                    self.tables.setdefault(table.table_name, set()).add(EVERY_COLUMN)
                    # And of any row.
                    self.aliases[table.table_name] += 1

    def _operand(self, value: Any, scope: Scope) -> None:
        if hasattr(type(value), "resolve_expression"):
            self.node(value, scope)
        elif type(value) in SEQUENCES:
            for item in value:
                self._operand(item, scope)

    def _col(self, col: Col, scope: Scope) -> None:
        table = _table(col.alias, scope)
        own = col.target.model._meta.db_table
        self._field(table or own, col.target)
        if table is not None and table != own:
            # An alias names the table of its column; should it not, both are read.
            self._field(own, col.target)

    def _field(self, table: str, field: Any) -> None:
        column = getattr(field, "column", None)
        if column is None or getattr(field, "generated", False):
            # A generated column may follow from any other one.
            column = EVERY_COLUMN
        self.tables.setdefault(table, set()).add(column)
        model = field.model._meta.concrete_model
        if model is not None and model._meta.db_table == table:
            self.models[table] = model


def _table(alias: str | None, scope: Scope) -> str | None:
    for aliases in scope:
        if alias in aliases:
            return str(aliases[alias].table_name)
    return None


def _distinct_on(compiler: Any, name: str) -> list[Any]:
    query = compiler.query
    _, targets, alias, joins, path, _, transform = compiler._setup_joins(
        name.split(LOOKUP_SEP), query.get_meta(), None
    )
    targets, alias, _ = query.trim_joins(targets, joins, path)
    return [transform(target, alias) for target in targets]


@cache
def _nowhere() -> BaseDatabaseWrapper:
    """A connection for the compiler to hold: it can reach nothing."""
    return DatabaseWrapper({}, "ormcache")
