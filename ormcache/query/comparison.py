"""Whether two results of one query are the same, as far as SQL lets them be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ormcache.codec.values import pack
from ormcache.exceptions import Unrepresentable


def is_determined(query: Any) -> bool:
    """Whether the tables alone determine which rows the query gives: of a slice without an order
    the database may give others every time."""
    return not query.is_sliced or bool(
        query.order_by or (query.default_ordering and query.get_meta().ordering)
    )


def same_rows(kind: bytes, one: Any, other: Any) -> bool:
    """Whether two results of a query hold the same rows. What order they come in is left aside:
    SQL may leave it open, in part."""
    if type(one) is not type(other):
        return False
    if type(one) is not list:
        return _packed(one) == _packed(other)
    if kind == b"rows":
        one, other = _as_rows(one), _as_rows(other)
    return Counter(map(_packed, one)) == Counter(map(_packed, other))


def _as_rows(pointed: list[Any]) -> list[Any]:
    pks, columns = pointed
    return [list(row) for row in zip(pks, *columns, strict=True)]


def _packed(value: Any) -> bytes | None:
    """Equal in Python does not mean equal: 1 == True == 1.0."""
    try:
        return pack(value)
    except Unrepresentable:
        return None
