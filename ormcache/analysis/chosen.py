"""Which values of a query a developer's key stands for: ``cache(key=…)``.

It stands for what the query's own conditions compare a plain column with by order, as in
``created__lte=now()``, and for nothing else. Every other value may say of which rows the query
speaks, or whose, or what is made of them; so it is told apart. A kind of value that nobody
thought of here costs an entry more, and mixes no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Model, UniqueConstraint, lookups
from django.db.models.expressions import Col
from django.db.models.fields.related import ForeignObject
from django.db.models.sql.where import WhereNode

from ormcache.analysis.parameters import SEQUENCES
from ormcache.analysis.structure import visit
from ormcache.exceptions import Uncacheable
from ormcache.modelset import ModelMemo, all_models
from ormcache.schema.tables import table_of

# By exact class: those of relations, of keys of several columns and of other packages are others.
_ORDER = frozenset(
    {
        lookups.GreaterThan,
        lookups.GreaterThanOrEqual,
        lookups.IntegerGreaterThan,
        lookups.IntegerGreaterThanOrEqual,
        lookups.IntegerLessThan,
        lookups.IntegerLessThanOrEqual,
        lookups.LessThan,
        lookups.LessThanOrEqual,
        lookups.Range,
    }
)


def stood_for(where: WhereNode, values: list[Any]) -> Iterator[int]:
    """The places of the values a key stands for, while all of ``where`` are appended."""
    for child in where.children:
        if type(child) is WhereNode:
            yield from stood_for(child, values)
            continue
        start = len(values)
        visit(child, [], values)
        if _is_open(child):
            yield from range(start, len(values))


def _is_open(condition: Any) -> bool:
    if type(condition) not in _ORDER or type(condition.lhs) is not Col:
        return False
    rhs = condition.rhs
    if any(map(_is_expression, rhs if type(rhs) in SEQUENCES else (rhs,))):
        return False
    return not _names_rows(condition.lhs.target)


def _is_expression(value: Any) -> bool:
    return hasattr(type(value), "resolve_expression")


def _names_rows(field: Any) -> bool:
    """Whether the values of the column say which row it is, or whose."""
    model = field.model
    if field.unique or field.is_relation or field.name in _naming[model]:
        return True
    return _is_partition(model, field.column)


def _is_partition(model: Any, column: str) -> bool:
    try:
        partitions = table_of(model._meta.concrete_model).scheme.partitions
    except Uncacheable:
        return False
    return any(each.column == column for each in partitions)


def _naming_fields(model: type[Model]) -> frozenset[str]:
    """Those of the model's fields that keys, relations and unique constraints are made of."""
    found = [field for each in all_models() for field in _made_of(each._meta)]
    return frozenset(field.name for field in found if field.model is model)


def _made_of(meta: Any) -> Iterator[Field[Any, Any]]:
    yield from meta.pk_fields
    for field in (*meta.local_fields, *meta.private_fields):
        # One that leads to a model nobody has made yet is a name.
        if isinstance(field, ForeignObject) and not isinstance(field.remote_field.model, str):
            for pair in field.related_fields:
                yield from pair
    generic = (getattr(field, "fk_field", None) for field in meta.private_fields)
    for name in (*filter(None, generic), *_unique_names(meta)):
        try:
            yield meta.get_field(name)
        except FieldDoesNotExist:
            continue  # As F("pk") is; or a mistake that Django's checks name.


def _unique_names(meta: Any) -> Iterator[str]:
    for names in meta.unique_together:
        yield from names
    for constraint in meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield from constraint.fields
            for expression in constraint.expressions:
                yield from _named_in(expression)


def _named_in(expression: Any) -> Iterator[str]:
    if isinstance(expression, F):
        yield expression.name  # type: ignore[attr-defined]
    elif hasattr(expression, "get_source_expressions"):
        for part in expression.get_source_expressions():
            yield from _named_in(part)


_naming = ModelMemo(_naming_fields)
