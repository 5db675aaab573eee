"""Sets as values of ``__in``, in an order that does not depend on the process.

Django writes the values of a set in the order in which it comes out, and that of strings changes
with the hash seed. Every process would have a key of its own for the same list, so sets are put
in order before Django sees them: the SQL and the key follow.
"""

from __future__ import annotations

from typing import Any

from django.db.models import FilteredRelation, Model, Q
from django.db.models.expressions import BaseExpression

_SETS = (set, frozenset)
_LEAVES = frozenset({str, int, bool, type(None), list, tuple})
_Named = dict[str, Any]


def in_order(values: Any) -> Any:
    """The values of a set as a list, anything else as it is."""
    if not isinstance(values, _SETS):
        return values
    try:
        return sorted(values, key=_rank)
    except Exception:  # What cannot be compared makes a key for each order, and no mistake.
        return list(values)


def _rank(value: Any) -> tuple[str, Any]:
    if isinstance(value, Model):
        value = value.pk
    return type(value).__qualname__, value


def ordered_arguments(args: tuple[Any, ...], kwargs: _Named) -> tuple[tuple[Any, ...], _Named]:
    """Arguments of a queryset's method with the sets in them put in order.

    What holds none is passed on as it is; nothing that was given is changed.
    """
    if args:
        args = tuple(map(ordered, args))
    for name, value in kwargs.items():
        if type(value) in _LEAVES:
            # This runs on every hit.
            continue
        found = _ordered_condition(name, value)
        if found is not value:
            kwargs = {**kwargs, name: found}
    return args, kwargs


def _ordered_condition(name: str, value: Any) -> Any:
    if isinstance(value, _SETS):
        return in_order(value) if name.endswith("__in") else value
    return ordered(value)


def ordered(node: Any) -> Any:
    """A ``Q`` or an expression; a copy of it if there is a set in it."""
    if isinstance(node, Q):
        return _ordered_q(node)
    if isinstance(node, FilteredRelation):
        condition = ordered(node.condition)
        if condition is node.condition:
            return node
        relation = node.clone()
        relation.condition = condition
        return relation
    if isinstance(node, BaseExpression):
        sources = node.get_source_expressions()
        found = list(map(ordered, sources))
        if all(new is old for new, old in zip(found, sources, strict=True)):
            return node
        clone = node.copy()
        clone.set_source_expressions(found)
        return clone
    return node


def _ordered_q(node: Q) -> Q:
    changed: dict[int, Any] = {}
    for position, child in enumerate(node.children):
        if type(child) is not tuple:
            found = ordered(child)
            if found is not child:
                changed[position] = found
        elif type(child[1]) not in _LEAVES:
            found = _ordered_condition(*child)
            if found is not child[1]:
                changed[position] = (child[0], found)
    if not changed:
        return node
    clone = node.copy()
    clone.children = [changed.get(place, child) for place, child in enumerate(node.children)]
    return clone
