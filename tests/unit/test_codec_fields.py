"""Which fields have an exact encoding, and which values each of them accepts."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import pytest
from django.db import models

from ormcache.codec import fields as codec_fields
from ormcache.codec.columns import COLUMNS
from ormcache.codec.fields import FieldCodec, codec_for, register_field
from ormcache.codec.values import packb, plain, unpackb
from ormcache.exceptions import ConfigError, Unrepresentable
from tests.codecapp.fields import (
    ColourDecoder,
    ColourField,
    Point,
    PointField,
    TagsField,
    UpperCharField,
)
from tests.codecapp.models import EveryField, Target
from tests.naming import named


def through(codec: FieldCodec, value: Any) -> Any:
    stored = unpackb(packb(codec.encode(value) if codec.encode else value))
    assert codec.wire is None or type(stored) in codec.wire
    return codec.decode(stored) if codec.decode else stored


def field_of(name: str) -> Any:
    return EveryField._meta.get_field(name)


PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (models.BigAutoField(primary_key=True), 2**63 - 1),
        (models.AutoField(primary_key=True), 1),
        (models.SmallAutoField(primary_key=True), 1),
        (models.PositiveBigIntegerField(), 2**64 - 1),
        (models.IntegerField(), 10**30),
        (models.FloatField(), -0.0),
        (models.BooleanField(), True),
        (models.ImageField(), "a.png"),
        (models.DecimalField(), Decimal("-0.00")),
        (models.DecimalField(), Decimal("NaN")),
        (models.BinaryField(), b"\x00"),
        (models.DateField(), dt.date.min),
        (models.DateTimeField(), dt.datetime.max),
        (models.DateTimeField(), dt.datetime(2024, 1, 1, 1, 2, 3, 4, dt.UTC)),
        (models.DateTimeField(), dt.datetime(2024, 1, 1, fold=1)),
        (models.DateTimeField(), dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))),
        (models.DateTimeField(), dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1)),
        (models.DateTimeField(), dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(1 / 3)))),
        (models.TimeField(), dt.time.max),
        (models.TimeField(), dt.time(1, fold=1)),
        (models.TimeField(), dt.time(1, tzinfo=dt.UTC)),
        (models.DurationField(), dt.timedelta.max),
        (models.DurationField(), dt.timedelta.min),
        (models.DurationField(), dt.timedelta(microseconds=-1)),
        (models.UUIDField(), UUID(int=2**128 - 1)),
    ],
    ids=named,
)
def test_value_survives(field: Any, value: Any) -> None:
    codec = codec_for(field)
    assert type(value) in (codec.types or ())
    assert repr(value) == repr(through(codec, value))
    assert not codec.mutable


def test_memoryview_stays_a_memoryview() -> None:
    found = through(codec_for(models.BinaryField()), memoryview(b"x"))
    assert memoryview is type(found)
    assert b"x" == bytes(found)


def test_uuid_is_complete() -> None:
    given = UUID("12345678-1234-5678-1234-567812345678")
    found = through(codec_for(models.UUIDField()), given)
    assert (given, hash(given), given.hex) == (found, hash(found), found.hex)
    assert SafeUUID.unknown is found.is_safe
    with pytest.raises(TypeError):
        found.int = 1


def test_every_built_in_field_is_known() -> None:
    no_column = {"Field", "ForeignObject", "ManyToManyField", "CompositePrimaryKey"}
    inherits = {"OrderWrt"}
    unknown = {
        kind.__name__
        for kind in vars(models).values()
        if isinstance(kind, type)
        and issubclass(kind, models.Field)
        and kind.system_check_removed_details is None
        and codec_fields._builder(kind) is None
    }
    assert set() == unknown - no_column - inherits
    assert "int" == codec_for(models.OrderWrt()).token


def test_foreign_key_is_written_as_its_target() -> None:
    assert "str" == codec_for(field_of("target")).token
    assert "uuid" == codec_for(field_of("target_token")).token
    assert "str" == codec_for(field_of("only")).token
    assert "str" == codec_for(Target._meta.pk).token


def test_generated_field_is_written_as_its_output() -> None:
    assert "int" == codec_for(field_of("doubled")).token


# JSON


@pytest.mark.parametrize(
    "value", [{"a": [1, 10**30, None, {"b": -0.0}]}, [], "text", 5, 1.5, False, [[[]]]]
)
def test_json_survives(value: Any) -> None:
    codec = codec_for(models.JSONField())
    assert repr(value) == repr(through(codec, value))
    assert codec.mutable


@pytest.mark.parametrize("value", [{1: 2}, [{1}], ["\ud800"]])
def test_json_refuses_what_json_does_not_load(value: Any) -> None:
    with pytest.raises(Unrepresentable):
        through(codec_for(models.JSONField()), value)


def test_json_with_a_decoder_is_raw() -> None:
    assert codec_for(models.JSONField(decoder=ColourDecoder)) is codec_fields.RAW


# Fields of a project


def test_subclass_that_loads_alike_uses_its_base() -> None:
    assert codec_for(models.CharField()) is codec_for(UpperCharField())


@pytest.mark.parametrize("field", ["colour", "tags"])
def test_what_loads_in_its_own_way_is_raw(field: str) -> None:
    assert codec_for(field_of(field)) is codec_fields.RAW


def exactly(value: Any) -> Any:
    return type(value), value


def test_overriding_any_loading_method_is_raw() -> None:
    class OtherType(models.CharField):  # type: ignore[type-arg]
        def get_internal_type(self) -> str:
            return "TextField"

    class OtherConverters(models.IntegerField):  # type: ignore[type-arg]
        def get_db_converters(self, connection: Any) -> list[Any]:
            return []

    of_itself: Any = models.TextField()
    of_itself.from_db_value = lambda value, expression, connection: value
    for field in (OtherType(), OtherConverters(), ColourField(), TagsField(), of_itself):
        assert codec_for(field).raw


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_fields, "_registered", {})


@pytest.mark.usefixtures("registry")
def test_registered_field_survives() -> None:
    class LoadsAlike(PointField):
        pass

    codec = FieldCodec("point:1", frozenset({Point}), list, lambda pair: Point(*pair))
    register_field(PointField, codec)
    assert codec is codec_for(PointField())
    assert codec is codec_for(LoadsAlike())
    assert exactly(Point(1, 2)) == exactly(through(codec, Point(1, 2)))


@pytest.mark.usefixtures("registry")
def test_registered_codec_replaces_a_built_in() -> None:
    codec = FieldCodec("exact", None, lambda value: [plain(value)], lambda stored: stored[0])
    register_field(models.CharField, codec)
    assert codec is codec_for(models.CharField())


@pytest.mark.usefixtures("registry")
def test_register_field_refuses_other_things() -> None:
    with pytest.raises(ConfigError, match="field class first"):
        register_field(int, COLUMNS[models.IntegerField])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="FieldCodec second"):
        register_field(PointField, str)  # type: ignore[arg-type]


# PostgreSQL


def test_array_refuses_elements_of_another_type() -> None:
    postgres = pytest.importorskip("django.contrib.postgres.fields")
    codec = codec_for(postgres.ArrayField(models.IntegerField()))
    assert [1, None] == through(codec, [1, None])
    for wrong in (["a"], [[1]], [True]):
        with pytest.raises(Unrepresentable, match="array element"):
            through(codec, wrong)


def test_array_token_holds_its_base() -> None:
    postgres = pytest.importorskip("django.contrib.postgres.fields")
    field = postgres.ArrayField(postgres.ArrayField(models.DateField()))
    assert "array(array(date))" == codec_for(field).token
    assert [[dt.date.max]] == through(codec_for(field), [[dt.date.max]])
