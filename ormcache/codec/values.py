"""Self-describing msgpack for any value a query returns or takes as a parameter.

``pack`` is injective: values that differ in type or value never share bytes, so its output may
stand for the value in a key. Nothing that ``unpack`` reads can run code.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import msgpack
from django.utils.safestring import SafeString

from ormcache import interrupts
from ormcache.codec import extensions as ext
from ormcache.digest import code_digest
from ormcache.exceptions import ConfigError, Corrupt, Unrepresentable

T = TypeVar("T")

MAX_DEPTH = 64
# An extension that holds values costs about 40 kB of C stack to unpack, a list almost nothing;
# sixteen of them fit every thread's stack.
HOLDER_DEPTH = 4
MAX_HOLDERS = MAX_DEPTH // HOLDER_DEPTH

APPLICATION_CODES = range(64, 128)

BIG_INT, TUPLE, RANGE = 1, 2, 3

# A dict or list subclass may carry more than its items, so only the exact types are plain.
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})


class Extension(NamedTuple):
    """One type msgpack does not know: its code and the functions to and from bytes."""

    kind: type
    code: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


_by_type: dict[type, Extension] = {}
_by_code: dict[int, Extension] = {}


def pack(value: object) -> bytes:
    """Encode ``value`` exactly.

    Dicts keep their order, so equal dicts in another order have other bytes.
    Raises Unrepresentable for a type without an exact encoding, subclasses included.
    """
    return packb(plain(value))


def unpack(data: bytes) -> Any:
    """The value that ``pack`` encoded; raises Corrupt for any other bytes."""
    try:
        return unpackb(data)
    except Corrupt:
        raise
    except Exception as error:
        interrupts.pass_on(error)
        raise Corrupt(f"the value does not decode: {error}") from error


def register(
    kind: type[T], code: int, encode: Callable[[T], bytes], decode: Callable[[bytes], T]
) -> None:
    """Teach the codec a project's own type under an application code, 64 to 127.

    ``encode`` must give different bytes for different values, and ``decode`` an instance of
    exactly ``kind``. The code is written into the store: never give it to another type later.
    Raises ConfigError when the type or the code is taken or out of range.
    """
    if not isinstance(kind, type):
        raise ConfigError(f"register() takes a class first, not {kind!r}.")
    if type(code) is not int or code not in APPLICATION_CODES:
        raise ConfigError(f"Extension code {code!r} of {_name(kind)} is not within 64 to 127.")
    if not (callable(encode) and callable(decode)):  # type: ignore[redundant-expr]
        raise ConfigError(f"The encode and decode of {_name(kind)} must be callable.")
    if kind in _ATOMS or kind in _BUILT_IN:
        raise ConfigError(f"{_name(kind)} has a built-in encoding, which cannot be replaced.")
    extension = Extension(kind, code, encode, decode)
    for known in (_by_type.get(kind), _by_code.get(code)):
        # Registering the same twice is what a module imported under two names does.
        if known is not None and known != extension:
            raise ConfigError(
                f"Extension code {code} for {_name(kind)} clashes with code {known.code}, "
                f"registered for {_name(known.kind)}."
            )
    _add(extension)


def extension_digest() -> str:
    """What tells versions of the registered encodings apart."""
    return " ".join(
        f"{code}:{_name(each.kind)}:{code_digest(each.encode)}:{code_digest(each.decode)}"
        for code, each in sorted(_by_code.items())
        if code in APPLICATION_CODES
    )


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as objects that ``packb`` takes; the same object where it needs no change.

    Raises Unrepresentable for a type without an exact encoding.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if depth > MAX_DEPTH:
        raise Unrepresentable("the value is nested too deep")
    if kind is list:
        return _plain_list(value, depth)
    if kind is dict:
        return _plain_dict(value, depth)
    if kind is tuple:
        return _holder(TUPLE, value, depth)
    extension = _by_type.get(kind)
    if extension is not None:
        return msgpack.ExtType(extension.code, _encoded(extension, value))
    if kind is SafeString:
        # Marked as safe or not is no part of a database value.
        return str.__str__(value)
    parts = ext.range_parts(value)
    if parts is not None:
        return _holder(RANGE, parts, depth)
    raise Unrepresentable(f"{_name(kind)} has no exact encoding")


def packb(value: Any) -> bytes:
    """msgpack of what ``plain`` returned; raises Unrepresentable."""
    try:
        return cast(bytes, msgpack.packb(value, strict_types=True, default=_beyond_msgpack))
    except (TypeError, ValueError, OverflowError) as error:
        interrupts.pass_on(error)
        raise Unrepresentable(str(error)) from error


def _plain_list(value: Any, depth: int) -> list[Any]:
    if _ATOMS.issuperset(map(type, value)):
        return cast("list[Any]", value)
    return [plain(item, depth + 1) for item in value]


def _plain_dict(value: dict[Any, Any], depth: int) -> dict[Any, Any]:
    if not {str}.issuperset(map(type, value)):
        raise Unrepresentable("a dict is kept only when every key is a str")
    if _ATOMS.issuperset(map(type, value.values())):
        return value
    return {key: plain(item, depth + 1) for key, item in value.items()}


def _holder(code: int, items: Any, depth: int) -> msgpack.ExtType:
    if depth + HOLDER_DEPTH > MAX_DEPTH:
        raise Unrepresentable("the value is nested too deep")
    return msgpack.ExtType(code, packb([plain(item, depth + HOLDER_DEPTH) for item in items]))


def _encoded(extension: Extension, value: Any) -> bytes:
    try:
        data = extension.encode(value)
    except Unrepresentable:
        raise
    except Exception as error:
        interrupts.pass_on(error)
        raise Unrepresentable(f"{_name(extension.kind)} did not encode: {error}") from error
    if type(data) is not bytes:
        raise Unrepresentable(f"the encoder of {_name(extension.kind)} did not return bytes")
    return data


def _beyond_msgpack(value: Any) -> msgpack.ExtType:
    # msgpack asks here for integers over 64 bits; plain() has stopped every other type.
    if type(value) is int:
        return msgpack.ExtType(BIG_INT, ext.encode_int(value))
    raise Unrepresentable(f"{_name(type(value))} has no exact encoding")


def _opened(level: int, code: int, data: bytes) -> Any:
    if code == TUPLE:
        return tuple(_held(level, data))
    if code == RANGE:
        return ext.range_from(_held(level, data))
    extension = _by_code.get(code)
    if extension is None:
        raise Corrupt(f"extension {code} is not known")
    value = extension.decode(data)
    if type(value) is not extension.kind:
        raise Corrupt(f"extension {code} did not give a {_name(extension.kind)}")
    return value


def _held(level: int, data: bytes) -> list[Any]:
    if level == MAX_HOLDERS:
        raise Corrupt("the value is nested too deep")
    items = msgpack.unpackb(data, ext_hook=_hooks[level + 1], timestamp=1)
    if type(items) is not list:
        raise Corrupt("an extension does not hold a list")
    return items


_hooks = [partial(_opened, level) for level in range(MAX_HOLDERS + 1)]
open_extension = _hooks[0]


def unpackb(data: bytes) -> Any:
    """As ``unpack``, but malformed bytes may raise any Exception.

    msgpack takes its limits from the length of the data. msgpack's own timestamp, which ``pack``
    never writes, is read as a number so that none of its classes gets out.
    """
    return msgpack.unpackb(data, ext_hook=open_extension, timestamp=1)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _add(extension: Extension) -> None:
    _by_type[extension.kind] = extension
    _by_code[extension.code] = extension


for _extension in (
    Extension(int, BIG_INT, ext.encode_int, ext.decode_int),
    Extension(Decimal, 4, *ext.by_text(Decimal)),
    Extension(dt.datetime, 5, ext.encode_datetime, ext.decode_datetime),
    Extension(dt.date, 6, ext.encode_date, ext.decode_date),
    Extension(dt.time, 7, ext.encode_time, ext.decode_time),
    Extension(dt.timedelta, 8, ext.encode_timedelta, ext.decode_timedelta),
    Extension(UUID, 9, ext.encode_uuid, lambda data: UUID(bytes=data)),
    Extension(memoryview, 10, ext.encode_memoryview, memoryview),
    Extension(ipaddress.IPv4Address, 11, *ext.by_text(ipaddress.IPv4Address)),
    Extension(ipaddress.IPv6Address, 12, *ext.by_text(ipaddress.IPv6Address)),
    Extension(ipaddress.IPv4Network, 13, *ext.by_text(ipaddress.IPv4Network)),
    Extension(ipaddress.IPv6Network, 14, *ext.by_text(ipaddress.IPv6Network)),
    Extension(ipaddress.IPv4Interface, 15, *ext.by_text(ipaddress.IPv4Interface)),
    Extension(ipaddress.IPv6Interface, 16, *ext.by_text(ipaddress.IPv6Interface)),
):
    _add(_extension)

_BUILT_IN = frozenset({*_by_type, list, dict, tuple, SafeString})
