"""What a write is, and the small steps many are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from django.db import connection

from tests.integration.matrix.world import World

Write: TypeAlias = Callable[[World], Any]


def change(instance: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(instance, name, value)
    return instance


def save(instance: Any, **values: Any) -> Any:
    # Any, as of ``sql``: so that a write can be a tuple of these.
    change(instance, **values).save()


def save_some(instance: Any, **values: Any) -> None:
    change(instance, **values).save(update_fields=list(values))


def sql(text: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, params)


def refused(error: type[Exception], write: Callable[[], Any]) -> None:
    """``write`` is one that Django or the database refuses."""
    try:
        write()
    except error:
        return
    raise AssertionError(f"nothing raised {error.__name__}")
