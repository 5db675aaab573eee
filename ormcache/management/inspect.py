"""Show what the cache holds of one row, and which entries declare it in ``depends_on``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from ormcache.exceptions import Uncacheable
from ormcache.explain.row import HIT, CellView, view_cells
from ormcache.management.compare import Comparison, compare
from ormcache.management.names import check_alias, model_named, refuse_uncached
from ormcache.management.output import Output
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on
from ormcache.text import bytes_text, columns, key_text, ms_text

_LONGEST = 80


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="app_label.Model")
    parser.add_argument("pk", metavar="PK")
    parser.add_argument(
        "--database", default=DEFAULT_DB_ALIAS, metavar="ALIAS", help="An alias of DATABASES."
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="Read the row from the database, too; fails if the cache would answer differently.",
    )


def handle(options: dict[str, Any], out: Output) -> None:
    using = check_alias(options["database"])
    schema = _schema(options["model"], using)
    pk = _pk(schema, options["pk"])
    views = view_cells(schema, pk, using)
    comparison = None
    if options["compare"]:
        try:
            views, comparison = compare(schema, pk, using, views)
        except DatabaseError as error:
            raise CommandError(f"The database does not answer: {error}") from error
    hit = all(view.state == HIT for view in views)
    data: dict[str, Any] = {
        "model": schema.model._meta.label,
        "pk": str(pk),
        "database": using,
        "hit": hit,
        "cells": [_cell_data(view) for view in views],
    }
    if comparison is not None:
        data["comparison"] = {
            "in_database": comparison.in_database,
            "equal": comparison.equal,
            "differences": [
                {"column": name, "cache": _shown(ours), "database": _shown(theirs)}
                for name, ours, theirs in comparison.differences
            ],
        }
    answer = "the cache answers" if hit else "a read goes to the database"
    text = [f"{schema.model._meta.label} {pk} in {using}: {answer}"]
    for view in views:
        text += ["", *_cell_lines(view)]
    if comparison is not None:
        text += ["", *_comparison_lines(comparison, hit=hit)]
    out.result(data, text)
    if comparison is not None and not comparison.equal:
        raise CommandError("The cache and the database differ.")


def _schema(name: str, using: str) -> Schema:
    model = model_named(name)
    refuse_uncached(model, "rows")
    try:
        return schema_on(model, connections[using].vendor)
    except Uncacheable as error:
        raise CommandError(
            f"Rows of {model._meta.label} are not cached: {error.reason}."
        ) from error


def _pk(schema: Schema, text: str) -> Any:
    table = schema.table
    try:
        pk = table.normalise(table.pk.to_python(text))
    except ValidationError:
        pk = None
    if pk is None:
        raise CommandError(
            f"{text!r} is no primary key of {schema.model._meta.label}, "
            f"which is a {type(table.pk).__name__}."
        )
    return pk


def _cell_data(view: CellView) -> dict[str, Any]:
    value = view.value
    return {
        "table": view.table,
        "key": key_text(view.key),
        "state": view.state,
        "reason": view.reason,
        "size": view.size,
        "ttl_ms": view.ttl_ms,
        "soft_expiry_ms": view.soft_ms,
        "fill_ms": None if value is None else round(value.cost * 1000, 1),
        "nonce": None if value is None else value.nonce.hex(),
        "generation": view.generation,
        "marks": [{"token": token, "remaining_ms": left} for token, left in view.marks],
        "columns": {name: _shown(value) for name, value in view.columns.items()},
        "dependents": [
            {
                "key": key_text(each.key),
                "exists": each.exists,
                "ttl_ms": each.ttl_ms,
            }
            for each in view.dependents
        ],
    }


def _cell_lines(view: CellView) -> list[str]:
    lines = [
        f"Cell         {key_text(view.key)}",
        f"State        {view.state}{': ' if view.reason else ''}{view.reason}",
        f"Generation   {view.generation}",
    ]
    if view.ttl_ms is not None:
        lines.append(f"Size         {bytes_text(view.size)}, expires in {ms_text(view.ttl_ms)}")
    if view.soft_ms is not None:
        lines.append(f"Soft expiry  in {ms_text(view.soft_ms)}")
    for token, left in view.marks:
        lines.append(f"Mark         {token}, {left:,} ms left")
    lines += columns([(f"  {name}", _shown(value)) for name, value in view.columns.items()])
    for each in view.dependents:
        there = f"expires in {ms_text(each.ttl_ms)}" if each.ttl_ms is not None else "is gone"
        lines.append(f"Entry        {key_text(each.key)} declares the row, {there}")
    return lines


def _comparison_lines(comparison: Comparison, *, hit: bool) -> list[str]:
    if not comparison.in_database:
        there = "although the cache holds it" if hit else "nor does the cache answer"
        return [f"Database     has no such row, {there}"]
    if not comparison.differences:
        return ["Database     " + ("equal" if hit else "has the row")]
    rows = [("  column", "cache", "database")]
    rows += [(f"  {name}", _shown(a), _shown(b)) for name, a, b in comparison.differences]
    return ["Database     differs", *columns(rows)]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
