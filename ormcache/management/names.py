"""From the names an operator types to models, tables and databases."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connections, models

from ormcache.schema.options import options_of
from ormcache.schema.tables import is_cached
from ormcache.schema.watched import watched_tables
from ormcache.writes.hooks import state_of

logger = logging.getLogger("ormcache")

Model = type[models.Model]


def databases() -> dict[str, str]:
    """One alias for each database that can be reached, by the label it has in keys."""
    found: dict[str, str] = {}
    for alias in connections:
        try:
            found.setdefault(state_of(connections[alias]).label, alias)
        except Exception as error:
            # The others are worth looking at all the same.
            logger.warning("ormcache.database.unreachable: %s: %s", alias, error)
    return found


def check_alias(alias: str) -> str:
    """The alias. Raises ``CommandError`` if there is none of that name."""
    if alias not in connections:
        raise CommandError(f"There is no database {alias!r}. {_hint(alias, connections)}")
    return alias


def model_named(name: str) -> Model:
    """The model of a label like ``app.Model``. Raises ``CommandError`` if there is none."""
    try:
        return apps.get_model(name)
    except (LookupError, ValueError):
        labels = [model._meta.label for model in apps.get_models(include_auto_created=True)]
        raise CommandError(f"There is no model {name!r}. {_hint(name, labels)}") from None


def refuse_uncached(model: Model, what: str) -> None:
    """Raise ``CommandError`` for a model that is not cached, and say how it would be."""
    if is_cached(model):
        return
    label = model._meta.label
    raise CommandError(
        f"{label} is no CachedModel: its {what} are not cached. Derive it from "
        f'ormcache.models.CachedModel, or add "{label}": {{}} to ORMCACHE["MODELS"].'
    )


def tables_named(names: Iterable[str]) -> frozenset[str]:
    """The tables behind namespaces, app labels and model labels.

    A model brings the tables of its parents and of its many-to-many fields with it. A name that is
    both a namespace and an app label stands for both. Raises ``CommandError`` for an unknown name
    and for one whose tables are never cached.
    """
    index = _index()
    found: set[str] = set()
    for name in names:
        app, dot, model = name.rpartition(".")
        meant = [*index.get(name, ()), *index.get(f"{app}{dot}{model.lower()}", ())]
        if not meant:
            raise CommandError(
                f"{name!r} is no namespace, no app and no model. {_hint(name, _spellings())}"
            )
        tables = {table for each in meant for table in _tables(each)} & watched_tables().keys()
        if not tables:
            raise CommandError(f"Nothing of {name!r} is ever cached.")
        found |= tables
    return frozenset(found)


def _index() -> dict[str, list[Model]]:
    found: dict[str, list[Model]] = {}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        names = {meta.app_label, meta.label_lower}
        if is_cached(model):
            names.add(options_of(model).namespace)
        for name in names:
            found.setdefault(name, []).append(model)
    return found


def _spellings() -> set[str]:
    """Every name as people write it."""
    found: set[str] = set()
    for model in apps.get_models():
        found |= {model._meta.app_label, model._meta.label}
        if is_cached(model):
            found.add(options_of(model).namespace)
    return found


def _tables(model: Model) -> set[str]:
    concrete = model._meta.concrete_model or model
    found: set[str] = set()
    for each in (concrete, *concrete._meta.get_parent_list()):
        found.add(each._meta.db_table)
        for field in each._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if through._meta.auto_created:
                found.add(through._meta.db_table)
    return found


def _hint(name: str, known: Iterable[str]) -> str:
    spelt = {each.lower(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.lower(), spelt, n=3, cutoff=0.75)
    if close:
        return f"Did you mean {' or '.join(spelt[each] for each in close)}?"
    return f"Known are {', '.join(list(spelt.values())[:12])}{' …' if len(spelt) > 12 else '.'}"
