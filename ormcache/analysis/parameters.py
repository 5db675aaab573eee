"""The values bound to a query, in the form their digest is made from."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.datastructures import OrderedSet
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from ormcache.analysis.structure import Token, class_path, visit
from ormcache.codec.values import plain
from ormcache.exceptions import Uncacheable, Unrepresentable

# Taken as they are; the codec packs each with its type.
ATOMS: frozenset[type] = frozenset(
    {
        type(None), bool, int, float, str, bytes, Decimal, UUID,
        dt.datetime, dt.date, dt.time, dt.timedelta,
    }
)  # fmt: skip

SEQUENCES: dict[type, str] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    OrderedSet: "list",
}


def bind(value: Any, out: list[Token], values: list[Any]) -> None:
    """Append a value a query holds, or visit it where it is an expression.

    Raises Uncacheable for a type that has no exact encoding, model instances among them.
    """
    kind = type(value)
    if kind in ATOMS:
        out.append("=")
        values.append(value)
    elif kind in SEQUENCES:
        _sequence(kind, value, out, values)
    elif hasattr(kind, "resolve_expression"):
        out.append("expression")
        visit(value, out, values)
    elif kind is SafeString:
        bind(str.__str__(value), out, values)
    elif isinstance(value, Promise):
        bind(value._proxy____cast(), out, values)  # type: ignore[attr-defined]
    elif isinstance(value, Enum):
        # Drivers write a mixed-in member as the text or number it is, which need not be its value;
        # of any other only they know how.
        if isinstance(value, str):
            bind(str.__str__(value), out, values)
        elif isinstance(value, int):
            bind(int.__index__(value), out, values)
        else:
            out.append(f"enum {class_path(kind)}")
            bind(value.value, out, values)
    else:
        out.append("=")
        values.append(_encodable(value))


def _sequence(kind: type, items: Any, out: list[Token], values: list[Any]) -> None:
    if ATOMS.issuperset(map(type, items)):
        out.append(SEQUENCES[kind])
        values.append(items if kind is list else list(items))
        return
    out += (f"{SEQUENCES[kind]} of", len(items))
    for item in items:
        bind(item, out, values)


def _encodable(value: Any) -> Any:
    try:
        plain(value)
    except Unrepresentable as error:
        raise Uncacheable(f"a bound value cannot stand in a key: {error}") from error
    return value


def zone(tzinfo: dt.tzinfo | None) -> list[Any]:
    """What identifies ``tzinfo``, or the current time zone for None, across processes."""
    if tzinfo is None:
        tzinfo = timezone.get_current_timezone()
    if type(tzinfo) is ZoneInfo and tzinfo.key is not None:
        return ["iana", tzinfo.key]
    if type(tzinfo) is dt.timezone:
        return ["offset", tzinfo.utcoffset(None), tzinfo.tzname(None)]
    raise Uncacheable(f"time zone {tzinfo!r} has neither an IANA key nor a fixed offset")
