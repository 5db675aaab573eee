"""Whether the result in an entry is still right although its stamps have changed.

The logs of the stamps name the rows that were written since (see ``coherence.log``). Rows that
were not written are as they were, so the question is about the written ones alone, and a
statement that names them by primary key answers it, however dear the query itself is. It runs
where the query would have run, after the stamps were captured, and what it says of the result is
said of the time of these stamps: so they have to be there still when it has been answered.

The result itself may be younger than its stamps, for its SQL saw what was committed since they
were captured. The logs tell of all writes after that: of those it lacks, and of some it knows.

Two arguments, each of which needs that a row's part in the result depends on that row, on its own
links to others and on tables that have not changed (``_is_row_by_row``, ``_linked_by``). A row
whose links have changed counts as written.

- A list of pointers: ask the query of the written rows and those in the list, and no others. If
  they come out as the list has them, the list is right: rows that are in neither were not in it
  and have not changed. Of a full slice, this only holds while its last row is where it was; the
  rows beyond it are not known.
- Any result: if no written row meets those conditions of the query that do not read a changed
  column, no written row is part of the result now or was before. This needs all that was written
  to these rows: not of one that has left a partition, and may have changed unseen since. A row
  that was inserted, and not written again, is known to the result as it is or not at all, so it
  is asked for under all conditions. Of a row whose links have changed only those conditions
  count that it meets by itself. A row that is gone can be asked nothing; but where a part in the
  result takes a link it had none, if it has no link now and has lost none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q
from django.db.models.expressions import Col, OrderBy
from django.db.models.lookups import Lookup, Transform
from django.db.models.query import QuerySet
from django.db.models.sql.constants import INNER
from django.db.models.sql.datastructures import Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, WhereNode

from ormcache.codec.records import ends_of, rows_of
from ormcache.codec.values import pack
from ormcache.exceptions import Unrepresentable
from ormcache.keys import meaning_of
from ormcache.query.analysis import Plan
from ormcache.query.ordering import terms

MOST_ROWS = 300
"""Rows that are asked for by their keys; with more of them the query itself is no dearer."""

Pointed = list[Any]
"""What an entry of pointers holds: the list of primary keys, and that of further columns."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What was written to the rows a query is about, as far as its entry relies on them."""

    rows: frozenset[Any]
    columns: frozenset[str]
    new: frozenset[Any]
    """Those of the rows that are as they were inserted, since the stamps of before were captured:
    the result knows them like this or not at all."""
    linked: frozenset[Any]
    """Those whose links have changed."""
    deleted: frozenset[Any]
    """Those that are gone, or were in a savepoint."""
    is_all: bool
    """Whether nothing else that the query reads was written to the rows that are there."""


def changes_of(
    changes: Mapping[bytes, list[bytes]] | None, query: Any, plan: Plan, pk_type: type
) -> Changes | None:
    """The rows behind the stamps that changed; ``None`` when they do not tell whether a result
    of the query is still right."""
    if not changes or not _is_row_by_row(query, plan):
        return None
    table = query.get_meta().db_table
    changed, new, moved, deleted, linked = (set[Any]() for _ in range(5))
    columns: set[str] = set()
    for stamp, records in changes.items():
        meaning = meaning_of(stamp)
        if meaning is None:
            return None
        if meaning.table != table:
            by = _linked_by(query, plan, meaning.table)
            ends = None if by is None else ends_of(records, by, pk_type)
            if ends is None:
                return None
            linked |= ends
            continue
        written = rows_of(records, pk_type)
        if written is None:
            return None
        changed |= written.changed
        new |= written.inserted
        # It may be there: what was deleted in a savepoint that was rolled back is noted, too.
        deleted |= written.deleted
        if meaning.column is not None:
            columns.add(meaning.column)
            if meaning.membership:
                moved |= written.changed
    written_again = changed | deleted | linked
    if len(written_again | new) > MOST_ROWS:
        return None
    return Changes(
        frozenset(written_again | new),
        frozenset(columns),
        frozenset(new - written_again),
        frozenset(linked),
        frozenset(deleted),
        is_all=not moved,
    )


def _linked_by(query: Any, plan: Plan, table: str) -> str | None:
    """The column by which a table is joined to the keys of the query's own rows; ``None`` if it
    has another part in the query as well, or is joined to something else."""
    if table not in plan.once:
        return None
    for join, link in _links(query):
        if join.table_name == table:
            column: str = link.column
            return column
    return None


def _links(query: Any) -> Iterator[tuple[Any, Any]]:
    """The joins to the keys of the query's own rows, each with the field that holds the key."""
    for join in _joins(query):
        if join.parent_alias == _base(query):
            (ours, theirs), *more = join.join_fields
            if ours.primary_key and not more:
                yield join, theirs


def _is_row_by_row(query: Any, plan: Plan) -> bool:
    """Whether each row of the query's own table has its part in the result by itself.

    In a combination the table occurs more than once, so this covers those, too.
    """
    return (
        query.get_meta().db_table in plan.once
        and not query.distinct_fields
        and not query.where.contains_aggregate
        and not query.where.contains_over_clause
        and all(join.join_fields and not join.filtered_relation for join in _joins(query))
    )


