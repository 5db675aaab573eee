"""Conditions: the where tree, and the lookups Django ships."""

from __future__ import annotations

from enum import Enum
from typing import Any

from django.db.models.lookups import In, Lookup
from django.db.models.sql.where import ExtraWhere, NothingNode, WhereNode

from ormcache import interrupts
from ormcache.analysis.parameters import ATOMS, SEQUENCES, bind
from ormcache.analysis.structure import HANDLERS, Handler, Token, is_genuine, makers
from ormcache.exceptions import Uncacheable

# A lookup of these modules is its class, its two sides and nothing else.
MODULES = frozenset(
    {
        "django.contrib.postgres.fields.array",
        "django.contrib.postgres.fields.ranges",
        "django.contrib.postgres.lookups",
        "django.db.models.fields.json",
        "django.db.models.fields.related_lookups",
        "django.db.models.fields.tuple_lookups",
        "django.db.models.lookups",
    }
)

# They follow settings of the session: default_text_search_config, pg_trgm.…_threshold.
SESSION = frozenset(
    f"django.contrib.postgres.lookups.{name}"
    for name in (
        "SearchLookup",
        "TrigramSimilar",
        "TrigramStrictWordSimilar",
        "TrigramWordSimilar",
    )
)


def lookup(path: str, *, is_in: bool = False) -> Handler:
    """The handler of the lookup class at ``path``. ``is_in``: the order of its values does not
    matter."""

    def emit(node: Any, out: list[Token], values: list[Any]) -> None:
        if node.bilateral_transforms:
            raise Uncacheable(f"{path} with a bilateral transform is not analysed")
        out.append(path)
        lhs = node.lhs
        HANDLERS[type(lhs)](lhs, out, values)
        rhs = node.rhs
        if type(rhs) in ATOMS:
            out.append("=")
            values.append(rhs)
        else:
            bind(_in_order(rhs) if is_in else rhs, out, values)

    return emit


def _in_order(found: Any) -> Any:
    """The values of ``IN`` in an order of their own: one key for one set, which comes out in
    another order in each process."""
    if type(found) not in SEQUENCES:
        return found
    for rank in (None, _rank) if ATOMS.issuperset(map(type, found)) else (_rank,):
        try:
            return sorted(found, key=rank)
        except Exception as error:  # Whatever the comparison of two values raises.
            interrupts.pass_on(error)
    # Another key for another order of what cannot be compared is no mistake.
    return found


def _rank(value: Any) -> tuple[str, Any]:
    """What sorts values of several kinds, and those that have no order."""
    kind = type(value).__qualname__
    if isinstance(value, Enum):
        return kind, value.name
    if type(value) is tuple:
        return kind, tuple(map(_rank, value))
    # None is no less than None.
    return kind, () if value is None else value


def where(node: WhereNode, out: list[Token], values: list[Any]) -> None:
    children = node.children
    out += ("where", node.connector, node.negated, node.resolved, len(children))
    for child in children:
        HANDLERS[type(child)](child, out, values)


def _nothing(node: Any, out: list[Token], values: list[Any]) -> None:
    out.append("nothing")


def _extra(node: Any, out: list[Token], values: list[Any]) -> None:
    raise Uncacheable("extra(where=...) is raw SQL")


def _built_in(kind: type, path: str) -> Handler | None:
    if path in SESSION:
        raise Uncacheable(f"{path} depends on settings of the session")
    if kind.__module__ in MODULES and issubclass(kind, Lookup) and is_genuine(kind):
        return lookup(path, is_in=issubclass(kind, In))
    return None


HANDLERS[WhereNode] = where
HANDLERS[NothingNode] = _nothing
HANDLERS[ExtraWhere] = _extra
makers.append(_built_in)
