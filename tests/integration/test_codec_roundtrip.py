"""A round trip through the codec equals a round trip through the database, field by field."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, models

from ormcache.codec.rows import RowCodec
from ormcache.reads.select import as_loaded
from tests.codecapp.fields import Colour
from tests.codecapp.models import EveryField, Target

POSTGRES = os.environ.get("ORMCACHE_TEST_DB") == "postgres"
SQLITE = os.environ.get("ORMCACHE_TEST_DB", "sqlite") == "sqlite"

pytestmark = pytest.mark.django_db

TOKEN = UUID("00000000-0000-0000-0000-00000000ffff")
UNICODE = "naïve ☃ 𝄞 \u202e\t\r\n 'quoted' \\ %s"

VALUES: dict[str, list[Any]] = {
    "small": [-(2**15), 0, 2**15 - 1],
    "integer": [-(2**31) // 2, 0, 2**31 // 2 - 1],
    "big": [-(2**63), -1, 2**63 - 1],
    "positive_small": [0, 2**15 - 1],
    "positive": [0, 2**31 - 1],
    "positive_big": [0, 2**63 - 1],
    "decimal": [
        Decimal("1"),
        Decimal("1.0000"),
        Decimal("-0.0001"),
        Decimal("99999999999.9999"),
        Decimal("0"),
        Decimal("1E+3"),
    ],
    "real": [0.0, -0.0, 0.1, 1.0, 5e-324, 1.7976931348623157e308, -1.5],
    "boolean": [True, False],
    "char": ["", "plain", UNICODE],
    "size": [EveryField.Size.SMALL, EveryField.Size.LARGE],
    "level": [EveryField.Level.LOW, EveryField.Level.HIGH],
    "text": ["", UNICODE, "x" * 70_000],
    "slug": ["a-slug"],
    "email": ["someone@example.org"],
    "url": ["https://example.org/?q=ü"],
    "path": ["/var/tmp"],
    "address": ["192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1"],
    "binary": [b"", b"\x00\xff" * 50, memoryview(b"view")],
    "date": [dt.date(1000, 1, 1), dt.date(2024, 2, 29), dt.date.max],
    "time": [dt.time.min, dt.time.max, dt.time(12, 30)],
    "datetime": [
        dt.datetime(1000, 1, 2, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=dt.UTC),
        dt.datetime(2024, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=dt.UTC),
    ],
    "duration": [
        dt.timedelta(),
        dt.timedelta(microseconds=-1),
        dt.timedelta(days=40_000, seconds=5, microseconds=7),
        dt.timedelta(days=-40_000, microseconds=7),
    ],
    "token": [TOKEN, UUID(int=0), UUID(int=2**128 - 1)],
    "json": [
        {},
        [],
        "text",
        1,
        -1.5,
        True,
        {"a": [1, {"b": [None, False, UNICODE]}], UNICODE: {"": 0}},
        {"big": [2**53 + 1, 2**63 - 1, -(2**63)]},
    ],
    "json_custom": [
        {"plain": [1, None]},
        {"a": [Colour.RED, {"b": Colour.BLUE}]},
        Colour.RED,
    ],
    "file": ["", "uploads/report ü.pdf"],
    "target_id": ["a code"],
    "target_token_id": [TOKEN],
    "only_id": ["a code"],
    "upper": ["abc"],
    "colour": [Colour.RED, Colour.BLUE],
    "tags": [("a",), ("a", "ü", "c")],
}
if SQLITE or POSTGRES:
    # Dates before the year 1000 and infinities are outside MariaDB's documented ranges.
    VALUES["date"].append(dt.date.min)
    VALUES["datetime"].append(dt.datetime(1, 1, 2, tzinfo=dt.UTC))
    VALUES["real"] += [float("inf"), float("-inf")]
    VALUES["json"].append({"big": [2**64 - 1, 2**64, 10**40, -(10**40)]})
if POSTGRES:
    VALUES["real"].append(float("nan"))
    VALUES["duration"] += [dt.timedelta(days=999_999_999), dt.timedelta(days=-999_999_999)]

POSTGRES_VALUES: dict[str, list[Any]] = {
    "integers": [[], [1, None, -(2**31)]],
    "texts": [[], ["", None, UNICODE, "NULL", '"{},']],
    "matrix": [[], [[1, 2], [None, 2**63 - 1]]],
    "decimals": [[Decimal("1.500"), None, Decimal("-999999.999")]],
    "moments": [[dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.UTC), None]],
    "tokens": [[TOKEN, None]],
    "blobs": [[b"", b"\x00\xff", None]],
    "documents": [[{"a": [1, None, 10**30]}, "text", None]],
    "addresses": [["192.0.2.1", "2001:db8::1"]],
    "integer_range": [(1, 5), (None, 5), (1, None), (None, None), (3, 3)],
    "big_range": [(-(2**63), 2**63 - 1)],
    "decimal_range": [(Decimal("1.50"), Decimal("2.000")), (None, Decimal("0"))],
    "date_range": [(dt.date(2024, 1, 1), dt.date(2024, 2, 1))],
    "datetime_range": [
        (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, 5, 6, 7, 8, dt.UTC))
    ],
    "ranges": [[(1, 2), None, (None, None)]],
    "store": [{}, {"a": "b", UNICODE: None, "": ""}],
}


def cases(values: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(attname, value, id=f"{attname}-{number}")
        for attname, given in values.items()
        for number, value in enumerate([*given, None])
    ]


def through_database(model: type[models.Model], **values: Any) -> models.Model:
    saved = model(**values)
    saved.save(force_insert=True)
    return model._base_manager.get(pk=saved.pk)


def columns(instance: models.Model) -> list[Any]:
    return [instance.__dict__[field.attname] for field in instance._meta.concrete_fields]


def exactly(value: Any) -> Any:
    """What tells two values apart where == does not: type, scale, sign of zero, NaN, zone."""
    return type(value), bytes(value) if isinstance(value, memoryview) else repr(value)


def given_by_driver(instance: models.Model, column: str) -> Any:
    """What stands in a cell for a field that converts in its own way."""
    quote = connection.ops.quote_name
    meta = instance._meta
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {quote(column)} FROM {quote(meta.db_table)} "
            f"WHERE {quote(str(meta.pk.column))} = %s",
            [instance.pk],
        )
        return cursor.fetchone()[0]


def assert_same_through_codec(loaded: models.Model) -> None:
    fields = loaded._meta.concrete_fields
    codec = RowCodec(fields)
    stored = columns(loaded)
    for position in codec.raw:
        stored[position] = given_by_driver(loaded, str(fields[position].column))
    names = tuple(field.attname for field in fields)
    decoded = codec.decode(codec.encode(stored))
    decoded = list(as_loaded(type(loaded), names, codec.raw, decoded, "default"))
    expected = {field.attname: exactly(loaded.__dict__[field.attname]) for field in fields}
    assert expected == {
        field.attname: exactly(value) for field, value in zip(fields, decoded, strict=True)
    }
    rebuilt = type(loaded).from_db("default", [field.attname for field in fields], decoded)
    assert expected == {name: exactly(rebuilt.__dict__[name]) for name in expected}


@pytest.mark.parametrize(("attname", "value"), cases(VALUES))
def test_field_survives(attname: str, value: Any) -> None:
    Target.objects.create(code="a code", token=TOKEN)
    loaded = through_database(EveryField, **{attname: value})
    assert value is None or loaded.__dict__[attname] is not None
    assert_same_through_codec(loaded)


@pytest.mark.skipif(not POSTGRES, reason="about PostgreSQL only")
@pytest.mark.parametrize(("attname", "value"), cases(POSTGRES_VALUES))
def test_postgres_field_survives(attname: str, value: Any) -> None:
    from tests.codecapp.models import EveryPostgresField

    assert_same_through_codec(through_database(EveryPostgresField, **{attname: value}))


def test_generated_column_survives() -> None:
    loaded = through_database(EveryField, integer=21)
    assert 42 == loaded.__dict__["doubled"]
    assert_same_through_codec(loaded)


def test_every_column_at_once() -> None:
    Target.objects.create(code="a code", token=TOKEN)
    assert_same_through_codec(
        through_database(EveryField, **{name: given[-1] for name, given in VALUES.items()})
    )


def test_every_value_has_its_field() -> None:
    names = {field.attname for field in EveryField._meta.concrete_fields}
    assert names - {"id", "doubled"} == set(VALUES)


def test_text_key_survives() -> None:
    assert_same_through_codec(through_database(Target, code=UNICODE[:10], token=TOKEN))


@pytest.mark.skipif(not SQLITE, reason="only SQLite stores any type in any column")
def test_column_of_another_type_is_refused() -> None:
    from ormcache.exceptions import Unrepresentable

    row = EveryField.objects.create(integer=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE codecapp_everyfield SET integer = 'abc' WHERE id = %s", [row.pk])
    loaded = EveryField.objects.get(pk=row.pk)
    with pytest.raises(Unrepresentable, match="integer: str is not what its field loads as"):
        RowCodec(loaded._meta.concrete_fields).encode(columns(loaded))
