"""What a model looks like to the cache: its tables, their columns and codecs, its options."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings
from django.db import connections, models

from ormcache.codec.rows import RowCodec
from ormcache.codec.values import extension_digest
from ormcache.conversions import stores_plainly
from ormcache.digest import code_digest
from ormcache.exceptions import Uncacheable, Unrepresentable
from ormcache.partitions import TEXTS, Roster, final_target, partitions, roster

_INTEGERS = (models.IntegerField, models.AutoField)


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
    positions: dict[str, int]
    generated: frozenset[str]
    roster: Roster
    loose_text_roster: Roster
    plain: frozenset[str]
    """The columns of which it is known what a value that is sent becomes."""
    is_link: bool
    """Whether it does nothing but link the rows of two tables: an automatic many-to-many one."""

    def roster_on(self, vendor: str) -> Roster:
        """The partitions that count on a database of this kind. MySQL compares text loosely."""
        return self.loose_text_roster if vendor == "mysql" else self.roster

    def normalise(self, pk: object) -> Any:
        """``pk`` as the row's key; ``None`` when it is not surely what the database compares."""
        if type(pk) is self.pk_type:
            return pk
        if self.pk_type is str or pk is None or isinstance(pk, bool | float):
            return None
        try:
            value = self.pk.to_python(pk)
        except Exception:
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
    """Whether ``model`` is a CachedModel (marked so by the class itself: no import upwards)."""
    return bool(getattr(model, "_ormcache_cached", False))


@cache
def schema_of(model: type[models.Model]) -> Schema:
    """The schema of a CachedModel.

    Raises ``Uncacheable`` when its rows cannot be cells; the reason is what the check prints.
    """
    if not is_cached(model):
        raise Uncacheable(f"{model._meta.label} is no CachedModel")
    found = _examine(model._meta.concrete_model or model)
    if isinstance(found, str):
        raise Uncacheable(found)
    return found


def schema_on(model: type[models.Model], vendor: str) -> Schema:
    """The schema of a model whose rows can be cells on a database of this kind.

    Raises ``Uncacheable`` otherwise.
    """
    schema = schema_of(model)
    if vendor == "mysql" and any(table.pk_type is str for table in schema.tables):
        # "a", "A" and "a " are one row there, and would be three cells.
        raise Uncacheable("text primary keys are compared loosely by this database")
    return schema


def schema_or_none(model: type[models.Model]) -> Schema | None:
    """The schema, or ``None`` for a model whose rows are not cached."""
    return _schema_or_none(model)


@cache
def _schema_or_none(model: type[models.Model]) -> Schema | None:
    if not is_cached(model):
        return None
    try:
        return schema_of(model)
    except Uncacheable:
        return None


@cache
def table_of(model: type[models.Model]) -> Table:
    """The table of a model's own columns (not those of its parents)."""
    meta: Any = model._meta
    pk = meta.pk
    fields = tuple(meta.local_concrete_fields)
    try:
        codec = RowCodec(fields)
    except Unrepresentable as error:
        raise Uncacheable(f"a field has no exact encoding: {error}") from error
    shape = [meta.db_table, codec.token, loading()]
    # What the driver gives of a column follows from how it is selected, too.
    shape += [
        f"{item.attname}|{item.column}|{code_digest(type(item).select_format)}" for item in fields
    ]
    found = tuple(partitions(model, fields))
    return Table(
        name=meta.db_table,
        model=model,
        fields=fields,
        codec=codec,
        fingerprint=hashlib.blake2b("\n".join(shape).encode(), digest_size=8).digest(),
        pk=final_target(pk),
        pk_column=pk.column,
        pk_type=_pk_type(model),
        positions={item.column: i for i, item in enumerate(fields)},
        generated=frozenset(item.column for item in fields if item.generated),
        roster=roster(found),
        loose_text_roster=roster(tuple(each for each in found if each.kind is not str)),
        plain=frozenset(item.column for item in fields if stores_plainly(item)),
        is_link=bool(meta.auto_created),
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


def forget() -> None:
    """Settings or models changed: everything is worked out again."""
    for cached in (schema_of, _schema_or_none, table_of, loading):
        cached.cache_clear()


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
