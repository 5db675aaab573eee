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
from typing import Any

from django.db import models
from django.db.models.manager import BaseManager
from django.db.models.options import Options
from django.utils.functional import cached_property

from ormcache.managers import CacheManager
from ormcache.queryset import CachedQuerySet

_FOUND = ("managers", "managers_map", "base_manager", "default_manager")
"""What ``Options`` remembers of a model's managers."""


@cache
def caching_queryset(queryset_class: Any) -> Any:
    """A subclass of a queryset class that reads through the cache; itself if it does already."""
    if issubclass(queryset_class, CachedQuerySet):
        return queryset_class
    if queryset_class is models.QuerySet:
        return CachedQuerySet

    try:

        class Caching(queryset_class, CachedQuerySet):  # type: ignore[misc,type-arg]
            def __reduce_ex__(self, protocol: Any) -> Any:
                return _reduced(Caching, super().__reduce_ex__(protocol))

    except Exception:
        # The two classes cannot stand together, of two metaclasses, say, or the class lets none be
        # made of it. A check tells.
        return queryset_class
    return _standing_for(queryset_class, Caching)


def turned(queryset: Any) -> Any:
    """A queryset with its state, made to cache. What is no ``QuerySet`` is left as it is."""
    kind = type(queryset)
    if not issubclass(kind, models.QuerySet) or issubclass(kind, CachedQuerySet):
        return queryset
    made = caching_queryset(kind)
    return queryset if made is kind else _remade(queryset, made)


@cache
def caching_manager_class(manager_class: Any) -> Any:
    """A subclass of a manager class whose querysets cache; itself if they do already."""
    if hasattr(manager_class, "_adopted") or (
        manager_class.get_queryset is BaseManager.get_queryset
        and issubclass(manager_class._queryset_class, CachedQuerySet)
    ):
        return manager_class

    try:

        class Caching(manager_class):  # type: ignore[misc]
            # For methods that pass its own get_queryset() by.
            _queryset_class = caching_queryset(manager_class._queryset_class)

            def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
                return turned(super().get_queryset(*args, **kwargs))

            # Migrations compare a manager with one of the class it stands for.
            def __eq__(self, other: object) -> bool:
                return (
                    isinstance(other, manager_class)
                    and self._constructor_args == other._constructor_args
                )

            __hash__ = BaseManager.__hash__

            def __reduce_ex__(self, protocol: Any) -> Any:
                return _reduced(Caching, super().__reduce_ex__(protocol))

    except Exception:
        # As with a queryset class.
        return manager_class
    for name, method in manager_class._get_queryset_methods(CachedQuerySet).items():
        setattr(Caching, name, method)
    return _standing_for(manager_class, Caching)


def caching_manager(manager: BaseManager[Any]) -> BaseManager[Any]:
    """A copy of a manager whose querysets cache; itself if they do already."""
    kind: Any = type(manager)
    is_plain = kind is models.Manager and not manager.use_in_migrations
    made: Any = CacheManager if is_plain else caching_manager_class(kind)
    if made is kind:
        return manager
    copied: BaseManager[Any] = _remade(manager, made)
    own: Any = vars(copied)
    if "_queryset_class" in own:
        own["_queryset_class"] = caching_queryset(own["_queryset_class"])
    return copied


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


def _remade(instance: Any, kind: Any) -> Any:
    """A copy of another class. Python cannot always change the class of an instance."""
    made = object.__new__(kind)
    made.__dict__.update(vars(instance))
    return made


def _standing_for(original: Any, made: Any) -> Any:
    """A subclass under the names of the class it stands for."""
    for name in ("__doc__", "__module__", "__name__", "__qualname__"):
        setattr(made, name, getattr(original, name))
    made._adopted = original
    return made


def _reduced(kind: Any, reduced: Any) -> Any:
    """What a pickle holds: the class that ``kind`` stands for, as its own has no name."""
    make, args, *state = reduced
    if args and args[0] is kind:
        make, args = _make, (make, kind._adopted, *args[1:])
    return (make, args, *state)


def _make(make: Any, original: type, *args: Any) -> Any:
    """What ``make`` gives for the class that stands for ``original``; called by pickles."""
    is_queryset = issubclass(original, models.QuerySet)
    made: Any = caching_queryset(original) if is_queryset else caching_manager_class(original)
    return make(made, *args)
