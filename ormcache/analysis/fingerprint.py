"""A structural fingerprint of a Query: what its SQL would say, without compiling it.

This runs on every cache hit. Equal structures with equal values compile to the same SQL and
parameters on a given database; both are stable across processes and Python versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from django.db.models.expressions import BaseExpression
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query

from ormcache import interrupts
from ormcache.analysis.chosen import stood_for
from ormcache.analysis.lookups import where
from ormcache.analysis.memo import Memo
from ormcache.analysis.names import label, relation_token
from ormcache.analysis.ordering import name, ordering
from ormcache.analysis.parameters import bind
from ormcache.analysis.stability import stable
from ormcache.analysis.structure import HANDLERS, Structure, Token, visit
from ormcache.codec.values import packb, plain
from ormcache.exceptions import Uncacheable, Unrepresentable
from ormcache.modelset import forget_with_models

__all__ = ["Structure", "digest", "stable", "told_apart", "walk", "walk_aggregate"]

DIGEST_SIZE = 16
# The columns Django's prefetch of a many-to-many adds, the only raw SQL that is understood.
PREFETCH = "_prefetch_related_val_"

_digests: Memo[Structure, bytes] = Memo(2048)
_told_apart: Memo[Structure, tuple[int, tuple[int, ...]]] = Memo(1024)
forget_with_models(_told_apart.clear)
_ONLY_T = Query.subq_aliases


def walk(query: Query) -> tuple[Structure, list[Any]]:
    """The structure of ``query`` and the values bound to it, in order.

    Raises Uncacheable for whatever is not known to be deterministic.
    """
    out: list[Token] = []
    values: list[Any] = []
    _read(query, out, values)
    return tuple(out), values


def digest(structure: Structure, values: list[Any], *extra: bytes) -> bytes:
    """16 bytes that stand for what ``walk`` returned, and for ``extra``.

    Raises Uncacheable for a value without an exact encoding.
    """
    try:
        prefix = _digests.get(structure)
        if prefix is None:
            prefix = _digests[structure] = _hash([_as_list(structure)])
        return _hash([prefix, plain(values), *extra])
    except Unrepresentable as error:
        raise Uncacheable(f"a bound value cannot stand in a key: {error}") from error


def told_apart(structure: Structure, values: list[Any], query: Query) -> list[Any]:
    """Those of ``values`` that a developer's key does not stand for; the structure says which."""
    known = _told_apart.get(structure)
    if known is None:
        before: list[Any] = []
        _tables(query, [], before)
        chosen = frozenset(stood_for(query.where, before))
        places = tuple(place for place in range(len(values)) if place not in chosen)
        known = _told_apart[structure] = (len(values), places)
    count, places = known
    return [values[place] for place in places] if count == len(values) else values


def walk_aggregate(
    query: Query, expressions: Mapping[str, Any]
) -> tuple[Structure, list[Any], Query]:
    """As ``walk`` for ``aggregate(**expressions)``, and the query with them resolved in it.

    The third item is a clone that holds the aggregates as annotations: what ``analysis.plan``
    takes. Raises Uncacheable also where Django would refuse the aggregates.
    """
    clone = query.clone()
    out: list[Token] = ["aggregate", len(expressions)]
    for alias, aggregate in expressions.items():
        out.append(alias)
        try:
            resolved = aggregate.resolve_expression(
                clone, allow_joins=True, reuse=None, summarize=True
            )
        except Exception as error:  # Whatever is wrong, Django will say it to the caller.
            interrupts.pass_on(error)
            raise Uncacheable(f"aggregate {alias!r} does not resolve: {error}") from error
        clone.append_annotation_mask([alias])
        clone.annotations[alias] = resolved
    values: list[Any] = []
    _read(clone, out, values)
    return tuple(out), values, clone


def _read(query: Query, out: list[Token], values: list[Any]) -> None:
    try:
        _query(query, out, values)
    except Uncacheable:
        raise
    except Exception as error:  # A read must not fail because a project's own field does here.
        interrupts.pass_on(error)
        raise Uncacheable(f"the query cannot be read: {error!r}") from error


def _hash(content: list[Any]) -> bytes:
    return blake2b(packb(content), digest_size=DIGEST_SIZE).digest()


def _as_list(structure: Structure) -> list[Any]:
    return [_as_list(token) if type(token) is tuple else token for token in structure]


def _query(query: Any, out: list[Token], values: list[Any]) -> None:
    _refuse(query)
    model = query.model
    out += ("query", label(model), query.default_cols, query.distinct, query.subquery)
    _tables(query, out, values)
    where(query.where, out, values)
    low, high = query.low_mark, query.high_mark
    if high is not None or low:
        out.append("slice")
        values += (low, high)
    if query.order_by:
        out += ("order", query.standard_ordering)
        ordering(query, query.order_by, out, values)
    elif query.default_ordering and (terms := model._meta.ordering):
        out += ("ordering", query.standard_ordering)
        ordering(query, terms, out, values)
    if query.select_related:
        out += ("related", _related(query.select_related, query.max_depth))
    names, defer = query.deferred_loading
    if names or not defer:
        out += ("defer" if defer else "only", tuple(sorted(names)))
    if query.annotations or not query.default_cols or query.extra:
        _select(query, out, values)
    if query.group_by is not None:
        _group_by(query.group_by, out, values)
    if query.distinct_fields:
        out += ("distinct on", len(query.distinct_fields))
        for field in query.distinct_fields:
            name(query, field, out, values)
    if query.combinator:
        _combined(query, out, values)
    if query.subq_aliases is not _ONLY_T or query.external_aliases:
        out += (
            "aliases",
            query.alias_prefix,
            tuple(sorted(query.subq_aliases)),
            tuple(sorted(query.external_aliases.items())),
        )
    out.append("end")


