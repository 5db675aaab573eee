"""Sets as values of ``__in``, in an order that does not depend on the process.

Django writes the values of a set in the order in which it comes out, and that of strings changes
with the hash seed. Every process would have a key of its own for the same list, so sets are put
in order before Django sees them: the SQL and the key follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from django.db.models import FilteredRelation, Model, Q
from django.db.models.expressions import BaseExpression

from ormcache import interrupts
from ormcache.analysis.parameters import ATOMS

_SETS = (set, frozenset)
# Most values there are, and in most hits nothing else. Expressions in lists are left as they are.
_LEAVES = frozenset({str, int, bool, type(None), list, tuple})


class OrderedSet(frozenset[Any]):
    """A set whose members come out in order. To Django it is a set like any other."""

    def __iter__(self) -> Iterator[Any]:
        members = list(super().__iter__())
        # What else there is may have an order that leaves some pairs open, as sets do, or run
        # queries to show itself.
        for key in (None, _rank, repr) if _are_plain(members) else (_rank,):
            try:
                return iter(sorted(members, key=key))
            except Exception as error:  # Whatever the comparison of two values raises.
                interrupts.pass_on(error)
                continue
        # Another key for another order of what cannot be compared is no mistake.
        return iter(members)


def _are_plain(values: Iterable[Any]) -> bool:
    others = {type(value) for value in values} - ATOMS
    return not others or (
        others == {tuple} and all(type(each) is not tuple or _are_plain(each) for each in values)
    )


def _rank(value: Any) -> tuple[str, Any]:
    """What sorts values of several kinds, and those that have no order."""
    kind = type(value).__qualname__
    if isinstance(value, Model):
        return kind, _rank(value.pk)
    if isinstance(value, Enum):
        return kind, value.name
    if type(value) is tuple:
        return kind, tuple(map(_rank, value))
    # None is no less than None.
    return kind, () if value is None else value


def in_order(values: Any) -> Any:
    """A set as one whose members come out in order, anything else as it is."""
    return OrderedSet(values) if isinstance(values, _SETS) else values


def ordered_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a queryset's method with the sets in them put in order.

    What holds none is passed on as it is; nothing that was given is changed.
    """
    if args:
        args = tuple(map(_ordered_condition, args))
    for name, value in kwargs.items():
        if type(value) not in _LEAVES:
            found = _ordered_value(name, value)
            if found is not value:
                kwargs = {**kwargs, name: found}
    return args, kwargs


def ordered(node: Any) -> Any:
    """A ``Q`` or an expression; a copy of it if there is a set in it."""
    if isinstance(node, Q):
        children = _ordered_each(node.children)
        if children is not node.children:
            node = node.copy()
            node.children = children
    elif isinstance(node, FilteredRelation):
        condition = ordered(node.condition)
        if condition is not node.condition:
            node = node.clone()
            node.condition = condition
    elif isinstance(node, BaseExpression):
        sources = list(node.get_source_expressions())
        found = _ordered_each(sources)
        if found is not sources:
            node = node.copy()
            node.set_source_expressions(found)
    return node


def _ordered_each(nodes: list[Any]) -> list[Any]:
    found = nodes
    for place, node in enumerate(nodes):
        new = _ordered_condition(node)
        if new is not node:
            found = [*found[:place], new, *found[place + 1 :]]
    return found


def _ordered_condition(node: Any) -> Any:
    """The same of a condition's name and value."""
    if type(node) is not tuple:
        return ordered(node)
    if len(node) != 2 or type(node[1]) in _LEAVES:
        return node
    found = _ordered_value(*node)
    return node if found is node[1] else (node[0], found)


def _ordered_value(name: Any, value: Any) -> Any:
    if isinstance(value, _SETS):
        # Whatever else takes a set need not take this one.
        return in_order(value) if str(name).endswith("__in") else value
    return ordered(value)
