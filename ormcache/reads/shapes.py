"""The results of ``values()`` and ``values_list()``, made of rows as an entry holds them."""

from __future__ import annotations

from typing import Any

from django.db.models.query import (
    FlatValuesListIterable,
    NamedValuesListIterable,
    QuerySet,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.utils import create_namedtuple_class


def names(queryset: Any) -> list[str]:
    """The names of the columns of a row, in order."""
    query = queryset.query
    if query.selected:
        return list(query.selected)
    return [*query.extra_select, *query.values_select, *query.annotation_select]


def rows_of(queryset: Any) -> list[Any]:
    """The rows of the database, as an entry holds them."""
    # Compiling a combination may add columns to its query, and to what its clones share with it.
    query = queryset.query.chain()
    if query.selected is not None:
        query.selected = dict(query.selected)
    plain: Any = QuerySet(queryset.model, query=query, using=queryset.db)
    return list(map(list, ValuesListIterable(plain)))


def _as_dicts(queryset: Any, rows: list[Any]) -> list[Any]:
    keys = names(queryset)
    # A combination may have a further column that orders it.
    return [dict(zip(keys, row, strict=False)) for row in rows]


def _as_named(queryset: Any, rows: list[Any]) -> list[Any]:
    kind = create_namedtuple_class(*(queryset._fields or names(queryset)))
    # As Django makes them: annotate() after values_list() adds columns that have no name.
    return [tuple.__new__(kind, row) for row in rows]


SHAPES: dict[Any, Any] = {
    ValuesIterable: _as_dicts,
    ValuesListIterable: lambda queryset, rows: list(map(tuple, rows)),
    FlatValuesListIterable: lambda queryset, rows: [row[0] for row in rows],
    NamedValuesListIterable: _as_named,
}
"""By the class that makes Django's results: how they are made of lists of columns."""
