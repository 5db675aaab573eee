"""One database row as bytes: the column values in order, without names.

The exact types of a row's values choose a plan, worked out once for each combination met:
it says that every type is allowed in its column and which columns need converting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgpack

from ormcache import interrupts
from ormcache.codec.columns import Convert, FieldCodec
from ormcache.codec.fields import AnyField, codec_for
from ormcache.codec.values import open_extension, packb
from ormcache.digest import code_digest
from ormcache.exceptions import Corrupt, Unrepresentable

# Nulls make the combinations; past this many they are checked again each time.
MAX_PLANS = 512

_unpackb = msgpack.unpackb

Types = tuple[type, ...]
Plan = tuple[tuple[int, Convert], ...]


class Column(NamedTuple):
    """A column's name, for messages, and its codec."""

    name: str
    codec: FieldCodec


class RowCodec:
    """Encodes and decodes the rows of one list of fields.

    ``mutable``: some decoded values can be changed in place. ``token`` names the format. ``raw``
    are the positions of values that stand as the driver gave them.
    Creating it raises Unrepresentable for a field without an exact encoding.
    """

    __slots__ = ("decode", "encode", "mutable", "raw", "token")

    encode: Callable[[Sequence[Any]], bytes]
    decode: Callable[[bytes], list[Any]]

    def __init__(self, fields: Iterable[AnyField]) -> None:
        columns = [_column(field) for field in fields]
        self.mutable = any(column.codec.mutable for column in columns)
        self.raw = tuple(i for i, (_, codec) in enumerate(columns) if codec.raw)
        self.token = "\n".join(f"{name} {_version(codec)}" for name, codec in columns)
        self.encode = _encoder(columns)
        self.decode = _decoder(columns)


def _version(codec: FieldCodec) -> str:
    """The format, and of a project's own codec the code that writes and reads it."""
    code = [each for each in (codec.encode, codec.decode) if each is not None]
    return " ".join([codec.token, *filter(None, map(code_digest, code))])


def _column(field: AnyField) -> Column:
    try:
        return Column(field.attname, codec_for(field))
    except Unrepresentable as error:
        raise Unrepresentable(f"{field}: {error}") from error


def _encoder(columns: Sequence[Column]) -> Callable[[Sequence[Any]], bytes]:
    plans: dict[Types, Plan] = {}

    def encode(values: Sequence[Any]) -> bytes:
        """The row as bytes; raises Unrepresentable, naming the field."""
        row = list(values)
        types = tuple(map(type, row))
        plan = plans.get(types)
        if plan is None:
            plan = _remember(plans, types, _encode_plan(columns, types))
        try:
            for index, convert in plan:
                row[index] = convert(row[index])
            return packb(row)
        except Exception as error:
            interrupts.pass_on(error)
            raise _blame(columns, values, error) from error

    return encode


def _decoder(columns: Sequence[Column]) -> Callable[[bytes], list[Any]]:
    plans: dict[Types, Plan] = {}

    def decode(payload: bytes) -> list[Any]:
        """The values of the row; raises Corrupt for anything ``encode`` did not write."""
        try:
            values: list[Any] = _unpackb(payload, ext_hook=open_extension, timestamp=1)
            if type(values) is not list:
                raise Corrupt("a row is a list of values")
            types = tuple(map(type, values))
            plan = plans.get(types)
            if plan is None:
                plan = _remember(plans, types, _decode_plan(columns, types))
            for index, convert in plan:
                values[index] = convert(values[index])
            return values
        except Corrupt:
            raise
        except Exception as error:
            interrupts.pass_on(error)
            raise Corrupt(f"the row does not decode: {error}") from error

    return decode


def _remember(plans: dict[Types, Plan], types: Types, plan: Plan) -> Plan:
    if len(plans) < MAX_PLANS:
        plans[types] = plan
    return plan


def _encode_plan(columns: Sequence[Column], types: Types) -> Plan:
    if len(types) != len(columns):
        raise Unrepresentable(f"the row has {len(types)} values for {len(columns)} columns")
    for (name, codec), kind in zip(columns, types, strict=True):
        if kind is not type(None) and codec.types is not None and kind not in codec.types:
            raise Unrepresentable(f"{name}: {kind.__name__} is not what its field loads as")
    return _converters(types, [codec.encode for _, codec in columns])


def _decode_plan(columns: Sequence[Column], types: Types) -> Plan:
    if len(types) != len(columns):
        raise Corrupt(f"the row has {len(types)} values for {len(columns)} columns")
    for (name, codec), kind in zip(columns, types, strict=True):
        if kind is not type(None) and codec.wire is not None and kind not in codec.wire:
            raise Corrupt(f"{name}: {kind.__name__} is not how its field is written")
    return _converters(types, [codec.decode for _, codec in columns])


def _converters(types: Types, converts: Sequence[Convert | None]) -> Plan:
    return tuple(
        (index, convert)
        for index, (kind, convert) in enumerate(zip(types, converts, strict=True))
        if convert is not None and kind is not type(None)
    )


def _blame(columns: Sequence[Column], values: Sequence[Any], error: Exception) -> Unrepresentable:
    """``error`` with the name of the column that causes it, found by trying each alone."""
    for (name, codec), value in zip(columns, values, strict=True):
        try:
            packb(value if value is None or codec.encode is None else codec.encode(value))
        except Exception as cause:
            interrupts.pass_on(cause)
            return Unrepresentable(f"{name}: {cause}")
    return Unrepresentable(str(error))
