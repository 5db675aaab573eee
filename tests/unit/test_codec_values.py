"""Self-describing values: exact, injective, and safe to read from a hostile store."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import ipaddress
import itertools
import math
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from ormcache.codec import values
from ormcache.codec.values import pack, unpack
from ormcache.exceptions import Corrupt, Unrepresentable
from tests.naming import named

PARIS = ZoneInfo("Europe/Paris")
NAMED = dt.timezone(dt.timedelta(hours=1), "a|name,ü")

# No two are the same value of the same type, though Python calls many of them equal.
DISTINCT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    2**64,
    -(2**63) - 1,
    10**50,
    -(10**50),
    0.0,
    -0.0,
    1.0,
    math.inf,
    -math.inf,
    "",
    "1",
    "naïve ☃ 𝄞",
    "\x00",
    b"",
    b"1",
    b"\xff\x00",
    memoryview(b""),
    memoryview(b"1"),
    Decimal("1"),
    Decimal("1.0"),
    Decimal("1.00"),
    Decimal("0"),
    Decimal("-0"),
    Decimal("0E+3"),
    Decimal("1E+400"),
    Decimal("Infinity"),
    dt.datetime(2024, 1, 1),
    dt.datetime(2024, 1, 1, fold=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "Z")),
    dt.datetime(2024, 1, 1, tzinfo=PARIS),
    dt.datetime(2024, 1, 1, tzinfo=PARIS, fold=1),
    dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2024, 1, 1, 1, tzinfo=NAMED),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(-dt.timedelta(hours=1, microseconds=3))),
    dt.datetime.min,
    dt.datetime.max,
    dt.date(2024, 1, 1),
    dt.date.min,
    dt.date.max,
    dt.time(),
    dt.time(fold=1),
    dt.time.max,
    dt.time(tzinfo=dt.UTC),
    dt.time(1, tzinfo=PARIS),
    dt.timedelta(),
    dt.timedelta(microseconds=-1),
    dt.timedelta.min,
    dt.timedelta.max,
    UUID(int=0),
    UUID(int=2**128 - 1),
    ipaddress.IPv4Address("10.0.0.1"),
    ipaddress.IPv6Address("::ffff:10.0.0.1"),
    ipaddress.IPv6Address("fe80::1%eth0"),
    ipaddress.IPv4Network("10.0.0.0/8"),
    ipaddress.IPv6Network("2001:db8::/32"),
    ipaddress.IPv4Interface("10.0.0.1/8"),
    ipaddress.IPv4Interface("10.0.0.1/32"),
    ipaddress.IPv6Interface("2001:db8::1/32"),
    [],
    (),
    {},
    [1],
    [True],
    [1.0],
    (1,),
    [(1,)],
    ([1],),
    ((1,),),
    ((), ()),
    [[], []],
    {"a": 1},
    {"a": (1,)},
    {"a": None},
    {"a": {}},
    [2**64],
    (Decimal("1"), "x", None),
]


def exactly(value: Any) -> Any:
    return type(value), bytes(value) if isinstance(value, memoryview) else repr(value)


@pytest.mark.parametrize("value", DISTINCT, ids=named)
def test_round_trip(value: Any) -> None:
    assert exactly(value) == exactly(unpack(pack(value)))


def test_distinct_values_never_share_bytes() -> None:
    assert len(DISTINCT) == len({pack(value) for value in DISTINCT})


def test_distinct_values_never_share_bytes_inside_containers() -> None:
    pairs = [list(pair) for pair in itertools.product(DISTINCT, repeat=2)]
    assert len(pairs) == len({pack(pair) for pair in pairs})


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "NaN123"])
def test_decimal_nan(text: str) -> None:
    assert text == str(unpack(pack(Decimal(text))))


def test_float_nan() -> None:
    assert math.isnan(unpack(pack(float("nan"))))


def test_dict_keeps_its_order() -> None:
    assert ["b", "a"] == list(unpack(pack({"b": 1, "a": 2})))


def test_safe_text_is_text() -> None:
    safe = mark_safe("<b>")
    assert pack("<b>") == pack(safe)
    assert pack(["<b>", 1]) == pack([safe, 1])
    assert str is type(unpack(pack(safe)))


def test_utc_comes_back_as_the_singleton() -> None:
    assert dt.UTC is unpack(pack(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))).tzinfo


class Row(NamedTuple):
    x: int


class Colour(enum.IntEnum):
    RED = 1


class Letter(enum.StrEnum):
    A = "a"


class Zone(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    dst = utcoffset

    def tzname(self, moment: dt.datetime | None) -> str:
        return "UTC"


class Range:
    """Borrows the name of psycopg's."""

    _bounds, _lower, _upper = "[)", 1, 2