def list_holds(
    queryset: Any, stored: Pointed, changes: Changes, ask: Callable[[Any], Pointed]
) -> bool | None:
    """Whether a list of pointers still holds; ``None`` when this is no way to tell.

    ``ask`` gives the pointers of a queryset: one statement.
    """
    pks, query = stored[0], queryset.query
    if (
        query.low_mark
        or query.group_by not in (None, True)
        or any(each.contains_over_clause for each in query.annotations.values())
        or not all(map(_names_column, (*query.order_by, *(query.get_meta().ordering or ()))))
        or len(pks) + len(changes.rows) > MOST_ROWS
    ):
        return None
    is_ordered = bool(terms(query))
    if query.high_mark is not None:
        if not is_ordered:
            # Which rows it has is the database's choice.
            return None
        if len(pks) >= query.high_mark and (not pks or pks[-1] in changes.rows):
            return None
    asked: Any = QuerySet(queryset.model, query=query.chain(), using=queryset._db)
    asked.query.add_q(Q(pk__in=[*changes.rows.difference(pks), *pks]))
    found = ask(asked)
    if is_ordered or stored[1]:
        return _is_same(found, stored)
    return sorted(found[0]) == sorted(pks)


def _is_same(found: Pointed, stored: Pointed) -> bool:
    # Equal in Python does not mean equal: 1 == True == 1.0.
    try:
        return pack(found) == pack(stored)
    except Unrepresentable:
        return False


def _names_column(term: Any) -> bool:
    """Whether a term of the ordering is a row's own, and not about its place among others."""
    expression = term.expression if isinstance(term, OrderBy) else term
    return isinstance(expression, str | F)


def is_untouched(query: Any, changes: Changes, using: str) -> bool:
    """Whether no written row has, or had, a part in the result. One statement for each kind of
    rows: those that are gone, new ones, those with other links than before, and the others."""
    if not changes.is_all:
        return False
    if changes.deleted and not _had_no_part(query, changes, using):
        return False
    others = changes.rows - changes.new - changes.linked
    if others and any(column in changes.columns for column in _joined_by(query)):
        return False
    return not (
        _is_met(query, changes.new, using)
        or _is_met(_by_itself(query, changes.columns), changes.linked, using)
        or _is_met(_lasting(query, changes.columns), others, using)
    )


def _had_no_part(query: Any, changes: Changes, using: str) -> bool:
    """Whether the rows that are gone were no part of the result, for want of a link."""
    if changes.deleted & changes.linked:
        return False
    for join, link in _links(query):
        if join.join_type == INNER:
            # A link may have outlived its row, where the database does not mind.
            left = Query(link.model)
            left.add_q(Q(**{f"{link.name}__in": list(changes.deleted)}))
            return not left.has_results(using)
    return False


def _is_met(query: Any, rows: frozenset[Any], using: str) -> bool:
    """Whether one of the rows meets the conditions of the query."""
    if not rows:
        return False
    asked = query.clone()
    asked.clear_limits()
    # A group may be named by what is not joined any more.
    asked.group_by = None
    asked.add_q(Q(pk__in=list(rows)))
    found: bool = asked.has_results(using)
    return found


def _joins(query: Any) -> Iterator[Any]:
    """The joins of the query; those that it has no use for stay in its map."""
    for alias, table in query.alias_map.items():
        if isinstance(table, Join) and query.alias_refcount[alias]:
            yield table


def _joined_by(query: Any) -> Iterator[str]:
    """The columns of the query's own table by which others are joined to it."""
    for join in _joins(query):
        if join.parent_alias == _base(query):
            for ours, _ in join.join_fields:
                yield ours.column


def _by_itself(query: Any, columns: frozenset[str]) -> Any:
    """The query with those of its conditions that a row meets by itself, whatever else it is
    linked to, and that do not read ``columns``."""
    asked = query.clone()
    for join in _joins(query):
        # A row that has lost its links would not be found by them.
        asked.unref_alias(join.table_alias, asked.alias_refcount[join.table_alias])
    base = _base(query)
    kept = _necessary(query, lambda column: column.alias == base and _is_kept(column, columns))
    asked.where = WhereNode(kept, AND)
    return asked


def _lasting(query: Any, columns: frozenset[str]) -> Any:
    """The query with those of its conditions that do not read ``columns`` of its own table."""
    if not columns:
        return query
    asked, base = query.clone(), _base(query)
    kept = _necessary(query, lambda column: column.alias != base or _is_kept(column, columns))
    asked.where = WhereNode(kept, AND)
    return asked


def _is_kept(column: Col, columns: frozenset[str]) -> bool:
    return column.target.column not in columns


def _necessary(query: Any, lasts: Callable[[Col], bool]) -> list[Any]:
    """The conditions every row of the result has to meet, as far as they are about columns that
    ``lasts`` accepts."""
    where = query.where
    if where.negated or (where.connector != AND and len(where.children) > 1):
        return [where] if _is_about(where, lasts) else []
    return [child for child in where.children if _is_about(child, lasts)]


def _is_about(node: Any, lasts: Callable[[Col], bool]) -> bool:
    if type(node) is WhereNode:
        return all(_is_about(child, lasts) for child in node.children)
    if not isinstance(node, Lookup) or any(map(_is_expression, _values(node.rhs))):
        return False
    side = node.lhs
    while isinstance(side, Transform) and len(side.get_source_expressions()) == 1:
        side = side.get_source_expressions()[0]
    return type(side) is Col and lasts(side)


def _base(query: Any) -> str | None:
    # Not query.base_table: it remembers the None of a query that has no alias yet.
    return next(iter(query.alias_map), None)


def _values(rhs: Any) -> Iterable[Any]:
    return rhs if isinstance(rhs, list | tuple | set | frozenset) else (rhs,)


def _is_expression(value: Any) -> bool:
    return hasattr(value, "as_sql") or hasattr(value, "resolve_expression")
