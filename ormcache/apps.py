"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class OrmcacheConfig(AppConfig):
    """Add ``"ormcache"`` to ``INSTALLED_APPS``."""

    name = "ormcache"
    verbose_name = "ormcache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from ormcache import checks, receivers

        checks.register()
        receivers.connect()
