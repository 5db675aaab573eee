"""The manager of a CachedModel."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

from ormcache.queryset import CachedQuerySet

_M = TypeVar("_M", bound=models.Model)

# A name of its own: type checkers know the methods of a manager class only by assignment.
_ManagerBase = models.Manager.from_queryset(CachedQuerySet)


class CacheManager(_ManagerBase[_M]):
    """Reads through the cache. ``CacheManager.from_queryset(MyQuerySet)`` works with any subclass
    of ``CachedQuerySet``; subclasses may override ``get_queryset`` as usual."""

    @classmethod
    def from_queryset(
        cls, queryset_class: type[models.QuerySet[Any, Any]], class_name: str | None = None
    ) -> Any:
        """A manager class with the methods of ``queryset_class``.

        Raises ``TypeError`` for a queryset that is not a ``CachedQuerySet``: it would read past
        the cache in silence.
        """
        if not issubclass(queryset_class, CachedQuerySet):
            raise TypeError(
                f"CacheManager.from_queryset() needs a subclass of CachedQuerySet, and "
                f"{queryset_class.__name__} is none. Derive it from "
                "ormcache.managers.CachedQuerySet."
            )
        return super().from_queryset(queryset_class, class_name)

    def count(self) -> int:
        links = self._links()
        return int(super().count() if links is None else links.count())  # type: ignore[misc]

    def exists(self) -> bool:
        links = self._links()
        return bool(super().exists() if links is None else links.exists())  # type: ignore[misc]

    def _links(self) -> Any:
        """The rows of the through table that a many-to-many manager stands for, where counting
        them is enough: Django does so for ``Manager`` itself, so it is done for this class and no
        other. ``None`` if this is no such manager."""
        manager: Any = self
        if type(self).__mro__[1] is not CacheManager or not hasattr(self, "constrained_target"):
            return None
        return manager.constrained_target if manager.get_prefetch_cache() is None else None


__all__ = ["CacheManager", "CachedQuerySet"]
