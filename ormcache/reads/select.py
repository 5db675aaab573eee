"""Rows by primary key from the database, with SQL that is compiled once.

A miss costs round trips to Redis on top of the query; not compiling the same statement again pays
for them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.models.query import QuerySet

from ormcache.schema.tables import Schema
from ormcache.writes.hooks import state_of

_MOST_PARAMETERS = 1024

Row = Sequence[Any]
Conversions = tuple[tuple[int, Any, Any], ...]
"""Positions, each with its converters and the expression they are given."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """``SELECT every column WHERE pk IN (…)`` for so many keys, and what turns its columns into
    the values a cell holds: those Django would load, but for raw ones."""

    sql: str
    convert: Conversions


def select(schema: Schema, pks: Iterable[Any], using: str) -> dict[Any, Row]:
    """The rows that exist, by primary key. One query for up to a thousand of them."""
    wanted = list(pks)
    connection = connections[using]
    size = min(connection.features.max_query_params or _MOST_PARAMETERS, _MOST_PARAMETERS)
    found: dict[Any, Row] = {}
    for start in range(0, len(wanted), size):
        batch = wanted[start : start + size]
        for row in _rows(schema, batch, connection):
            found[row[schema.pk_position]] = row
    return found


def _rows(schema: Schema, pks: list[Any], connection: Any) -> Iterable[Row]:
    # Few statements serve every number of keys: the last key is repeated up to a power of two.
    count = 1 << (len(pks) - 1).bit_length()
    statement = _statement(schema, count, connection)
    prepare = schema.table.pk.get_db_prep_value
    params = [prepare(pk, connection, prepared=True) for pk in pks]
    params += [params[-1]] * (count - len(params))
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, params)
        rows: list[Row] = cursor.fetchall()
    if not statement.convert:
        return rows
    return [_converted(row, statement.convert, connection) for row in rows]


def as_loaded(
    model: type[models.Model], attnames: tuple[str, ...], raw: Sequence[int], row: Row, using: str
) -> Row:
    """The values Django would load, of a row as a cell holds it: those of its ``raw`` positions
    are converted now, by the fields' own code."""
    connection = connections[using]
    known = state_of(connection).statements
    conversions = known.get((model, attnames))
    if conversions is None:
        rows: Any = QuerySet(model, using=using).order_by().values_list(*attnames)
        found = _conversions(rows.query.get_compiler(connection=connection))
        conversions = known[model, attnames] = tuple(each for each in found if each[0] in raw)
    return _converted(row, conversions, connection)


def _converted(row: Row, conversions: Conversions, connection: Any) -> Row:
    values = list(row)
    for position, converters, expression in conversions:
        value = values[position]
        for converter in converters:
            value = converter(value, expression, connection)
        values[position] = value
    return values


def _statement(schema: Schema, count: int, connection: Any) -> _Statement:
    # Kept with the connection: converters may be bound to it.
    statements = state_of(connection).statements
    found: _Statement | None = statements.get((schema.model, count))
    if found is None:
        found = statements[schema.model, count] = _compile(schema, count, connection)
    return found


def _compile(schema: Schema, count: int, connection: Any) -> _Statement:
    rows: Any = QuerySet(schema.model, using=connection.alias).order_by()
    keys = [_KEYS[schema.table.pk_type](number) for number in range(1, count + 1)]
    rows = rows.filter(pk=keys[0]) if count == 1 else rows.filter(pk__in=keys)
    compiler = rows.values_list(*schema.attnames).query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    if len(params) != count:
        raise AssertionError(f"{schema.model._meta.label}: unexpected parameters in {sql}")
    convert = tuple(each for each in _conversions(compiler) if each[0] not in schema.raw)
    return _Statement(sql, convert)


def _conversions(compiler: Any) -> Conversions:
    if compiler.select is None:
        compiler.setup_query()
    columns = [column for column, *_ in chain(compiler.select)]
    found = compiler.get_converters(columns)
    return tuple((position, each, column) for position, (each, column) in found.items())


_KEYS: dict[type, Any] = {int: int, str: str, uuid.UUID: lambda number: uuid.UUID(int=number)}
