"""Where ormcache hangs on Django's signals."""

from __future__ import annotations

import atexit
from typing import Any

from django.core.signals import request_finished, setting_changed
from django.db import connections
from django.db.backends.signals import connection_created

from ormcache import databases, runtime, schema, totals
from ormcache.catalog import catalog
from ormcache.query import dependencies
from ormcache.writes import sqlwatch, watched
from ormcache.writes.hooks import state_of


def connect() -> None:
    """Connect every receiver, and hook the connections that exist already."""
    databases.remember_configured()
    connection_created.connect(_on_connection, dispatch_uid="ormcache.connection")
    setting_changed.connect(_on_setting, dispatch_uid="ormcache.setting")
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
    elif setting in ("INSTALLED_APPS", "USE_TZ", "TIME_ZONE"):
        forget_models()


def forget_models() -> None:
    """The set of installed models changed: everything derived from it is worked out again."""
    catalog.forget()
    watched.forget()
    sqlwatch.forget()
    dependencies.forget()
    schema.forget()
