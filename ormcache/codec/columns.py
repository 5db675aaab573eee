"""What a column's codec is, and the codecs of the fields that always load the same way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID

from django.db import models

from ormcache.codec.extensions import MICROSECOND
from ormcache.codec.values import plain
from ormcache.exceptions import Corrupt

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class FieldCodec:
    """How one column's values are written; NULL is handled by the row and never passed.

    ``token`` names the format: change it when the format changes, old entries then miss.
    ``types`` are the exact types accepted; None leaves the refusal to ``encode``.
    ``encode`` gives what msgpack holds; None when the value is that already.
    ``decode`` is its inverse and may raise anything on bad input; None as above.
    ``wire`` are the exact types ``decode`` may meet; None: any, or ``types`` without ``encode``.
    ``mutable``: decoded values can be changed in place, so they cannot be shared.
    ``raw``: what is written is what the driver gave, and the field converts it at each load.
    """

    token: str
    types: frozenset[type] | None
    encode: Convert | None = None
    decode: Convert | None = None
    wire: frozenset[type] | None = None
    mutable: bool = False
    raw: bool = False

    def __post_init__(self) -> None:
        if self.wire is None and self.encode is None:
            object.__setattr__(self, "wire", self.types)


def _encode_datetime(value: dt.datetime) -> Any:
    zone = value.tzinfo
    if value.fold == 0 and (zone is None or zone is dt.UTC):
        return value.isoformat()
    return plain(value)


def _decode_datetime(value: Any) -> Any:
    return dt.datetime.fromisoformat(value) if type(value) is str else value


def _encode_time(value: dt.time) -> Any:
    return value.isoformat() if value.fold == 0 and value.tzinfo is None else plain(value)


def _decode_time(value: Any) -> Any:
    return dt.time.fromisoformat(value) if type(value) is str else value


def _encode_duration(value: dt.timedelta) -> int:
    return value // MICROSECOND


def _decode_duration(value: int) -> dt.timedelta:
    return dt.timedelta(0, 0, value)


def _encode_uuid(value: UUID) -> bytes:
    return value.bytes


_set_int = vars(UUID)["int"].__set__
_set_safe = vars(UUID)["is_safe"].__set__
_unknown = SafeUUID.unknown


def _decode_uuid(value: bytes) -> UUID:
    if len(value) != 16:
        raise Corrupt("a UUID has 16 bytes")
    # The constructor checks and dispatches in Python, which takes three times as long.
    uuid = object.__new__(UUID)
    _set_int(uuid, int.from_bytes(value, "big"))
    _set_safe(uuid, _unknown)
    return uuid


def _simple(kind: type) -> FieldCodec:
    return FieldCodec(kind.__name__, frozenset({kind}))


_INT, _STR = _simple(int), _simple(str)

COLUMNS: dict[type, FieldCodec] = {
    **dict.fromkeys(
        (
            models.AutoField,
            models.BigAutoField,
            models.SmallAutoField,
            models.IntegerField,
            models.BigIntegerField,
            models.SmallIntegerField,
            models.PositiveIntegerField,
            models.PositiveBigIntegerField,
            models.PositiveSmallIntegerField,
        ),
        _INT,
    ),
    **dict.fromkeys(
        (
            models.CharField,
            models.TextField,
            models.SlugField,
            models.EmailField,
            models.URLField,
            models.FilePathField,
            models.GenericIPAddressField,
            models.FileField,
            models.ImageField,
        ),
        _STR,
    ),
    models.BooleanField: _simple(bool),
    models.FloatField: _simple(float),
    models.DecimalField: FieldCodec(
        "decimal", frozenset({Decimal}), str, Decimal, frozenset({str})
    ),
    models.BinaryField: FieldCodec(
        "binary",
        frozenset({bytes, memoryview}),
        plain,
        wire=frozenset({bytes, memoryview}),
    ),
    models.DateField: FieldCodec(
        "date", frozenset({dt.date}), dt.date.toordinal, dt.date.fromordinal, frozenset({int})
    ),
    models.DateTimeField: FieldCodec(
        "datetime",
        frozenset({dt.datetime}),
        _encode_datetime,
        _decode_datetime,
        frozenset({str, dt.datetime}),
    ),
    models.TimeField: FieldCodec(
        "time", frozenset({dt.time}), _encode_time, _decode_time, frozenset({str, dt.time})
    ),
    models.DurationField: FieldCodec(
        "duration",
        frozenset({dt.timedelta}),
        _encode_duration,
        _decode_duration,
        frozenset({int}),
    ),
    models.UUIDField: FieldCodec(
        "uuid", frozenset({UUID}), _encode_uuid, _decode_uuid, frozenset({bytes})
    ),
}
