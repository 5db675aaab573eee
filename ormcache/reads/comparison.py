"""Whether two results of one query are the same, where SQL leaves no choice.

A current list that is refreshed or reset is held against the one that takes its place: the only
way to notice one that was stale, which nobody else would ever do.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models.sql.datastructures import Join
from django.db.models.sql.query import Query

from ormcache import interrupts
from ormcache.analysis.ordering import terms
from ormcache.codec.values import pack, unpack
from ormcache.outage.check import check_outbox_now
from ormcache.reads.entries import ListEntry
from ormcache.stats import counters

logger = logging.getLogger("ormcache")

MOST_COMPARED = 1000
"""Rows that are compared one by one, where their order does not matter."""


def count_stale(entry: ListEntry, replaced: bytes, payload: bytes) -> None:
    """Count a current result that was replaced as compared, and as stale if it was. Never raises.

    Stamps that are the same before and after the SQL, and an empty outbox, say that nothing was
    written meanwhile.
    """
    # Under a developer's key there may be the result of other values.
    if entry.options.key is not None:
        return
    try:
        if not is_determined(entry.query):
            return
        is_same = same_result(entry.query, entry.kind, replaced, payload)
        if is_same is None:
            return
        if not is_same:
            if check_outbox_now(entry.state).is_alert or not entry.is_unchanged():
                return
            counters["list_stale"] += 1
        counters["list_compared"] += 1
    except Exception as error:  # What only counts must not fail a read.
        interrupts.pass_on(error)
        logger.debug("ormcache.list.not_compared: %r", error)


def is_determined(query: Any) -> bool:
    """Whether the rows in the tables determine those of the result, which is so of conditions on
    them alone. Of a slice the order has to tell all rows apart.

    Otherwise the database may give another result whenever a row has moved in its storage: the
    first of equal rows, a row for each group, the sum of fractions in another order.
    """
    where = query.where
    return not (
        query.annotations
        or query.combinator
        or query.distinct
        or where.contains_aggregate
        or where.contains_over_clause
        or _has_subquery(where)
        or any(join.filtered_relation for join in _joins(query))
        or (query.is_sliced and not _tells_apart(query))
    )


def same_result(query: Any, kind: bytes, one: bytes, other: bytes) -> bool | None:
    """Whether two packed results of a determined query are the same; ``None`` if they are too
    long to tell, or one is no such result. May raise anything for results of another shape."""
    if one == other:
        return True
    found, then = unpack(one), unpack(other)
    if type(found) is not type(then):
        return None
    if type(found) is not list or _tells_apart(query):
        return False
    if kind == b"rows":
        found, then = _as_rows(found), _as_rows(then)
    if len(found) != len(then):
        return False
    if len(found) > MOST_COMPARED:
        return None
    return Counter(map(pack, found)) == Counter(map(pack, then))


def _as_rows(pointed: list[Any]) -> list[Any]:
    pks, columns = pointed
    return [list(row) for row in zip(pks, *columns, strict=True)]


def _tells_apart(query: Any) -> bool:
    """Whether the query's order leaves no two rows of the result equal."""
    meta = query.get_meta()
    fields = [_ordered_by(meta, term) for term in terms(query)]
    return (
        None not in fields
        and any(field.unique and not field.null for field in fields)
        and all(
            join.join_field.many_to_one or join.join_field.one_to_one for join in _joins(query)
        )
    )


def _ordered_by(meta: Any, term: Any) -> Any:
    """The field a term names; ``None`` if it is no column of the query's own rows: a relation is
    ordered by as the other model is."""
    if not isinstance(term, str):
        return None
    name = term.lstrip("-+")
    try:
        field = meta.pk if name == "pk" else meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if field.concrete and not field.is_relation else None


def _joins(query: Any) -> list[Any]:
    return [table for table in query.alias_map.values() if isinstance(table, Join)]


def _has_subquery(node: Any) -> bool:
    if isinstance(node, Query):
        return True
    inner = getattr(node, "children", None) or (
        node.get_source_expressions() if hasattr(node, "get_source_expressions") else ()
    )
    return any(map(_has_subquery, inner))
