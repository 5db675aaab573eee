"""A project's own types in the codec of values."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgpack
import pytest

from ormcache.codec import values
from ormcache.codec.values import pack, register, unpack
from ormcache.exceptions import ConfigError, Corrupt, Unrepresentable


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.cents == other.cents

    def __hash__(self) -> int:
        return hash(self.cents)


def encode_money(value: Money) -> bytes:
    return str(value.cents).encode()


def decode_money(data: bytes) -> Money:
    return Money(int(data))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_by_type", dict(values._by_type))
    monkeypatch.setattr(values, "_by_code", dict(values._by_code))


@pytest.mark.usefixtures("registry")
def test_registered_type_survives() -> None:
    register(Money, 64, encode_money, decode_money)
    register(Money, 64, encode_money, decode_money)
    assert ([Money(5)], {"a": Money(-1)}) == unpack(pack(([Money(5)], {"a": Money(-1)})))


@pytest.mark.usefixtures("registry")
def test_registered_decoder_that_fails_is_corrupt() -> None:
    register(Money, 64, encode_money, decode_money)
    with pytest.raises(Corrupt):
        unpack(msgpack.packb(msgpack.ExtType(64, b"no number")))


@pytest.mark.usefixtures("registry")
def test_registered_decoder_of_another_type_is_corrupt() -> None:
    register(Money, 64, encode_money, int)  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="Money"):
        unpack(pack(Money(5)))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("encode", [lambda value: "text", lambda value: 1 / 0])
def test_registered_encoder_that_fails(encode: Any) -> None:
    register(Money, 64, encode, decode_money)
    with pytest.raises(Unrepresentable, match="Money"):
        pack(Money(5))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("code", [63, 128, -1, 64.0, True, "64"])
def test_register_refuses_other_codes(code: Any) -> None:
    with pytest.raises(ConfigError, match="64 to 127"):
        register(Money, code, encode_money, decode_money)


@pytest.mark.usefixtures("registry")
def test_register_refuses_a_taken_code() -> None:
    register(Money, 64, encode_money, decode_money)
    with pytest.raises(ConfigError, match=r"clashes with code 64, registered for .*Money"):
        register(type(dt), 64, repr, repr)  # type: ignore[arg-type]


@pytest.mark.usefixtures("registry")
def test_register_refuses_a_taken_type() -> None:
    register(Money, 64, encode_money, decode_money)
    with pytest.raises(ConfigError, match=r"code 65 .*clashes with code 64"):
        register(Money, 65, encode_money, decode_money)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("kind", [int, str, tuple, dict, Decimal, dt.datetime, type(None)])
def test_register_refuses_built_in_types(kind: type) -> None:
    with pytest.raises(ConfigError, match="built-in encoding"):
        register(kind, 64, bytes, kind)


@pytest.mark.usefixtures("registry")
def test_register_refuses_what_is_no_class_or_function() -> None:
    with pytest.raises(ConfigError, match="takes a class first"):
        register("Money", 64, encode_money, decode_money)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be callable"):
        register(Money, 64, None, decode_money)  # type: ignore[arg-type]
