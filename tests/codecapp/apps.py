"""The app of the codec's round-trip models; prepares PostgreSQL for hstore columns."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


class CodecAppConfig(AppConfig):
    name = "tests.codecapp"
    label = "codecapp"

    def ready(self) -> None:
        pre_migrate.connect(create_hstore, sender=self)


def create_hstore(using: str, **kwargs: Any) -> None:
    """The extension has to be there before the table, and known before the first value."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    from django.contrib.postgres.signals import get_hstore_oids, register_type_handlers

    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")
    get_hstore_oids.cache_clear()  # type: ignore[attr-defined]
    register_type_handlers(connection)
