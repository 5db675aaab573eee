"""What can be depended on and invalidated: instances, models and querysets; and what cannot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models, router
from django.db.models.query import QuerySet, RawQuerySet

from ormcache import runtime
from ormcache.analysis import dependencies, fingerprint
from ormcache.analysis.dependencies import Dependencies
from ormcache.database.servers import is_copy, label_alias
from ormcache.exceptions import Uncacheable
from ormcache.reads.rows import read_row
from ormcache.schema.watched import schema_on
from ormcache.writes.hooks import state_of

_LONGEST = 60
# Of these each is one thing, whether it can be iterated over or not.
_ALONE = (models.Model, QuerySet, RawQuerySet, type, str, bytes, dict)


def check_target(item: Any, where: str) -> None:
    """See that ``item`` is an instance with a primary key, a model with a table or a queryset.

    ``where`` begins the text of the errors: ``TypeError`` for anything else, ``ValueError`` for
    an instance without a primary key.
    """
    if isinstance(item, QuerySet):
        return
    model = item if isinstance(item, type) else type(item)
    meta: Any = getattr(model, "_meta", None)
    if not issubclass(model, models.Model) or meta is None:
        raise TypeError(
            f"{where} takes instances, models and querysets, not {_shown(item)}.{_hint(item)}"
        )
    if meta.abstract:
        raise TypeError(
            f"{where} takes instances, models and querysets, and {model.__name__} is abstract: "
            "it has no table. Name the models that inherit from it."
        )
    if not isinstance(item, type) and item.pk is None:
        raise ValueError(
            f"{where} was given an unsaved {meta.label}: save it first. If it was deleted, name "
            "its model."
        )


def check_declared(items: Any, using: str) -> tuple[Any, ...]:
    """``depends_on`` of a queryset that reads ``using``, as a tuple.

    Raises ``TypeError`` or ``ValueError`` for what cannot be depended on.
    """
    if isinstance(items, _ALONE) or not isinstance(items, Iterable):
        items = (items,)
    checked = tuple(items)
    for item in checked:
        check_target(item, "cache(depends_on=…)")
        alias = elsewhere(item, using)
        if alias:
            raise ValueError(
                f"cache(depends_on=…) was given {_shown(item)} of the database {alias!r}, but the "
                f"queryset reads {using!r}: a change there does not reach it. Name what stands in "
                "the same database, and call using() before cache()."
            )
    return checked


def elsewhere(item: Any, using: str) -> str:
    """The alias of the other database a target is written to; empty if it is that of ``using``."""
    alias: str | None
    if isinstance(item, QuerySet):
        alias = item._db or _routed(item.model)  # type: ignore[attr-defined]
    elif isinstance(item, type):
        alias = _routed(item)
    else:
        alias = item._state.db
    return "" if alias is None or _is_same(alias, using) else alias


def _routed(model: type[models.Model]) -> str | None:
    """The database that the model's rows are found in, ``None`` if no router says so."""
    if not router.routers:
        return None
    read, write = router.db_for_read(model), router.db_for_write(model)
    return write if is_copy(read, write) else read


def _is_same(one: str, other: str) -> bool:
    if one == other or is_copy(one, other) or is_copy(other, one):
        return True
    here, there = connections[one], connections[other]
    # Whether two addresses lead to one database is known once both were asked; options are
    # checked where no connection need be open.
    known = state_of(here).sight.label
    if known is not None and known == state_of(there).sight.label:
        return True
    return label_alias(here) == label_alias(there)


def _hint(item: Any) -> str:
    if isinstance(item, models.Manager):
        return f" Write {item.model.__name__}.objects.all()."
    if isinstance(item, RawQuerySet):
        return " Name the models it reads."
    if isinstance(item, str):
        return " Name the model itself, not its label."
    if isinstance(item, list | tuple | set | dict):
        return " Name them one by one."
    return ""


def _shown(item: Any) -> str:
    # Not the rows of a queryset, which would have to be read first.
    if isinstance(item, QuerySet | RawQuerySet):
        return f"a {type(item).__name__} of {item.model._meta.label}"  # type: ignore[union-attr]
    text = repr(item)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def declared(
    items: Iterable[Any],
    label: str,
    vendor: str,
    using: str | None,
    secured: frozenset[str],
) -> Dependencies:
    """What ``cache(depends_on=…)`` names: instances, models and querysets.

    An instance stands for its row: the nonce of its cell, which every write drops. Its row is
    therefore read into the cache first, from the database ``using``; not if that is ``None``.
    """
    found = Dependencies()
    for item in items:
        if isinstance(item, QuerySet):
            structure, _ = fingerprint.walk(item.query)
            one = dependencies.of_query(item.query, structure, label, vendor, secured).coarse
            found.stamps += one.stamps
            found.tables += one.tables
            found.schemes |= one.schemes
        elif isinstance(item, type) and issubclass(item, models.Model):
            dependencies.add_model(found, item, label, vendor)
        else:
            _add_instance(found, item, label, vendor, using)
    return found


def _add_instance(
    found: Dependencies, item: models.Model, label: str, vendor: str, using: str | None
) -> None:
    try:
        schema = schema_on(type(item), vendor)
    except Uncacheable:
        return dependencies.add_model(found, type(item), label, vendor)
    if schema.table.normalise(item.pk) is None:
        return dependencies.add_model(found, type(item), label, vendor)
    if using is not None:
        read_row(schema, schema.table.normalise(item.pk), connections[using])
    for table in schema.tables:
        found.tables.append(table.name)
        pk = table.normalise(item.pk)
        keys = runtime.current().keys(label, table.name)
        found.stamps += [keys.generation, keys.row(pk)]
        found.declared.append((keys, pk))
