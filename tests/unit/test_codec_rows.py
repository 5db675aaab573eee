"""Rows as bytes: exact, refused by name, and Corrupt rather than wrong."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from ormcache.codec import rows
from ormcache.codec.rows import RowCodec
from ormcache.exceptions import Corrupt, Unrepresentable
from tests.codecapp.fields import Point, PointField
from tests.naming import named

FIELDS: dict[str, Any] = {
    "id": models.BigAutoField(primary_key=True),
    "title": models.CharField(max_length=10),
    "flag": models.BooleanField(),
    "score": models.FloatField(),
    "price": models.DecimalField(),
    "created": models.DateTimeField(),
    "day": models.DateField(),
    "token": models.UUIDField(),
    "length": models.DurationField(),
    "hour": models.TimeField(),
    "blob": models.BinaryField(),
}
ROW = [
    1,
    "title",
    True,
    1.5,
    Decimal("1.50"),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.date(2024, 1, 1),
    UUID(int=5),
    dt.timedelta(1),
    dt.time(1),
    b"\xff",
]


def codec_of(fields: dict[str, Any]) -> RowCodec:
    for name, field in fields.items():
        field.set_attributes_from_name(name)
    return RowCodec(fields.values())


CODEC = codec_of(FIELDS)
TYPES = [type(value) for value in ROW]


def test_row_survives() -> None:
    assert ROW == CODEC.decode(CODEC.encode(ROW))
    assert ROW == CODEC.decode(CODEC.encode(tuple(ROW)))


def test_encoding_leaves_the_row_alone() -> None:
    row = list(ROW)
    CODEC.encode(row)
    assert ROW == row


@pytest.mark.parametrize("index", range(len(ROW)))
def test_nulls_survive(index: int) -> None:
    row = [*ROW[:index], None, *ROW[index + 1 :]]
    assert row == CODEC.decode(CODEC.encode(row))
    assert [None] * len(ROW) == CODEC.decode(CODEC.encode([None] * len(ROW)))


@given(st.lists(st.booleans(), min_size=len(ROW), max_size=len(ROW)))
def test_plans_do_not_depend_on_what_came_before(keep: list[bool]) -> None:
    row = [value if kept else None for value, kept in zip(ROW, keep, strict=True)]
    assert row == CODEC.decode(CODEC.encode(row))


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_PLANS", 1)
    codec = codec_of(dict(FIELDS))
    for row in (ROW, [None, *ROW[1:]], [*ROW[:-1], None], ROW):
        assert row == codec.decode(codec.encode(row))


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", True),
        ("id", "1"),
        ("title", Text("x")),
        ("title", b"x"),
        ("flag", 1),
        ("score", 1),
        ("price", 1.5),
        ("created", dt.date(2024, 1, 1)),
        ("day", dt.datetime(2024, 1, 1)),
        ("token", "0" * 32),
        ("blob", bytearray()),
    ],
)
def test_other_types_are_refused_by_name(name: str, value: Any) -> None:
    row = list(ROW)
    row[list(FIELDS).index(name)] = value
    with pytest.raises(Unrepresentable, match=f"{name}: {type(value).__name__} is not"):
        CODEC.encode(row)


def test_a_value_that_does_not_encode_is_refused_by_name() -> None:
    with pytest.raises(Unrepresentable, match=r"title: .*surrogates"):
        CODEC.encode([1, "\ud800", *ROW[2:]])


def test_a_field_that_fails_is_refused_by_name() -> None:
    codec = codec_of({"id": models.BigAutoField(primary_key=True), "point": PointField()})
    with pytest.raises(Unrepresentable, match=r"point: .*Point has no exact encoding"):
        codec.encode([1, Point(1, 2)])


@pytest.mark.parametrize("row", [[], ROW[:-1], [*ROW, 1]])
def test_another_count_is_refused(row: list[Any]) -> None:
    with pytest.raises(Unrepresentable, match="for 11 columns"):
        CODEC.encode(row)


def test_mutable_and_token() -> None:
    one = codec_of({"a": models.IntegerField(), "b": models.JSONField()})
    other = codec_of({"a": models.IntegerField(), "b": models.TextField()})
    assert (True, False) == (one.mutable, other.mutable)
    assert ("a int\nb json", "a int\nb str") == (one.token, other.token)


# A hostile store


def reads(payload: Any) -> list[Any] | None:
    """The row, or None when it is Corrupt; any other exception fails the test."""
    try:
        row = CODEC.decode(payload)
    except Corrupt:
        return None
    assert all(
        value is None or type(value) is kind or (kind is bytes and type(value) is memoryview)
        for value, kind in zip(row, TYPES, strict=True)
    )
    return row


STORED = msgpack.unpackb(CODEC.encode(ROW))
BAD = [
    1,
    -1,
    2**64 - 1,
    1.0,
    True,
    "",
    "x",
    "9999-99-99",
    "1E+99999999999999999999",
    b"",
    b"x",
    b"x" * 17,
    [],
    {},
    [1],
    {"a": 1},
    msgpack.ExtType(0, b""),
    msgpack.ExtType(1, b"\x7f" * 40),
    msgpack.ExtType(2, b"\x90"),
    msgpack.ExtType(5, b"2024-01-01|0|"),
    msgpack.Timestamp(1, 0),
]


@pytest.mark.parametrize("bad", BAD, ids=named)
@pytest.mark.parametrize("index", range(len(ROW)))
def test_wrong_types_in_a_column_never_get_out(index: int, bad: Any) -> None:
    stored = list(STORED)
    stored[index] = bad
    reads(msgpack.packb(stored))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\x90",
        msgpack.packb(STORED[:-1]),
        msgpack.packb([*STORED, None]),
        msgpack.packb(STORED) + b"\xc0",
        msgpack.packb(STORED)[:-1],
        msgpack.packb("x" * len(ROW)),
        msgpack.packb({str(index): 1 for index in range(len(ROW))}),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 10_000,
        None,
        1,
        "text",
    ],
)
def test_other_shapes_are_corrupt(payload: Any) -> None:
    with pytest.raises(Corrupt):
        CODEC.decode(payload)


def test_letters_of_a_text_are_no_columns() -> None:
    codec = codec_of({"a": models.TextField(), "b": models.TextField()})
    with pytest.raises(Corrupt, match="list of values"):
        codec.decode(msgpack.packb("ab"))


@given(st.binary(max_size=300))
def test_fuzz_any_bytes(payload: bytes) -> None:
    reads(payload)


@given(
    st.lists(
        st.recursive(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**63), 2**64 - 1),
                st.floats(),
                st.text(),
                st.binary(),
                st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=30)),
            ),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        min_size=len(ROW),
        max_size=len(ROW),
    )
)
def test_fuzz_any_columns(stored: list[Any]) -> None:
    reads(msgpack.packb(stored))


@given(st.data())
def test_fuzz_damaged_rows(data: st.DataObject) -> None:
    payload = bytearray(CODEC.encode(ROW))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    reads(bytes(payload))
