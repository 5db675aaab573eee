"""Queries that name their rows by primary key: they need no list entry."""

from __future__ import annotations

from typing import Any

from django.db.models.query import ModelIterable
from django.db.models.query_utils import Q
from django.db.models.sql.query import Query

from ormcache.analysis.genuine import overridden
from ormcache.analysis.ordering import terms
from ormcache.exceptions import Uncacheable
from ormcache.reads.entries import PLAIN_OPTIONS
from ormcache.schema.conversions import compares_exactly, comparison
from ormcache.schema.tables import Table
from ormcache.schema.watched import schema_or_none
from ormcache.writes.announce import literal_pks

MOST_NAMED = 10_000
"""Rows named by one query; for more the database is no slower."""

_ALL_LOADED = Query.deferred_loading


def named_pk(queryset: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The primary key that ``get`` asks for and nothing else, or ``None``."""
    if args:
        if kwargs or len(args) > 1 or type(args[0]) is not Q or args[0].negated:
            return None
        children = args[0].children
    else:
        children = list(kwargs.items())
    if len(children) != 1 or type(children[0]) is not tuple:
        return None
    name, value = children[0]
    meta = queryset.model._meta
    if name != "pk" and name != meta.pk.attname and name != meta.pk.name:
        return None
    kind: Any = type(queryset)
    if not _is_bare(queryset) or overridden(kind, "get"):
        return None
    schema = schema_or_none(queryset.model)
    if schema is None or not _is_key(value, schema.table):
        return None
    # A project may have put a comparison of its own in the place of "exact".
    return value if compares_exactly(meta.pk) else None


def named_pks(queryset: Any) -> list[Any] | None:
    """The rows the query names by primary key, when it asks for exactly those rows.

    Raises ``Uncacheable`` when they are too many to be looked up one by one.
    """
    query = queryset.query
    where: Any = query.where
    if (
        len(where.children) != 1
        or type(query) is not Query
        or where.negated
        or query.annotations
        or query.extra
        or query.low_mark
        or query.combinator
        or query.distinct
        or query.select_for_update
        or query.group_by is not None
        or queryset._cache_options is not PLAIN_OPTIONS
        or query.explain_info
    ):
        return None
    schema = schema_or_none(queryset.model)
    table = schema.table if schema else None
    pks = literal_pks(query, table)
    if pks is None or table is None or not all(_is_key(pk, table) for pk in pks):
        return None
    if len(pks) > MOST_NAMED:
        raise Uncacheable(f"it names more than {MOST_NAMED} rows")
    ordering = terms(query)
    if query.extra_order_by or query.extra_tables:
        return None
    if comparison(where.children[0]) == "in":
        return None if ordering or query.high_mark is not None else pks
    if query.high_mark is not None and query.high_mark < 1:
        return None
    # An order through a relation can find the row several times.
    own = {field.name for field in table.fields if not field.is_relation} | {"pk"}
    is_plain = all(type(name) is str and name.lstrip("-+") in own for name in ordering)
    return pks if is_plain else None


def _is_bare(queryset: Any) -> bool:
    """Whether the queryset asks for whole rows and restricts nothing yet."""
    if queryset._deferred_filter or queryset._iterable_class is not ModelIterable:
        return False
    query = queryset._query
    return type(query) is Query and not (
        query.where.children
        or query.select_related
        or query.annotations
        or query.extra
        or query.extra_tables
        or query.low_mark
        or query.high_mark is not None
        or query.combinator
        or query.distinct
        or query.select_for_update
        or query.group_by is not None
        or not query.default_cols
        or (
            query.deferred_loading is not _ALL_LOADED  # Comparing takes longer.
            and query.deferred_loading != _ALL_LOADED
        )
        or queryset._prefetch_related_lookups
        or queryset._known_related_objects
        or queryset._cache_options is not PLAIN_OPTIONS
    )


def _is_key(pk: Any, table: Table) -> bool:
    """Whether a value names a row as it stands: of the key's type, and not beyond its column."""
    return type(pk) is table.pk_type and (
        type(pk) is not int or table.lowest_pk <= pk <= table.highest_pk
    )