Range.__module__ = "psycopg.types.range"


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        {1},
        frozenset(),
        bytearray(b"x"),
        Row(1),
        Colour.RED,
        Letter.A,
        OrderedDict(a=1),
        {1: 1},
        {b"a": 1},
        {mark_safe("a"): 1},
        "\ud800",
        {"\ud800": 1},
        dt.datetime(2024, 1, 1, tzinfo=Zone()),
        ZoneInfo("UTC"),
        memoryview(b"abcd").cast("I"),
        memoryview(b"abcd").cast("B", (2, 2)),
        msgpack.ExtType(4, b"1"),
        msgpack.Timestamp(1, 0),
        int,
        range(3),
        Range(),
    ],
    ids=named,
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: ({"k": v},)])
def test_no_exact_encoding(value: Any, wrap: Any) -> None:
    with pytest.raises(Unrepresentable):
        pack(wrap(value))


def nested(kind: type, depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = kind([value])
    return value


@pytest.mark.parametrize(("kind", "depth"), [(list, 64), (tuple, 16)])
def test_nesting_up_to_the_limit(kind: type, depth: int) -> None:
    deep = nested(kind, depth)
    assert deep == unpack(pack(deep))


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_nesting_past_the_limit(kind: type, depth: int) -> None:
    with pytest.raises(Unrepresentable, match="too deep"):
        pack(nested(kind, depth))


# Numbers and memoryviews: any bytes are one, or fail only by their size.
ANY_BYTES = {values.BIG_INT, 6, 8, 10}


def hostile() -> Iterator[Any]:
    tuples = b"\xc0"
    for _ in range(10_000):
        tuples = msgpack.packb(msgpack.ExtType(values.TUPLE, b"\x91" + tuples))
    yield pytest.param(tuples, id="deep extensions")
    yield pytest.param(b"\x91" * 100_000, id="deep lists")
    yield pytest.param(b"\x81\xa1a" * 100_000, id="deep dicts")
    yield pytest.param(b"\xdd\xff\xff\xff\xff", id="huge list")
    yield pytest.param(b"\xdf\xff\xff\xff\xff", id="huge dict")
    yield pytest.param(b"\xdb\xff\xff\xff\xff", id="huge text")
    yield pytest.param(b"\xc9\xff\xff\xff\xff\x04", id="huge extension")
    yield pytest.param(b"", id="empty")
    yield pytest.param(b"\xc0\xc0", id="two values")
    yield pytest.param(b"\xc1", id="reserved byte")
    yield pytest.param(b"\xa1\xff", id="not UTF-8")
    yield pytest.param(b"\x81\x90\xc0", id="list as a key")
    yield pytest.param(b"\x81\x01\xc0", id="number as a key")
    for code in range(128):
        if code in ANY_BYTES:
            continue
        for data in (b"", b"\xff", b"x" * 7, b"[]", b"\x80"):
            yield pytest.param(
                msgpack.packb(msgpack.ExtType(code, data)), id=f"extension {code} {data!r}"
            )
    for parts in ([99, "", None, None], [-1, "", 1, 2], [True, "", 1, 2], [0, "[["], [0, 1, 2, 3]):
        data = msgpack.packb(parts)
        yield pytest.param(msgpack.packb(msgpack.ExtType(values.RANGE, data)), id=f"range {parts}")
    for data in (b"|", b"2024-01-01T00:00:00|0|z../../etc/passwd", b"2024-01-01|9|", b"||o1e9"):
        yield pytest.param(msgpack.packb(msgpack.ExtType(5, data)), id=f"datetime {data!r}")
    yield pytest.param(msgpack.packb(msgpack.ExtType(4, b"1E+9999999999999999999")), id="decimal")
    yield pytest.param(msgpack.packb(msgpack.ExtType(6, b"\x7f" * 99)), id="date")
    yield pytest.param(msgpack.packb(msgpack.ExtType(8, b"\x7f" * 99)), id="timedelta")


@pytest.mark.parametrize("data", list(hostile()))
def test_hostile_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        unpack(data)


@pytest.mark.parametrize("data", [None, 1, "text", [b""]])
def test_anything_but_bytes_is_corrupt(data: Any) -> None:
    with pytest.raises(Corrupt):
        unpack(data)


def test_no_msgpack_class_gets_out() -> None:
    assert 1.0 == unpack(msgpack.packb(msgpack.Timestamp(1, 0)))


def survives(data: bytes) -> None:
    """Decodes or is Corrupt; any other exception fails the test."""
    with contextlib.suppress(Corrupt):
        unpack(data)


@given(st.binary(max_size=200))
def test_fuzz_any_bytes(data: bytes) -> None:
    survives(data)


@given(st.integers(0, 127), st.binary(max_size=60))
def test_fuzz_any_extension(code: int, data: bytes) -> None:
    survives(msgpack.packb(msgpack.ExtType(code, data)))


@given(st.sampled_from(DISTINCT), st.sampled_from(DISTINCT), st.data())
def test_fuzz_damaged_bytes(one: Any, other: Any, data: st.DataObject) -> None:
    packed = bytearray(pack((one, [other])))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(packed[: data.draw(st.integers(0, len(packed)))]))


ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.timezones(),
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=ZONES),
    st.times(timezones=ZONES),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_any_value_survives(value: Any) -> None:
    assert exactly(value) == exactly(unpack(pack(value)))


