"""``manage.py createdb``: the PostgreSQL database of the settings, unless it is there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection


class Command(BaseCommand):
    help = "Create the PostgreSQL database of the settings, unless it is there."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            return
        import psycopg
        from psycopg.sql import SQL, Identifier

        settings = connection.settings_dict
        name = settings["NAME"]
        server = {key.lower(): settings[key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
        with psycopg.connect(dbname="postgres", autocommit=True, **server) as postgres:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if postgres.execute(query, [name]).fetchone() is None:
                postgres.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
                self.stdout.write(f"created the database {name}")
