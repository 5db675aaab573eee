"""What users subclass."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.core import checks
from django.db import models
from django.db.models.signals import class_prepared

from ormcache.adoption import adopt
from ormcache.managers import CacheManager
from ormcache.reads.bypass import bypass
from ormcache.schema.tables import is_cached


class CachedModel(models.Model):
    """A model whose rows and lists are cached.

    ``objects`` reads through the cache, ``nocache`` past every layer of it. An inner class
    ``CacheMeta`` holds options; see the reference.
    """

    _ormcache_cached: ClassVar[bool] = True
    _ormcache_managers: ClassVar[tuple[models.Manager[Any], ...]]
    """What a model has beside the managers Django finds for it."""

    objects: ClassVar[CacheManager[Self]] = CacheManager()
    nocache: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        abstract = True

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Always from the database, as its name says."""
        with bypass():
            super().refresh_from_db(*args, **kwargs)


class _NextMeta:
    """``CachedModel.Meta``, for subclasses that of the next base: the first in the order of bases
    counts for Django, and this one says nothing about them."""

    def __init__(self, own: type) -> None:
        self.own = own

    def __get__(self, instance: object, owner: type) -> type:
        bases = owner.__mro__
        following = bases[bases.index(CachedModel) + 1 :]
        return next(
            (base.__dict__["Meta"] for base in following if "Meta" in base.__dict__), self.own
        )


# Django finds the managers and the Meta of a model as if it had no such base.
CachedModel._ormcache_managers = tuple(CachedModel._meta.local_managers)
CachedModel._meta.local_managers.clear()
CachedModel.Meta = _NextMeta(CachedModel.Meta)  # type: ignore[assignment,misc]


class OutboxEntry(models.Model):
    """Cells to invalidate, noted by a transaction that could not reach the store.

    ``keys`` is a JSON list of their keys, each byte a character. All times are Unix seconds: the
    statement it is about may run until ``running_until`` (0: it is over), the entry is kept until
    ``kept_until``, and at ``announced`` (0: not yet) every process had had the time to see it.
    Written and emptied by ``ormcache.outage.outbox``.
    """

    id = models.BigAutoField(primary_key=True)
    namespace = models.CharField(max_length=64)
    keys = models.TextField()
    waiting = models.BooleanField(default=True)
    running_until = models.FloatField(default=0.0)
    kept_until = models.FloatField()
    announced = models.FloatField(default=0.0)

    class Meta:
        app_label = "ormcache"
        db_table = "ormcache_outbox"
        default_permissions = ()
        indexes = [models.Index(fields=["namespace", "waiting"], name="ormcache_outbox_waiting")]
        verbose_name = "outbox entry"
        verbose_name_plural = "outbox entries"

    def __str__(self) -> str:
        return f"{self.namespace} {self.pk}"


def _make_managers_cache(sender: type[models.Model], **kwargs: Any) -> None:
    """The automatic through models of a cached model cache, too: they announce what they write,
    so that one row's links changing leaves the links of other rows alone."""
    owner: Any = sender._meta.auto_created or sender
    if is_cached(owner):
        adopt(sender)


def _check_installed(**kwargs: Any) -> list[checks.CheckMessage]:
    from ormcache.checks import check_installed

    return check_installed()


# Without the application nobody else would register any check.
checks.register(_check_installed)
class_prepared.connect(_make_managers_cache, dispatch_uid="ormcache.managers")