@given(ANYTHING, ANYTHING)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    assert (exactly(one) == exactly(other)) == (pack(one) == pack(other))


# Ranges of the PostgreSQL drivers


def ranges() -> list[Any]:
    module = pytest.importorskip("psycopg.types.range")
    return [
        module.Range(1, 2),
        module.Range(1, 2, "[]"),
        module.Range(1, 2, "(]"),
        module.Range(True, 2),
        module.Range(None, 2),
        module.Range(None, None),
        module.Range(empty=True),
        module.Range(Decimal("1.0"), Decimal("1.00")),
        module.Range(dt.date(2024, 1, 1), None),
        module.Range(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None),
        module.Int4Range(1, 2),
        module.Int8Range(1, 2),
        module.NumericRange(1, 2),
        module.DateRange(dt.date(2024, 1, 1), None),
        module.TimestampRange(dt.datetime(2024, 1, 1), None),
        module.TimestamptzRange(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None),
    ]


def test_ranges_survive() -> None:
    assert [exactly(value) for value in ranges()] == [
        exactly(unpack(pack(value))) for value in ranges()
    ]


def test_ranges_are_distinct() -> None:
    assert len(ranges()) == len({pack(value) for value in ranges()})


def test_range_of_the_unrepresentable() -> None:
    module = pytest.importorskip("psycopg.types.range")
    with pytest.raises(Unrepresentable):
        pack(module.Range(object(), None))


def test_no_driver_is_imported() -> None:
    code = (
        "import sys, ormcache.codec.rows as rows, ormcache.codec.values as values;"
        "values.pack([1, (2,)]);"
        "print([name for name in sys.modules if 'psycopg' in name or 'postgres' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
