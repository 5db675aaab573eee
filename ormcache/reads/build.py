"""Making model instances from row values, just as Django would."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

from django.db import models
from django.db.models import query as django_query
from django.db.models.base import ModelState
from django.db.models.fields.files import FileDescriptor, ImageFileDescriptor
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from ormcache.modelset import ModelMemo

Build = Callable[[Sequence[Any]], Any]

# On a new instance their ``__set__`` does no more than store the value.
_PLAIN_ATTRIBUTES = {
    DeferredAttribute,
    ForeignKeyDeferredAttribute,
    FileDescriptor,
    ImageFileDescriptor,
}


def builder(
    model: type[models.Model], attnames: tuple[str, ...], db: str, fetch_mode: Any = None
) -> Build:
    """A function from the values of ``attnames`` to an instance loaded from ``db``.

    ``attnames`` are in the order of the model's concrete fields; those missing are deferred.
    ``fetch_mode`` is the queryset's (Django 6.1).
    """
    if _plain[model] and not (pre_init.has_listeners(model) or post_init.has_listeners(model)):
        return _fast(model, attnames, db, fetch_mode)
    return _faithful(model, attnames, db, fetch_mode)


def _fast(model: Any, attnames: tuple[str, ...], db: str, fetch_mode: Any) -> Build:
    new = model.__new__

    def build(values: Sequence[Any]) -> Any:
        instance = new(model)
        state = ModelState()
        state.adding = False
        state.db = db
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode  # Django 6.1
        attributes = instance.__dict__
        attributes["_state"] = state
        attributes.update(zip(attnames, values, strict=True))
        return instance

    return build


def _faithful(model: Any, attnames: tuple[str, ...], db: str, fetch_mode: Any) -> Build:
    names = list(attnames)
    from_db = model.from_db
    if fetch_mode is not None:
        # Warns of overrides that take no fetch mode (Django 6.1).
        from_db = django_query._get_from_db(model, fetch_mode)  # type: ignore[attr-defined]

    def build(values: Sequence[Any]) -> Any:
        return from_db(db, names, list(values))

    return build


def introduce(instances: Sequence[Any], fetch_mode: Any) -> None:
    """Let each instance know those it was loaded with, under ``FETCH_PEERS`` (Django 6.1)."""
    if getattr(fetch_mode, "track_peers", False):
        peers = [ref(instance) for instance in instances]
        for instance in instances:
            instance._state.peers = peers


def _is_plain(model: type[models.Model]) -> bool:
    """Whether nobody can tell an instance made without ``__init__`` from one made with it."""
    base: Any = models.Model
    if (
        model.__init__ is not base.__init__
        or model.__new__ is not base.__new__
        or model.__setattr__ is not base.__setattr__
        or getattr(model.from_db, "__func__", None) is not base.from_db.__func__
        or type(model).__call__ is not type.__call__
    ):
        return False
    return all(
        type(inspect.getattr_static(model, field.attname, None)) in _PLAIN_ATTRIBUTES
        for field in model._meta.concrete_fields
    )


_plain = ModelMemo(_is_plain)
