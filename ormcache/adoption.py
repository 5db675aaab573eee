"""Managers and querysets of others, made to cache: a subclass of each.

Nothing of the other's class is lost: its methods, its state and what ``get_queryset()`` gives
stay. In the order of methods a queryset's own stand before those of ``CachedQuerySet``, which take
the place of Django's: what they ask of ``super()`` is answered from the cache.

A subclass bears the names of the class it stands for, so migrations and pickles name that.
"""

from __future__ import annotations

import copy
import types
from functools import cache
from typing import Any, ClassVar

from django.db import models
from django.db.models.manager import BaseManager
from django.db.models.options import Options
from django.utils.functional import cached_property

from ormcache.managers import CacheManager
from ormcache.query.queryset import CachedQuerySet

_FOUND = ("managers", "managers_map", "base_manager", "default_manager")
"""What ``Options`` remembers of a model's managers."""


class _Adopted:
    """A class that stands for another one, ``_adopted``, and is made anew where a pickle is
    loaded."""

    _adopted: ClassVar[type]

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        make, args, *state = reduced
        kind = type(self)
        if args and args[0] is kind and "_adopted" in kind.__dict__:
            make, args = _make, (make, kind._adopted, *args[1:])
        return (make, args, *state)


class _AdoptedManager(_Adopted):
    """A manager whose querysets read through the cache, whatever class they are of."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
        return turned(super().get_queryset(*args, **kwargs))  # type: ignore[misc]

    # Migrations compare a manager with one of the class it stands for.
    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, self._adopted) and self._constructor_args == other._constructor_args  # type: ignore[attr-defined]
        )

    __hash__ = BaseManager.__hash__


@cache
def caching_queryset(queryset_class: Any) -> Any:
    """A subclass of a queryset class that reads through the cache; itself if it does already."""
    if issubclass(queryset_class, CachedQuerySet):
        return queryset_class
    if queryset_class is models.QuerySet:
        return CachedQuerySet
    return _subclass(queryset_class, (_Adopted, queryset_class, CachedQuerySet), {})


def turned(queryset: Any) -> Any:
    """A queryset with its state, made to cache. What is no ``QuerySet`` is left as it is."""
    kind = type(queryset)
    if issubclass(kind, models.QuerySet) and not issubclass(kind, CachedQuerySet):
        queryset.__class__ = caching_queryset(kind)
    return queryset


@cache
def caching_manager_class(manager_class: Any) -> Any:
    """A subclass of a manager class whose querysets cache; itself if they do already."""
    if issubclass(manager_class, _AdoptedManager) or (
        manager_class.get_queryset is BaseManager.get_queryset
        and issubclass(manager_class._queryset_class, CachedQuerySet)
    ):
        return manager_class
    verbs = manager_class._get_queryset_methods(CachedQuerySet)
    return _subclass(manager_class, (_AdoptedManager, manager_class), verbs)


def caching_manager(manager: BaseManager[Any]) -> BaseManager[Any]:
    """A copy of a manager whose querysets cache; itself if they do already."""
    kind: Any = type(manager)
    is_plain = kind is models.Manager and not manager.use_in_migrations
    made = CacheManager if is_plain else caching_manager_class(kind)
    if made is kind:
        return manager
    manager = copy.copy(manager)
    manager.__class__ = made
    return manager


class CachingOptions(Options):  # type: ignore[type-arg]
    """The ``_meta`` of a model whose managers cache.

    Django finds the managers, as if none of this were there; they are made to cache after that.
    So a migration sees no difference.
    """

    @cached_property
    def managers(self) -> Any:
        found = {
            # By this name a model's rows are read past the cache.
            each.name: each if each.name == "nocache" else caching_manager(each)
            for each in super().managers
        }
        for own in getattr(self.model, "_ormcache_managers", ()):
            if own.name not in found:
                manager = found[own.name] = copy.copy(own)
                manager.model = self.model
        return tuple(found.values())

    @cached_property
    def base_manager(self) -> Any:
        name = self.base_manager_name
        if not name and (parent := _parent(self.model)) is not None:
            inherited = parent._base_manager.name
            name = inherited if inherited != "_base_manager" else None
        if name in self.managers_map:
            return self.managers_map[name]
        return caching_manager(super().base_manager)

    @cached_property
    def default_manager(self) -> Any:
        parent = _parent(self.model)
        if not self.default_manager_name and not self.local_managers and parent is not None:
            name = parent._meta.default_manager_name
            if name in self.managers_map:
                return self.managers_map[name]
        return super().default_manager


def adopt(model: type[models.Model]) -> None:
    """Make every manager of a model cache, those it declares and those it inherits."""
    meta: Any = model._meta
    kind: Any = type(meta)
    if not issubclass(kind, CachingOptions):
        meta.__class__ = _options_class(kind)
    for name in _FOUND:
        meta.__dict__.pop(name, None)
    _inherit_ordering(model)


def _inherit_ordering(model: type[models.Model]) -> None:
    """Of a parent with a table, as Django does where no abstract base stands before it."""
    meta, parent = model._meta, _parent(model)
    if parent is None or parent._meta.abstract or meta.order_with_respect_to:
        return
    for name in ("ordering", "get_latest_by"):
        if name not in meta.original_attrs:
            setattr(meta, name, getattr(parent._meta, name))


def disown(model: type[models.Model]) -> None:
    """Leave a model's managers as they were before ``adopt``."""
    meta: Any = model._meta
    kind: Any = type(meta)
    if issubclass(kind, CachingOptions):
        meta.__class__ = kind.__bases__[1]
    for name in _FOUND:
        meta.__dict__.pop(name, None)


@cache
def _options_class(kind: Any) -> type:
    return types.new_class(kind.__name__, (CachingOptions, kind))


def _parent(model: Any) -> Any:
    """The first parent that Django asks for the names of managers. The base class that makes a
    model cached has none to give."""
    for parent in model.mro()[1:]:
        if hasattr(parent, "_meta"):
            if parent._meta.abstract and "_ormcache_managers" in parent.__dict__:
                continue
            return parent
    return None


def _subclass(original: type, bases: tuple[type, ...], members: dict[str, Any]) -> Any:
    members = {
        "__doc__": original.__doc__,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "_adopted": original,
        **members,
    }
    return types.new_class(original.__name__, bases, exec_body=lambda body: body.update(members))


def _make(make: Any, original: type, *args: Any) -> Any:
    """What ``make`` gives for the class that stands for ``original``; called by pickles."""
    is_queryset = issubclass(original, models.QuerySet)
    made: Any = caching_queryset(original) if is_queryset else caching_manager_class(original)
    return make(made, *args)
