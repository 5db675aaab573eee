"""Where ormcache hangs on Django's signals."""

from __future__ import annotations

import atexit
from typing import Any

from django.apps import apps
from django.core.signals import request_finished, setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_migrate

from ormcache import databases, modelset, runtime, totals
from ormcache.writes import outboxtable
from ormcache.writes.hooks import state_of


def connect() -> None:
    """Connect every receiver, and hook the connections that exist already."""
    databases.remember_configured()
    connection_created.connect(_on_connection, dispatch_uid="ormcache.connection")
    setting_changed.connect(_on_setting, dispatch_uid="ormcache.setting")
    pre_migrate.connect(outboxtable.make_first, dispatch_uid="ormcache.outbox")
    request_finished.connect(_on_request_finished, dispatch_uid="ormcache.totals")
    atexit.register(totals.flush_at_exit)
    for connection in connections.all(initialized_only=True):
        state_of(connection)


def _on_connection(connection: Any, **kwargs: Any) -> None:
    state_of(connection).connected()


def _on_request_finished(**kwargs: Any) -> None:
    totals.flush_if_due()


def _on_setting(setting: str, **kwargs: Any) -> None:
    if setting in ("ORMCACHE", "CACHES"):
        runtime.reset()
    elif setting == "INSTALLED_APPS" or setting in _swapping():
        modelset.changed()


def _swapping() -> set[str | None]:
    """The settings that name a model to stand for another one."""
    models = apps.get_models(include_swapped=True)
    return {model._meta.swappable for model in models}
