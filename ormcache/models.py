"""What users subclass."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models.signals import class_prepared

from ormcache.managers import CacheManager
from ormcache.query.bypass import bypass


class CachedModel(models.Model):
    """A model whose rows and lists are cached.

    ``objects`` reads through the cache, ``nocache`` past every layer of it. An inner class
    ``CacheMeta`` holds options; see the reference.
    """

    _ormcache_cached: ClassVar[bool] = True

    objects = CacheManager()
    nocache = models.Manager()
    # The base manager where a model's own ``objects`` may hide rows from it.
    _every_row = CacheManager()

    class Meta:
        abstract = True

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Always from the database, as its name says."""
        with bypass():
            super().refresh_from_db(*args, **kwargs)


class OutboxEntry(models.Model):
    """Cells to invalidate, noted by a transaction that could not reach the store.

    ``keys`` is a JSON list of their keys, each byte a character. All times are Unix seconds: the
    statement it is about may run until ``running_until`` (0: it is over), the entry is kept until
    ``kept_until``, and at ``announced`` (0: not yet) every process had had the time to see it.
    Written and emptied by ``ormcache.writes.outbox``.
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


def _set_base_manager(sender: type[models.Model], **kwargs: Any) -> None:
    """Make the base manager a cached one, for foreign keys and ``save()``.

    Set here and not in ``Meta``, which a model's own ``Meta`` would replace and which migrations
    would record.
    """
    if not issubclass(sender, CachedModel) or sender._meta.base_manager_name:
        return
    own = sender._meta.managers_map.get("objects")
    is_open = isinstance(own, CacheManager) and type(own).get_queryset is CacheManager.get_queryset
    sender._meta.base_manager_name = "objects" if is_open else "_every_row"
    sender._meta.__dict__.pop("base_manager", None)


def _set_link_manager(sender: type[models.Model], **kwargs: Any) -> None:
    """Let the automatic through models of a cached model announce what they write, so that one
    row's links changing leaves the links of other rows alone."""
    owner = sender._meta.auto_created
    if not owner or not getattr(owner, "_ormcache_cached", False):
        return
    sender._meta.local_managers.clear()
    manager: Any = CacheManager()
    manager.auto_created = True
    sender.add_to_class("objects", manager)
    sender._meta.base_manager_name = "objects"


class_prepared.connect(_set_link_manager, dispatch_uid="ormcache.link_manager")
class_prepared.connect(_set_base_manager, dispatch_uid="ormcache.base_manager")
