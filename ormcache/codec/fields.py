"""Which exact encoding the values of a Django field have.

The values are those in ``instance.__dict__`` right after Django loaded the row. ``codec_for``
answers for every built-in field, for subclasses that load as their base does, and for any
other field by checking each value's way there and back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

from django.db import models

from ormcache.codec.columns import COLUMNS, Convert, FieldCodec
from ormcache.codec.values import plain
from ormcache.exceptions import ConfigError, Corrupt, Unrepresentable

__all__ = ["AnyField", "FieldCodec", "codec_for", "register_field"]

# A string, since Django's fields are generic in their stubs only.
AnyField: TypeAlias = "models.Field[Any, Any]"
Builder = Callable[[AnyField], FieldCodec]

_registered: dict[type, FieldCodec] = {}

# What decides the Python value that a field's column loads as.
_LOADING = (
    "from_db_value",
    "to_python",
    "get_internal_type",
    "get_db_converters",
    "db_converters",
)


def codec_for(field: AnyField) -> FieldCodec:
    """The codec of ``field``; raises Unrepresentable when its values have no exact encoding."""
    kind = type(field)
    for base in kind.__mro__:
        build = _builder(base)
        if build is not None and _loads_alike(kind, base):
            return build(field)
        if build is not None:
            break
    return _custom(field)


def register_field(field_class: type[AnyField], codec: FieldCodec) -> None:
    """Use ``codec`` for fields of ``field_class`` and subclasses that load as it does.

    Call it before the first row of such a field is cached, e.g. in ``AppConfig.ready``.
    Raises ConfigError for anything that is no field class or no codec.
    """
    is_field = isinstance(field_class, type) and issubclass(field_class, models.Field)  # type: ignore[redundant-expr]
    if not is_field:
        raise ConfigError(f"register_field() takes a field class first, not {field_class!r}.")
    if not isinstance(codec, FieldCodec):
        raise ConfigError(f"register_field() takes a FieldCodec second, not {codec!r}.")
    _registered[field_class] = codec


def _builder(kind: type) -> Builder | None:
    codec = _registered.get(kind) or COLUMNS.get(kind)
    if codec is not None:
        return lambda field: codec
    return _BUILDERS.get(f"{kind.__module__}.{kind.__qualname__}")


def _loads_alike(kind: type, base: type) -> bool:
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in _LOADING)


# Columns that depend on the field's options


def _related(field: Any) -> FieldCodec:
    return codec_for(field.target_field)


def _generated(field: Any) -> FieldCodec:
    return codec_for(field.output_field)


_JSON = frozenset({bool, int, float, str, list, dict})


def _json(field: Any) -> FieldCodec:
    if field.decoder is None:
        return FieldCodec("json", _JSON, plain, wire=_JSON, mutable=True)
    decoder = field.decoder
    return _checked(
        f"json:{_path(field.encoder or json.JSONEncoder)}:{_path(decoder)}",
        lambda value: json.dumps(value, cls=field.encoder),
        lambda text: json.loads(text, cls=decoder),
    )


_LIST = frozenset({list})
_NULL = frozenset({type(None)})


def _array(field: Any) -> FieldCodec:
    base = codec_for(field.base_field)
    types = None if base.types is None else base.types | _NULL
    wire = None if base.wire is None else base.wire | _NULL

    def encode(values: list[Any]) -> list[Any]:
        if types is not None and not types.issuperset(map(type, values)):
            raise Unrepresentable("an array element is not what its field loads as")
        return _mapped(base.encode, values)

    def decode(values: list[Any]) -> list[Any]:
        if wire is not None and not wire.issuperset(map(type, values)):
            raise Corrupt("an array element is not how its field is written")
        return _mapped(base.decode, values)

    return FieldCodec(f"array({base.token})", _LIST, encode, decode, _LIST, mutable=True)


def _mapped(convert: Convert | None, values: list[Any]) -> list[Any]:
    if convert is None:
        return values
    return [None if value is None else convert(value) for value in values]


def _range(field: Any) -> FieldCodec:
    kinds = frozenset({field.range_type})
    return FieldCodec("range", kinds, plain, wire=kinds)


_DICT = frozenset({dict})
_TEXT_OR_NULL = frozenset({str, type(None)})


def _hstore(field: Any) -> FieldCodec:
    return FieldCodec("hstore", _DICT, _hstore_items, _hstore_items, _DICT, mutable=True)


def _hstore_items(value: dict[Any, Any]) -> dict[Any, Any]:
    if not {str}.issuperset(map(type, value)):
        raise TypeError("an hstore key is no str")
    if not _TEXT_OR_NULL.issuperset(map(type, value.values())):
        raise TypeError("an hstore value is neither str nor None")
    return value


# By name, because importing the PostgreSQL fields requires a driver.
_BUILDERS: dict[str, Builder] = {
    "django.db.models.fields.related.ForeignKey": _related,
    "django.db.models.fields.related.OneToOneField": _related,
    "django.db.models.fields.generated.GeneratedField": _generated,
    "django.db.models.fields.json.JSONField": _json,
    "django.contrib.postgres.fields.array.ArrayField": _array,
    "django.contrib.postgres.fields.hstore.HStoreField": _hstore,
    "django.contrib.postgres.fields.ranges.IntegerRangeField": _range,
    "django.contrib.postgres.fields.ranges.BigIntegerRangeField": _range,
    "django.contrib.postgres.fields.ranges.DecimalRangeField": _range,
    "django.contrib.postgres.fields.ranges.DateTimeRangeField": _range,
    "django.contrib.postgres.fields.ranges.DateRangeField": _range,
}


# Fields nobody described


def _custom(field: Any) -> FieldCodec:
    def to_text(value: Any) -> Any:
        return field.value_to_string(SimpleNamespace(**{field.attname: value}))

    return _checked(f"custom:{_path(type(field))}", to_text, field.to_python)


def _checked(token: str, to_text: Convert, from_text: Convert) -> FieldCodec:
    """Exact where ``plain`` is; else through text, read back and compared at every encode.

    A list of one is the value itself, a str the text.
    """

    def encode(value: Any) -> Any:
        try:
            return [plain(value)]
        except Unrepresentable as reason:
            text = to_text(value)
            if type(text) is str and same(value, from_text(text)):
                return text
            raise Unrepresentable(f"{reason}, and its text does not give it back") from None

    def decode(stored: Any) -> Any:
        if type(stored) is str:
            return from_text(stored)
        (value,) = stored
        return value

    return FieldCodec(token, None, encode, decode, frozenset({list, str}), mutable=True)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, inside lists, tuples and dicts too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
