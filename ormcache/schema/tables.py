"""What a model looks like to the cache: its tables, their columns and codecs, its options."""

from __future__ import annotations

import hashlib
import operator
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import django
from django.conf import settings
from django.db import connections, models

from ormcache import interrupts
from ormcache.codec.fields import is_registered
from ormcache.codec.rows import RowCodec
from ormcache.codec.values import extension_digest
from ormcache.digest import code_digest, field_digest
from ormcache.exceptions import Uncacheable, Unrepresentable
from ormcache.modelset import forget_with_models, version
from ormcache.schema.conversions import is_selected_plainly, stores_plainly
from ormcache.schema.options import enrolment_of
from ormcache.schema.partitions import (
    TEXTS,
    Scheme,
    final_target,
    integer_range,
    partitions,
    scheme,
)

T = TypeVar("T")

_INTEGERS = (models.IntegerField, models.AutoField)
_TABLE, _SCHEMA = "_ormcache_table", "_ormcache_schema"


@dataclass(frozen=True, slots=True)
class Table:
    """One database table whose rows are cells.

    ``positions`` maps a column to its place in the row; ``volatile`` holds the columns the
    database computes, which may change with any other.
    """

    name: str
    model: type[models.Model]
    fields: tuple[Any, ...]
    codec: RowCodec
    fingerprint: bytes
    pk: Any
    pk_column: str
    pk_type: type
    lowest_pk: int
    highest_pk: int
    """Of integers, those the column can hold: for any other Django asks nothing."""
    positions: dict[str, int]
    generated: frozenset[str]
    scheme: Scheme
    loose_text_scheme: Scheme
    plain: frozenset[str]
    """The columns of which it is known what a value that is sent becomes."""

    def scheme_on(self, vendor: str) -> Scheme:
        """The partitions that count on a database of this kind. MySQL compares text loosely."""
        return self.loose_text_scheme if vendor == "mysql" else self.scheme

    def normalise(self, pk: object) -> Any:
        """``pk`` as the row's key; ``None`` when it is not surely what the database compares."""
        if type(pk) is self.pk_type:
            return pk
        if self.pk_type is str or pk is None or isinstance(pk, bool | float):
            return None
        try:
            value = self.pk.to_python(pk)
        except Exception as error:
            interrupts.pass_on(error)
            return None
        return value if type(value) is self.pk_type else None


@dataclass(frozen=True, slots=True)
class Schema:
    """A concrete model as rows: its own table last, those of its parents before it.

    ``sources`` says for each concrete field, in Django's order, which table and position its value
    stands at.
    """

    model: type[models.Model]
    tables: tuple[Table, ...]
    attnames: tuple[str, ...]
    sources: tuple[tuple[int, int], ...]
    mutable: bool
    raw: tuple[int, ...]
    """The positions of values that stand in a row as the driver gave them."""
    pk_position: int

    @property
    def table(self) -> Table:
        return self.tables[-1]

    @property
    def is_single(self) -> bool:
        return len(self.tables) == 1


def is_cached(model: type[models.Model]) -> bool:
    """Whether ``model`` is a CachedModel (marked so by the class itself: no import upwards), or
    enrolled as one."""
    return bool(getattr(model, "_ormcache_cached", False)) or enrolment_of(model) is not None


def schema_of(model: type[models.Model]) -> Schema:
    """The schema of a CachedModel.

    Raises ``Uncacheable`` when its rows cannot be cells; the reason is what the check prints.
    Whether anybody watches its tables is another question: see ``schema.watched``.
    """
    current = version()
    kept = model._meta.__dict__.get(_SCHEMA)
    if kept is None or kept[0] != current:
        # With the model, which would not be let go as the key of a memo.
        kept = model._meta.__dict__[_SCHEMA] = (current, _schema(model))
    found: Schema | str = kept[1]
    if isinstance(found, str):
        raise Uncacheable(found)
    return found


def _schema(model: type[models.Model]) -> Schema | str:
    """The schema, or the reason why there is none."""
    if not is_cached(model):
        return f"{model._meta.label} is no CachedModel"
    try:
        return _understood(_examine, model._meta.concrete_model or model)
    except Uncacheable as error:
        return error.reason


def table_of(model: type[models.Model]) -> Table:
    """The table of a model's own columns (not those of its parents). Raises ``Uncacheable``.

    Kept with the model, while its fields and what the site makes of values are the same: what
    other models appear changes nothing.
    """
    meta: Any = model._meta
    fields = meta.local_concrete_fields
    kept: tuple[str, Table] | None = meta.__dict__.get(_TABLE)
    if (
        kept is None
        or kept[0] != loading()
        or len(kept[1].fields) != len(fields)
        or not all(map(operator.is_, kept[1].fields, fields))
    ):
        made = _understood(_make_table, model)
        kept = meta.__dict__[_TABLE] = (loading(), made)
    return kept[1]


def forget_table(model: type[models.Model]) -> None:
    """The options of a model changed."""
    model._meta.__dict__.pop(_TABLE, None)


