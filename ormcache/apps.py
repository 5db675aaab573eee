"""The Django application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db.models.signals import class_prepared

from ormcache import modelset  # noqa: F401  (sees every model that is prepared from now on)


class OrmcacheConfig(AppConfig):
    """Add ``"ormcache"`` to ``INSTALLED_APPS``."""

    name = "ormcache"
    verbose_name = "ormcache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from ormcache import checks, receivers

        checks.register()
        receivers.connect()


def _consider(sender: Any, **kwargs: Any) -> None:
    """Enrol a model of another application. All are prepared after this module is imported."""
    setting = getattr(settings, "ORMCACHE", None)
    if sender._meta.apps is apps and isinstance(setting, Mapping) and setting.get("MODELS"):
        from ormcache.enrolment import consider

        consider(sender)


class_prepared.connect(_consider, dispatch_uid="ormcache.enrolment")
