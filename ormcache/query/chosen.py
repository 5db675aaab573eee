"""Which values of a query a developer's key stands for: ``cache(key=…)``.

It stands for values that rows are compared with, and for those alone. What says of which rows the
query speaks is told apart: keys, foreign keys, unique and partition columns, NULL or not. So is
whatever makes it another question: a slice, an order, an argument of an expression.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models.expressions import Col, ColPairs

from ormcache.exceptions import Uncacheable
from ormcache.query.parameters import SEQUENCES
from ormcache.schema import table_of

_EQUALITY = frozenset({"exact", "iexact", "in"})


class Values(list[Any]):
    """The values of a query as they are written, and the places of those a key stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen: set[int] = set()

    def note(self, lookup: Any, start: int) -> None:
        """The values from ``start`` on are those a condition compares with."""
        if _is_chosen(lookup):
            self.chosen.update(range(start, len(self)))


def _is_chosen(lookup: Any) -> bool:
    kind, rhs = lookup.lookup_name, lookup.rhs
    if kind == "isnull" or not hasattr(lookup.lhs, "flatten"):
        return False
    if any(map(_is_expression, rhs if type(rhs) in SEQUENCES else (rhs,))):
        return False
    return not any(_names_rows(column, kind in _EQUALITY) for column in _columns(lookup.lhs))


def _is_expression(value: Any) -> bool:
    return hasattr(type(value), "resolve_expression")


def _columns(side: Any) -> Iterator[Col]:
    for part in side.flatten():
        if isinstance(part, ColPairs):
            yield from part.get_cols()
        elif isinstance(part, Col):
            yield part


def _names_rows(column: Any, is_equality: bool) -> bool:
    """Whether a condition on the column says of which rows, or whose, the query speaks."""
    field = column.target
    model = field.model
    if field.primary_key or field.is_relation or field in model._meta.pk_fields:
        return True
    if any(getattr(each, "fk_field", None) == field.name for each in model._meta.private_fields):
        # Of a generic relation.
        return True
    return is_equality and (field.unique or _is_partition(model, field.column))


def _is_partition(model: Any, column: str) -> bool:
    try:
        partitions = table_of(model._meta.concrete_model).roster.partitions
    except Uncacheable:
        return False
    return any(each.column == column for each in partitions)