def _understood(examine: Callable[[Any], T], model: type[models.Model]) -> T:
    """Raises ``Uncacheable`` whatever is wrong with the model: writes to every other table ask
    for its table, too."""
    try:
        return examine(model)
    except Uncacheable:
        raise
    except Exception as error:
        interrupts.pass_on(error)
        raise Uncacheable(f"{model._meta.label} is not understood: {error!r}") from error


def _make_table(model: type[models.Model]) -> Table:
    meta: Any = model._meta
    pk = meta.pk
    fields = tuple(meta.local_concrete_fields)
    for item in fields:
        if isinstance(item, models.ForeignKey):
            final_target(item)
        if not is_selected_plainly(item):
            raise Uncacheable(f"{item} is selected in a way of its own")
    try:
        codec = RowCodec(fields)
    except Unrepresentable as error:
        raise Uncacheable(f"a field has no exact encoding: {error}") from error
    shape = [meta.db_table, codec.token, loading()]
    # What the driver gives of a column follows from how it is selected, too.
    shape += [
        f"{item.attname}|{item.column}|{code_digest(type(item).select_format)}" for item in fields
    ]
    # A row holds what a registered field loads, and what any other is given.
    shape += [field_digest(item) for item in fields if any(map(is_registered, type(item).__mro__))]
    found = tuple(partitions(model, fields))
    key = final_target(pk)
    pk_type = _pk_type(model)
    lowest, highest = integer_range(key) if pk_type is int else (0, 0)
    return Table(
        name=meta.db_table,
        model=model,
        fields=fields,
        codec=codec,
        fingerprint=hashlib.blake2b("\n".join(shape).encode(), digest_size=8).digest(),
        pk=key,
        pk_column=pk.column,
        pk_type=pk_type,
        lowest_pk=lowest,
        highest_pk=highest,
        positions={item.column: i for i, item in enumerate(fields)},
        generated=frozenset(item.column for item in fields if item.generated),
        scheme=scheme(found),
        loose_text_scheme=scheme(tuple(each for each in found if each.kind is not str)),
        plain=frozenset(item.column for item in fields if stores_plainly(item)),
    )


@cache
def loading() -> str:
    """What values are loaded as, as far as the site decides: a deployment that changes it shares
    no rows and lists of values with the one before."""
    zones = sorted(
        (alias, str(options["TIME_ZONE"]))
        for alias, options in connections.settings.items()
        if options.get("TIME_ZONE")
    )
    zone = "" if settings.USE_TZ else settings.TIME_ZONE
    driver = "psycopg" if find_spec("psycopg") else ""
    return repr((django.VERSION[:2], settings.USE_TZ, zone, zones, driver, extension_digest()))


forget_with_models(loading.cache_clear)


def _examine(model: type[models.Model]) -> Schema | str:
    meta: Any = model._meta
    chain = _pk_chain(model)
    if chain is None:
        return (
            f"{meta.label} inherits from several tables that do not share its primary key; "
            "its rows are read from the database"
        )
    try:
        tables = tuple(table_of(each) for each in chain)
    except Uncacheable as error:
        return error.reason
    number = {table.model: i for i, table in enumerate(tables)}
    sources = []
    for item in meta.concrete_fields:
        table = number[item.model._meta.concrete_model]
        sources.append((table, tables[table].positions[item.column]))
    attnames = tuple(item.attname for item in meta.concrete_fields)
    return Schema(
        model=model,
        tables=tables,
        attnames=attnames,
        sources=tuple(sources),
        mutable=any(table.codec.mutable for table in tables),
        raw=tuple(i for i, (table, at) in enumerate(sources) if at in tables[table].codec.raw),
        pk_position=attnames.index(meta.pk.attname),
    )


def _pk_chain(model: type[models.Model]) -> list[type[models.Model]] | None:
    """The model's tables from the root down, when all share one primary key value."""
    chain = [model]
    owners = {item.model._meta.concrete_model for item in model._meta.concrete_fields}
    while True:
        pk: Any = chain[0]._meta.pk
        parent = pk.remote_field.model if pk.remote_field and pk.remote_field.parent_link else None
        if parent is None:
            break
        chain.insert(0, parent._meta.concrete_model)
    return chain if owners <= set(chain) else None


def _pk_type(model: type[models.Model]) -> type:
    """The Python type that names a row of the model without ambiguity.

    Two spellings of one key (1.0 and 1.00, "A" and "a" under a collation) would be two cells of
    one row, so only types whose equality is the database's are accepted.
    """
    pk: Any = model._meta.pk
    if pk is None or not getattr(pk, "column", None):
        raise Uncacheable(f"{model._meta.label} has a composite primary key")
    target = final_target(pk)
    if hasattr(target, "from_db_value"):
        raise Uncacheable(f"the primary key of {model._meta.label} has a from_db_value of its own")
    if not stores_plainly(pk):
        raise Uncacheable(
            f"the primary key of {model._meta.label} converts values in a way of its own"
        )
    if isinstance(target, _INTEGERS):
        return int
    if isinstance(target, models.UUIDField):
        return uuid.UUID
    if type(target) in TEXTS and not getattr(target, "db_collation", None):
        return str
    raise Uncacheable(
        f"the primary key of {model._meta.label} is a {type(target).__name__}; only integer, UUID "
        "and plain text keys name a row without ambiguity"
    )
