"""The tables whose writes matter: those of every installed model, but for a few.

A table that no list could depend on is not watched; a query over such a table is not cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db import models

from ormcache.exceptions import Uncacheable
from ormcache.schema import Table, is_cached, schema_of, table_of

# The first two are written on nearly every request and read by nobody else: watching them would
# cost each of those requests two round trips. The outbox is read past every cache.
_UNWATCHED = {"sessions.session", "admin.logentry", "ormcache.outboxentry"}


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched table. ``table`` is ``None`` when its rows are not cells."""

    name: str
    model: type[models.Model]
    table: Table | None


@cache
def watched_tables() -> dict[str, Watched]:
    """By table name."""
    found: dict[str, Watched] = {}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.proxy or meta.label_lower in _UNWATCHED or _is_session(model):
            continue
        known = found.get(meta.db_table)
        # Several models may describe one table; that whose rows are cells decides.
        if known is None or known.table is None:
            found[meta.db_table] = Watched(meta.db_table, model, _table(model))
    return found


@cache
def by_identifier() -> dict[str, tuple[str, ...]]:
    """Table names by the identifier they appear as in SQL, case folded, without schema."""
    found: dict[str, tuple[str, ...]] = {}
    for name in watched_tables():
        identifier = name.replace('"', "").replace("`", "").rpartition(".")[2].casefold()
        found[identifier] = (*found.get(identifier, ()), name)
    return found


@cache
def _referrers() -> dict[str, frozenset[str]]:
    """The tables that have a foreign key to a table, by that table."""
    found: dict[str, set[str]] = {}
    for watched in watched_tables().values():
        for field in watched.model._meta.local_concrete_fields:
            if field.remote_field is not None and not isinstance(field.remote_field.model, str):
                target = field.remote_field.model._meta.db_table
                found.setdefault(target, set()).add(watched.name)
    return {name: frozenset(names) for name, names in found.items()}


@cache
def _database_cascades() -> dict[str, frozenset[str]]:
    """The tables the database itself changes when rows of a table are deleted (Django 6.1)."""
    found: dict[str, set[str]] = {}
    for watched in watched_tables().values():
        for field in watched.model._meta.local_concrete_fields:
            if field.remote_field is None or isinstance(field.remote_field.model, str):
                continue
            if _cascades_in_database(field.remote_field):
                target = field.remote_field.model._meta.db_table
                found.setdefault(target, set()).add(watched.name)
    return {name: frozenset(names) for name, names in found.items()}


def _cascades_in_database(relation: Any) -> bool:
    handler = getattr(relation, "on_delete", None)
    kind = getattr(models, "DatabaseOnDelete", None)
    if kind is None:
        from django.db.models import deletion

        kind = getattr(deletion, "DatabaseOnDelete", None)
    return kind is not None and isinstance(handler, kind)


def truncated_with(names: frozenset[str]) -> frozenset[str]:
    """``names`` and every table that TRUNCATE … CASCADE or DROP … CASCADE empties with them."""
    return _closure(names, _referrers())


def deleted_with(names: frozenset[str]) -> frozenset[str]:
    """``names`` and every table the database changes when rows of them are deleted."""
    return _closure(names, _database_cascades())


def _closure(names: frozenset[str], edges: dict[str, frozenset[str]]) -> frozenset[str]:
    found = set(names)
    todo = list(names)
    while todo:
        for other in edges.get(todo.pop(), ()):
            if other not in found:
                found.add(other)
                todo.append(other)
    return frozenset(found)


def _table(model: type[models.Model]) -> Table | None:
    """The table whose rows are told apart: if the model or one that inherits from it is cached by
    rows, or if it links the rows of a cached model."""
    owner: Any = model._meta.auto_created
    if owner and is_cached(owner):
        try:
            return table_of(model)
        except Uncacheable:
            return None
    for candidate in (model, *_descendants(model)):
        if not is_cached(candidate):
            continue
        try:
            if any(table.model is model for table in schema_of(candidate).tables):
                return table_of(model)
        except Uncacheable:
            continue
    return None


def _descendants(model: type[models.Model]) -> list[type[models.Model]]:
    return [
        other
        for other in apps.get_models(include_auto_created=True)
        if other is not model and issubclass(other, model)
    ]


def _is_session(model: type[models.Model]) -> bool:
    try:
        from django.contrib.sessions.base_session import AbstractBaseSession
    except RuntimeError:
        return False
    return issubclass(model, AbstractBaseSession)


def forget() -> None:
    """The set of installed models changed."""
    for cached in (watched_tables, by_identifier, _referrers, _database_cascades):
        cached.cache_clear()
