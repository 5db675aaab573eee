"""The tables whose writes matter: those of every model, but for a few.

A table that no list could depend on is not watched; a query over such a table is not cached. The
rows of a model are cached only if its tables are watched, by the keys its rows have.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import models

from ormcache.exceptions import Uncacheable
from ormcache.modelset import ModelMemo, all_models, changed
from ormcache.schema.tables import Schema, Table, is_cached, schema_of, table_of

# The first two are written on nearly every request and read by nobody else: watching them would
# cost each of those requests two round trips. The outbox is read past every cache.
_UNWATCHED = {"sessions.session", "admin.logentry", "ormcache.outboxentry"}

Model = type[models.Model]


class Watched:
    """A watched table. It keeps no model alive that nobody else does."""

    __slots__ = ("_model", "has_cells", "name")

    def __init__(self, name: str, model: Model, *, has_cells: bool) -> None:
        self.name = name
        self.has_cells = has_cells
        self._model = weakref.ref(model)

    @property
    def model(self) -> Model | None:
        """The model that says what the table's columns are, ``None`` if it is gone."""
        return self._model()

    @property
    def table(self) -> Table | None:
        """``None`` when its rows are not cells."""
        if not self.has_cells:
            return None
        model = self._model()
        if model is not None:
            return table_of(model)
        changed()
        other = watched_tables().get(self.name)
        return other.table if other else None


@dataclass(frozen=True, slots=True, eq=False)
class WatchList:
    """The watched tables, and what follows from them. Made anew when a model appears; whatever
    else follows from one is remembered with it as a part of the key."""

    tables: dict[str, Watched]
    identifiers: dict[str, tuple[str, ...]]
    """Table names by the identifier they appear as in SQL, case folded, without schema."""
    referrers: dict[str, frozenset[str]]
    """By table, those that have a foreign key to it."""
    cascades: dict[str, frozenset[str]]
    """By table, those the database itself changes when its rows are deleted (Django 6.1)."""


def _make(_: None) -> WatchList:
    cells = _cells()
    watched: list[Model] = []
    tables: dict[str, Watched] = {}
    for model in all_models():
        name = model._meta.db_table
        if model._meta.proxy or not (model in cells or _is_watched(model)):
            continue
        watched.append(model)
        known = tables.get(name)
        # Several models may describe one table; that whose rows are cells decides.
        if known is None or (model in cells and not known.has_cells):
            tables[name] = Watched(name, model, has_cells=model in cells)
    return WatchList(
        tables,
        _identifiers(tables),
        _edges(watched, lambda relation: True),
        _edges(watched, _cascades_in_database),
    )


watch_list = partial(ModelMemo(_make).__getitem__, None)
"""The watch list of the models there are."""


def watched_tables() -> dict[str, Watched]:
    """By table name."""
    return watch_list().tables


def by_identifier() -> dict[str, tuple[str, ...]]:
    return watch_list().identifiers


def _referrers() -> dict[str, frozenset[str]]:
    return watch_list().referrers


def _database_cascades() -> dict[str, frozenset[str]]:
    return watch_list().cascades


def schema_on(model: Model, vendor: str) -> Schema:
    """The schema of a model whose rows can be cells on a database of this kind.

    Raises ``Uncacheable`` otherwise.
    """
    schema = _watched[model]
    if isinstance(schema, str):
        raise Uncacheable(schema)
    if vendor == "mysql" and any(table.pk_type is str for table in schema.tables):
        # "a", "A" and "a " are one row there, and would be three cells.
        raise Uncacheable("text primary keys are compared loosely by this database")
    return schema


def schema_or_none(model: Model) -> Schema | None:
    """The schema, or ``None`` for a model whose rows are not cached."""
    schema = _watched[model]
    return None if isinstance(schema, str) else schema


def _watched_schema(model: Model) -> Schema | str:
    """The schema of a model whose rows are watched as what they are, else why they are not."""
    try:
        schema = schema_of(model)
    except Uncacheable as error:
        return error.reason
    for own in schema.tables:
        watched = watched_tables().get(own.name)
        if watched is None or watched.table is None:
            return f"writes to the table {own.name!r} are not watched"
        known = watched.table
        if (known.pk_column, known.pk_type) != (own.pk_column, own.pk_type):
            return (
                f"the table {own.name!r} is also that of {known.model._meta.label}, which names "
                "its rows by another primary key"
            )
    return schema


_watched: ModelMemo[Model, Schema | str] = ModelMemo(_watched_schema)


def _cells() -> set[Model]:
    """The models whose tables' rows are told apart: those cached by rows, those they inherit
    from, and those that link the rows of a cached model."""
    found: set[Model] = set()
    for model in all_models():
        owner: Any = model._meta.auto_created
        try:
            if owner and is_cached(owner):
                found.add(table_of(model).model)
            elif is_cached(model):
                found.update(table.model for table in schema_of(model).tables)
        except Uncacheable:
            continue
    return found


def _is_watched(model: Model) -> bool:
    """Whether a model is worth it although its rows are not cached."""
    return model._meta.label_lower not in _UNWATCHED and not is_session(model)


def _identifiers(tables: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in tables:
        identifier = name.replace('"', "").replace("`", "").rpartition(".")[2].casefold()
        found[identifier] = (*found.get(identifier, ()), name)
    return found


def _edges(watched: Iterable[Model], counts: Any) -> dict[str, frozenset[str]]:
    """By table, those with a foreign key to it, as far as the relation ``counts``."""
    found: dict[str, set[str]] = {}
    for model in watched:
        for field in model._meta.local_concrete_fields:
            relation: Any = field.remote_field
            if relation is not None and not isinstance(relation.model, str) and counts(relation):
                found.setdefault(relation.model._meta.db_table, set()).add(model._meta.db_table)
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


def is_session(model: type[models.Model]) -> bool:
    try:
        from django.contrib.sessions.base_session import AbstractBaseSession
    except RuntimeError:
        return False
    return issubclass(model, AbstractBaseSession)