def _refuse(query: Any) -> None:
    if type(query) is not Query:
        raise Uncacheable(f"{type(query).__name__} is not a plain SELECT")
    if query.select_for_update:
        raise Uncacheable("select_for_update() locks rows")
    if query.explain_info:
        raise Uncacheable("explain() asks the database about itself")
    if query.extra_tables or query.extra_order_by:
        raise Uncacheable("extra(tables=..., order_by=...) is raw SQL")
    if query.model is None:
        raise Uncacheable("a query without a model has no tables to depend on")
    if query._filtered_relations:  # type: ignore[attr-defined]
        _all_joined(query)


def _tables(query: Any, out: list[Token], values: list[Any]) -> None:
    tables = query.alias_map
    if not tables:
        # The same as after Django has set up its FROM.
        table = query.model._meta.db_table
        out += (1, "table", table, table, True)
        return
    counts = query.alias_refcount
    only = len(tables) == 1
    out.append(len(tables))
    for alias, table in tables.items():
        kind = type(table)
        if kind is BaseTable:
            out += ("table", table.table_name, alias, only or counts[alias] > 0)
        elif kind is Join:
            out += (
                "join", relation_token(table.join_field), table.table_name, alias,
                table.parent_alias, table.join_type, table.nullable, counts[alias] > 0,
            )  # fmt: skip
            if table.filtered_relation is not None:
                _filtered(table.filtered_relation, out, values)
        else:
            raise Uncacheable(f"{kind.__name__} in FROM is not known")


def _filtered(relation: Any, out: list[Token], values: list[Any]) -> None:
    out += ("filtered", relation.relation_name, relation.alias)
    if relation.resolved_condition is None:
        raise Uncacheable("a FilteredRelation is not resolved")
    visit(relation.resolved_condition, out, values)


def _all_joined(query: Any) -> None:
    joined = {
        table.filtered_relation.alias
        for table in query.alias_map.values()
        if table.filtered_relation is not None
    }
    if not joined.issuperset(query._filtered_relations):
        raise Uncacheable("a FilteredRelation is not joined until the SQL is compiled")


def _related(related: dict[str, Any] | bool, depth: int) -> Token:
    if isinstance(related, dict):
        return tuple((key, _related(related[key], 0)) for key in sorted(related))
    return depth


def _select(query: Any, out: list[Token], values: list[Any]) -> None:
    annotations = query.annotations
    mask = query.annotation_select_mask
    out += (
        "select",
        None if mask is None else tuple(key for key in annotations if key in mask),
        tuple(query.values_select),
        len(annotations),
    )
    for key, annotation in annotations.items():
        out.append(key)
        visit(annotation, out, values)
    out.append(len(query.select))
    for column in query.select:
        visit(column, out, values)
    if query.selected is not None:
        out += ("selected", len(query.selected))
        for key, item in query.selected.items():
            out.append(key)
            _selected(item, out, values)
    if query.extra:
        _extra(query, out)


def _selected(item: Any, out: list[Token], values: list[Any]) -> None:
    if isinstance(item, (str, int)):
        out.append(f"{type(item).__name__} {item}")
    else:
        out.append("expression")
        bind(item, out, values)


def _extra(query: Any, out: list[Token]) -> None:
    out += ("extra", len(query.extra))
    for key, (sql, params) in query.extra.items():
        if not key.startswith(PREFETCH) or params:
            raise Uncacheable("extra(select=...) is raw SQL")
        out += (key, sql)
    mask = query.extra_select_mask
    out.append(None if mask is None else tuple(key for key in query.extra if key in mask))


def _group_by(group_by: Any, out: list[Token], values: list[Any]) -> None:
    if group_by is True:
        out.append("group")
        return
    out += ("group by", len(group_by))
    for item in group_by:
        if not isinstance(item, BaseExpression):
            raise Uncacheable("GROUP BY by a name set by hand")
        visit(item, out, values)


def _combined(query: Any, out: list[Token], values: list[Any]) -> None:
    parts = query.combined_queries
    out += ("combined", query.combinator, query.combinator_all, len(parts))
    concrete = query.model._meta.concrete_model
    for part in parts:
        if not query.values_select and part.model._meta.concrete_model is not concrete:
            raise Uncacheable(f"{query.combinator}() of different models")
        if part.deferred_loading != query.deferred_loading:
            raise Uncacheable(f"{query.combinator}() of differently deferred fields")
        if query.default_cols and not part.default_cols:
            raise Uncacheable(f"{query.combinator}() with columns selected by hand")
        _query(part, out, values)


HANDLERS[Query] = _query
