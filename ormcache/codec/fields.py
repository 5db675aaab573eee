"""Which exact encoding the values of a Django field have.

The values are those in ``instance.__dict__`` right after Django loaded the row, for every built-in
field and for subclasses that load as their base does; for any other field those the driver gave.
"""

from __future__ import annotations

from collections.abc import Callable
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
    "select_format",
)


def codec_for(field: AnyField) -> FieldCodec:
    """The codec of ``field``; raises Unrepresentable when its values have no exact encoding."""
    kind = type(field)
    for base in kind.__mro__:
        build = _builder(base)
        if build is not None:
            return build(field) if _loads_alike(field, base) else RAW
    return RAW


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


def is_registered(kind: type) -> bool:
    """Whether a project has said how the values a field class loads are written."""
    return kind in _registered


def _loads_alike(field: Any, base: type) -> bool:
    kind, own = type(field), vars(field)
    return all(
        getattr(kind, name, None) is getattr(base, name, None) and _is_django(own.get(name))
        for name in _LOADING
    )


def _is_django(method: Any) -> bool:
    """Whether a method of an instance is Django's, as that of an array, or is not there."""
    return method is None or method.__module__.startswith("django.")


# Columns that depend on the field's options


def _related(field: Any) -> FieldCodec:
    return codec_for(field.target_field)


def _generated(field: Any) -> FieldCodec:
    return codec_for(field.output_field)


_JSON = frozenset({bool, int, float, str, list, dict})


def _json(field: Any) -> FieldCodec:
    if field.decoder is None:
        return FieldCodec("json", _JSON, plain, wire=_JSON, mutable=True)
    return RAW


_LIST = frozenset({list})
_NULL = frozenset({type(None)})


def _array(field: Any) -> FieldCodec:
    base = codec_for(field.base_field)
    if base.raw:
        return RAW
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


# A conversion of a project's own may depend on anything: the language, the tenant, a key. So it
# runs at each load, as it does without a cache; written is what the driver gave.
RAW = FieldCodec("raw", None, plain, mutable=True, raw=True)
