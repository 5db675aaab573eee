"""The databases of the test project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from tests.testapp.models import PlainThing

ROOT = Path(__file__).parents[2]

COUNT_TABLES = """
import django
django.setup()
from django.db import connections
for alias in ("default", "other"):
    print(len(connections[alias].introspection.table_names()))
"""


@pytest.mark.django_db(databases=["default", "other"])
def test_both_databases_have_the_tables() -> None:
    for alias in ("default", "other"):
        assert PlainThing._meta.db_table in connections[alias].introspection.table_names()


@pytest.mark.django_db
def test_names_are_those_of_the_settings() -> None:
    assert settings.RUN_NAME in str(connections["default"].settings_dict["NAME"])


@pytest.mark.processes
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_child_process_opens_the_same_databases() -> None:
    expected = [
        len(connections[alias].introspection.table_names()) for alias in ("default", "other")
    ]
    child = subprocess.run(
        [sys.executable, "-c", COUNT_TABLES],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected == [int(line) for line in child.stdout.split()]
