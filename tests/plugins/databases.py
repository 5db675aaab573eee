"""The databases of a run: names, versions, and tests that are about one kind only."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}


def server_version(kind: str, config: dict[str, Any]) -> str:
    """Version of the database server at ``config``, an entry of DATABASES.

    Asked of the driver, because pytest-django keeps Django's connections shut outside tests.
    Raises the driver's error if the server cannot be reached.
    """
    if kind == "sqlite":
        from sqlite3 import sqlite_version

        return sqlite_version
    if kind == "postgres":
        import psycopg

        with psycopg.connect(
            dbname="postgres",
            host=config["HOST"],
            port=config["PORT"],
            user=config["USER"],
            password=config["PASSWORD"],
            connect_timeout=5,
        ) as connection:
            return str(connection.info.parameter_status("server_version"))
    import MySQLdb

    connection = MySQLdb.connect(
        host=config["HOST"],
        port=int(config["PORT"]),
        user=config["USER"],
        password=config["PASSWORD"],
        connect_timeout=5,
    )
    try:
        return str(connection.get_server_info())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Leave the names alone: ``tests.settings`` already makes them unique per worker."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Leave no connection behind that has made the databases: what a first one of MySQL is like
    is what later ones are held against. Nor one of a thread that is gone, in whose way the
    databases could not be dropped."""
    with django_db_blocker.unblock():
        for connection in connections.all(initialized_only=True):
            if connection.vendor == "mysql":
                connection.close()
    yield
    gc.collect()
    with django_db_blocker.unblock():
        assert [] == _left_open()


def _left_open() -> list[tuple[str, str]]:
    """What others than this thread keep open to the databases of the run: name, last statement."""
    if settings.TEST_DB != "postgres":
        return []
    own = [each.connection.info.backend_pid for each in connections.all() if each.connection]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT datname, query FROM pg_stat_activity WHERE starts_with(datname, %s) "
            "AND pid <> pg_backend_pid() AND pid <> ALL(%s)",
            [settings.RUN_NAME, own],
        )
        return cursor.fetchall()  # type: ignore[no-any-return]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        wanted = {kind for kind in TITLES if item.get_closest_marker(kind)}
        if wanted and settings.TEST_DB not in wanted:
            titles = " or ".join(TITLES[kind] for kind in sorted(wanted))
            item.add_marker(pytest.mark.skip(reason=f"about {titles} only"))
