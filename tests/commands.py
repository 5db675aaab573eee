"""Calling ``manage.py ormcache``, and what its tests read and break."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.db import connection, connections

from ormcache import runtime
from ormcache.keys import TableKeys
from ormcache.writes.hooks import state_of
from tests.testapp.models import Author


def run(*arguments: str) -> tuple[str, str]:
    """What a subcommand writes to the standard output and to the error output."""
    out, err = StringIO(), StringIO()
    call_command("ormcache", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def run_json(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(run(*arguments, "--format", "json")[0]))


def keys_of(model: Any, using: str = "default") -> TableKeys:
    label = state_of(connections[using]).label
    return runtime.current().keys(label, model._meta.db_table)


def new_author(slug: str = "ann") -> Author:
    return Author.objects.create(name="Ann", slug=slug)


def warm(author: Author) -> None:
    """One row, a list, a named list and what belongs to them."""
    assert 1 == len(Author.objects.filter(active=True))
    assert 1 == len(Author.objects.filter(active=True).cache(key="active"))
    assert author == Author.objects.get(pk=author.pk)


def change_unseen(author: Author, name: str) -> None:
    """What another program would do to the row."""
    execute_unseen(f"UPDATE testapp_author SET name = '{name}' WHERE id = {author.pk:d}")


def execute_unseen(sql: str) -> None:
    """What another program would do: past Django, and so past the cache."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute(sql)
    cursor.close()
