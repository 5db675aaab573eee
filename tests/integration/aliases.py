"""Statements on the connection of the test, and further ways to its databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections


def sql(*statements: str) -> None:
    """Execute them one by one through a cursor."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def another_alias(alias: str, **changes: Any) -> Iterator[Any]:
    """An alias that ``DATABASES`` might have; its connection in this thread."""
    connections.settings[alias] = {**connections.settings["default"], **changes}
    try:
        # Outright, because tests may not connect by themselves to aliases they do not name.
        connections[alias].connect()
        yield connections[alias]
    finally:
        # Django leaves a database in memory open, and so would this.
        connections[alias]._close()  # type: ignore[attr-defined]
        del connections[alias]
        del connections.settings[alias]
