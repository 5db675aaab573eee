"""The names of databases where a migration puts them there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from ormcache.database import labels
from ormcache.exceptions import Uncacheable
from ormcache.writes.hooks import state_of

pytestmark = pytest.mark.django_db


def sqlite(name: object) -> DatabaseWrapper:
    """A connection to a SQLite database of its own."""
    settings: dict[str, Any] = dict(connections["default"].settings_dict)
    settings |= {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name), "OPTIONS": {}}
    return DatabaseWrapper(settings, "default")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite3"
    connection = sqlite(path)
    labels.establish(connection)
    connection.close()
    return path


def identify(name: object) -> str | None:
    connection = sqlite(name)
    try:
        return labels.identify(connection)
    finally:
        connection._close()  # type: ignore[attr-defined]


def test_a_file_keeps_its_name(file: Path, tmp_path: Path) -> None:
    assert identify(file) == identify(file)
    moved = file.rename(tmp_path / "moved.sqlite3")
    assert identify(moved) == identify(moved)


def test_a_copied_file_is_another_database(file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path / "b.sqlite3")
    assert identify(file) != identify(copy)


def test_a_file_created_anew_is_another_database(file: Path) -> None:
    before = identify(file)
    file.unlink()
    connection = sqlite(file)
    labels.establish(connection)
    connection.close()
    assert before != identify(file)


def test_a_number_that_is_renewed(file: Path) -> None:
    before = identify(file)
    connection = sqlite(file)
    labels.establish(connection)
    connection.close()
    assert before == identify(file)
    labels.establish(connection, renew=True)
    connection.close()
    assert before != identify(file)


def test_two_databases_in_memory() -> None:
    assert identify(":memory:") != identify(":memory:")
    shared = "file:here?mode=memory&cache=shared"
    assert identify(shared) == identify(shared) != identify(shared.replace("here", "there"))


def test_nothing_is_cached_before_migrations(tmp_path: Path) -> None:
    connection = sqlite(tmp_path / "new.sqlite3")
    sight = state_of(connection).sight
    with pytest.raises(Uncacheable, match="migrate ormcache"):
        sight.look()
    assert state_of(connection).label.startswith("at-")
    labels.establish(connection)
    sight.look()
    assert state_of(connection).label == labels.identify(connection)
    connection.close()


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_a_dump_under_another_name_is_another_database() -> None:
    connection = connections["default"]
    name = f"{project.RUN_NAME}_copy"
    table = f"{name}.{labels.TABLE}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM {labels.TABLE}")
            copy: Any = connection.copy()
            copy.settings_dict["NAME"] = name
            assert None is not labels.identify(copy) != labels.identify(connection)
            copy.close()
        finally:
            cursor.execute(f"DROP DATABASE {name}")
