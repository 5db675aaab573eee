"""Invalidating what changed where Django could not see it."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import models, router
from django.db.models.query import QuerySet

from ormcache.database.servers import is_copy
from ormcache.reads.depends_on import check_target
from ormcache.schema.watched import schema_or_none
from ormcache.writes.announce import invalidate_rows, invalidate_tables
from ormcache.writes.pending import MOST_ROWS


def invalidate(target: Any) -> None:
    """Invalidate after a write Django did not see: another program, a trigger, a stored function.

    ``target``: an instance, a queryset (its rows, found with one SQL query) or a model (its whole
    table). Every list that could depend on them goes, too. Inside a transaction it is done at once
    and once more at the commit. Raises ``TypeError`` for anything else, ``ValueError`` for an
    instance without a primary key, and ``InvalidationFailed`` when Redis does not answer and the
    outbox cannot take note.
    """
    check_target(target, "invalidate()")
    if isinstance(target, type):
        invalidate_tables(_tables(target), router.db_for_write(target))
    elif isinstance(target, QuerySet):
        _invalidate_queryset(target)
    else:
        _invalidate_pks(type(target), [target.pk], _written_to(target))


def _written_to(instance: models.Model) -> str:
    """The alias whose cells hold the instance's row: the primary's, if it was read from a copy."""
    model, read = type(instance), instance._state.db
    routed = router.db_for_write(model, instance=instance)
    if read is None:
        return routed
    # Django's answer for an instance that no router cares for is where it was read.
    for write in (routed, router.db_for_write(model)):
        if write != read and is_copy(read, write):
            return write
    return read


async def ainvalidate(target: Any) -> None:
    """``invalidate`` for async code."""
    await sync_to_async(invalidate)(target)


def _invalidate_queryset(queryset: Any) -> None:
    model = queryset.model
    using = queryset._db or router.db_for_write(model)
    plain: QuerySet[Any, Any] = QuerySet(model, query=queryset.query.chain(), using=using)
    pks = list(plain.values_list("pk", flat=True)[: MOST_ROWS + 1]) if _may_slice(plain) else None
    if pks is None or len(pks) > MOST_ROWS:
        invalidate_tables(_tables(model), using)
    else:
        _invalidate_pks(model, pks, using)


def _may_slice(queryset: QuerySet[Any, Any]) -> bool:
    return not queryset.query.is_sliced and not queryset.query.combinator


def _invalidate_pks(model: type[models.Model], pks: list[Any], using: str) -> None:
    schema = schema_or_none(model)
    if schema is None:
        invalidate_tables(_tables(model), using)
        return
    for table in schema.tables:
        invalidate_rows(table, pks, using)


def _tables(model: type[models.Model]) -> list[str]:
    parents = model._meta.get_parent_list()
    return list(dict.fromkeys(each._meta.db_table for each in (model, *parents)))
