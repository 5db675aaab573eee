"""Where ormcache hangs on Django's signals."""

from __future__ import annotations

import atexit
from typing import Any

from django.apps import apps
from django.core.signals import request_finished, setting_changed
from django.db import connections, router
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from ormcache import enrolment, modelset, runtime, totals
from ormcache.database import labels, servers
from ormcache.outage import table
from ormcache.reads.comparison import count_stale
from ormcache.reads.entries import on_replaced
from ormcache.writes.hooks import state_of

_SHAPING = ("INSTALLED_APPS", "TIME_ZONE", "USE_TZ")
"""The settings that decide which models there are and what their values are loaded as."""


def connect() -> None:
    """Connect every receiver, and hook the connections that exist already."""
    servers.remember_configured()
    connection_created.connect(_on_connection, dispatch_uid="ormcache.connection")
    post_migrate.connect(_on_migrated, dispatch_uid="ormcache.database")
    setting_changed.connect(_on_setting, dispatch_uid="ormcache.setting")
    pre_migrate.connect(table.make_first, dispatch_uid="ormcache.outbox")
    request_finished.connect(_on_request_finished, dispatch_uid="ormcache.totals")
    atexit.register(totals.flush_at_exit)
    if count_stale not in on_replaced:
        on_replaced.append(count_stale)
    for connection in connections.all(initialized_only=True):
        state_of(connection)


def _on_connection(connection: Any, **kwargs: Any) -> None:
    state_of(connection).connected()


_renewed: set[str] = set()
"""The test databases of this process that were given a number of their own."""


def _on_migrated(sender: Any, using: str, **kwargs: Any) -> None:
    """Give the database a number where migrations do not run, and that of a test run a new one:
    what was cached of an earlier run must not be met again."""
    if sender.label != "ormcache" or not router.allow_migrate(using, "ormcache"):
        return
    connection = connections[using]
    name = str(connection.settings_dict["NAME"])
    renew = servers.is_test(connection) and name not in _renewed
    labels.establish(connection, renew=renew)
    if renew:
        _renewed.add(name)
        state_of(connection).sight.moves()


def _on_request_finished(**kwargs: Any) -> None:
    totals.flush_if_due()


def _on_setting(setting: str, **kwargs: Any) -> None:
    if setting in ("ORMCACHE", "CACHES"):
        runtime.reset()
    if setting in ("ORMCACHE", "INSTALLED_APPS") or setting in _swapping():
        enrolment.reconsider()
    if setting in _SHAPING or setting in _swapping():
        modelset.changed()


def _swapping() -> set[str | None]:
    """The settings that name a model to stand for another one."""
    models = apps.get_models(include_swapped=True)
    return {model._meta.swappable for model in models}
