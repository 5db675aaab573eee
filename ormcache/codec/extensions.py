"""How each type that msgpack does not know becomes bytes, and back.

Every pair is exact: ``decode(encode(value))`` has the type and value of ``value``.
Encoders raise ``Unrepresentable``; decoders may raise anything, which the caller reports.
"""

from __future__ import annotations

import datetime as dt
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ormcache.exceptions import Unrepresentable

if TYPE_CHECKING:
    from uuid import UUID

MICROSECOND = dt.timedelta(microseconds=1)

# By name, because neither driver is required. The index is stored: only append.
RANGES = (
    ("psycopg.types.range", "Range"),
    ("psycopg.types.range", "Int4Range"),
    ("psycopg.types.range", "Int8Range"),
    ("psycopg.types.range", "NumericRange"),
    ("psycopg.types.range", "DateRange"),
    ("psycopg.types.range", "TimestampRange"),
    ("psycopg.types.range", "TimestamptzRange"),
    ("psycopg2._range", "Range"),
    ("psycopg2._range", "NumericRange"),
    ("psycopg2._range", "DateRange"),
    ("psycopg2._range", "DateTimeRange"),
    ("psycopg2._range", "DateTimeTZRange"),
)


def encode_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def decode_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def by_text(kind: Callable[[str], Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """The pair for a type whose constructor reads back exactly what ``str`` writes."""
    return (lambda value: str(value).encode()), (lambda data: kind(data.decode()))


def encode_date(value: dt.date) -> bytes:
    return encode_int(value.toordinal())


def decode_date(data: bytes) -> dt.date:
    return dt.date.fromordinal(decode_int(data))


def encode_timedelta(value: dt.timedelta) -> bytes:
    return encode_int(value // MICROSECOND)


def decode_timedelta(data: bytes) -> dt.timedelta:
    return dt.timedelta(microseconds=decode_int(data))


def encode_datetime(value: dt.datetime) -> bytes:
    return _moment(value.replace(tzinfo=None, fold=0).isoformat(), value)


def decode_datetime(data: bytes) -> dt.datetime:
    text, fold, zone = _split(data)
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def encode_time(value: dt.time) -> bytes:
    return _moment(value.replace(tzinfo=None, fold=0).isoformat(), value)


def decode_time(data: bytes) -> dt.time:
    text, fold, zone = _split(data)
    return dt.time.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _moment(naive: str, value: dt.datetime | dt.time) -> bytes:
    # The zone comes last: the name of an offset may hold any character.
    return f"{naive}|{value.fold}|{_zone_text(value.tzinfo)}".encode()


def _split(data: bytes) -> tuple[str, int, dt.tzinfo | None]:
    text, fold, zone = data.decode().split("|", 2)
    return text, int(fold), _zone(zone)


def _zone_text(zone: dt.tzinfo | None) -> str:
    if zone is None:
        return ""
    if type(zone) is ZoneInfo and zone.key is not None:
        return f"z{zone.key}"
    if type(zone) is dt.timezone:
        offset = zone.utcoffset(None)
        text = f"o{offset // MICROSECOND}"
        name = zone.tzname(None)
        # Equal offsets compare equal, but %Z shows the name, so a name given is kept.
        return text if name == dt.timezone(offset).tzname(None) else f"{text},{name}"
    raise Unrepresentable(f"time zone {zone!r} has neither an IANA key nor a fixed offset")


def _zone(text: str) -> dt.tzinfo | None:
    if not text:
        return None
    kind, rest = text[0], text[1:]
    if kind == "z":
        return ZoneInfo(rest)
    microseconds, named, name = rest.partition(",")
    offset = dt.timedelta(microseconds=int(microseconds))
    return dt.timezone(offset, name) if named else dt.timezone(offset)


def encode_uuid(value: UUID) -> bytes:
    return value.bytes


def encode_memoryview(value: memoryview) -> bytes:
    if value.format != "B" or value.ndim != 1:
        raise Unrepresentable("a memoryview is kept only when it is a flat run of bytes")
    return value.tobytes()


def range_parts(value: Any) -> list[Any] | None:
    """``[class, bounds, lower, upper]`` of a driver's range; None for any other object."""
    kind = type(value)
    try:
        index = RANGES.index((kind.__module__, kind.__name__))
    except ValueError:
        return None
    # A look-alike class that borrows the name is not the driver's.
    if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
        return None
    # psycopg2 keeps the bounds it was given, which its public properties normalise away.
    return [index, value._bounds or "", value._lower, value._upper]


def range_from(parts: list[Any]) -> Any:
    """The range that ``range_parts`` took apart."""
    index, bounds, lower, upper = parts
    if type(index) is not int or index < 0:
        raise ValueError("no such range class")
    module, name = RANGES[index]
    kind = getattr(importlib.import_module(module), name)
    return kind(lower, upper, bounds) if bounds else kind(empty=True)
