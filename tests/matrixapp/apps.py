"""The app of the models only the write x read matrix needs; prepares PostgreSQL for them."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate

PREPARATIONS = (
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE COLLATION IF NOT EXISTS caseless"
    " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
)


class MatrixAppConfig(AppConfig):
    name = "tests.matrixapp"
    label = "matrixapp"

    def ready(self) -> None:
        pre_migrate.connect(prepare, sender=self)


def prepare(using: str, **kwargs: Any) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for statement in PREPARATIONS:
                cursor.execute(statement)
