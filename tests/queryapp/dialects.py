"""Compiling a query for SQLite and PostgreSQL without a connection to either."""

from __future__ import annotations

import importlib
from enum import Enum
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet

# Features that Django finds out by asking the server.
ASKED = {
    "sqlite3": {"supports_json_field": True},
    "postgresql": {"is_postgresql_15": True, "is_postgresql_16": True, "is_postgresql_17": True},
}


@cache
def dialects() -> tuple[Any, ...]:
    """Connections that never connect; PostgreSQL only where its driver is installed."""
    found = []
    for name in ASKED:
        try:
            module = importlib.import_module(f"django.db.backends.{name}.base")
        except Exception:  # ImproperlyConfigured, if there is no driver.
            continue
        connection = module.DatabaseWrapper(
            {"NAME": "nowhere", "OPTIONS": {}, "TIME_ZONE": None, "ENGINE": ""}, "nowhere"
        )
        for feature, value in ASKED[name].items():
            setattr(connection.features, feature, value)
        found.append(connection)
    return tuple(found)


def compiled(query: Any, connection: Any) -> tuple[str, ...]:
    """SQL and parameters with their types, or the error Django raises instead."""
    try:
        sql, params = query.clone().get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return ("empty",)
    except Exception as error:
        return ("error", type(error).__name__, str(error))
    return (sql, *(_typed(param) for param in params))


def _typed(param: Any) -> str:
    if isinstance(param, Enum):
        param = param.value
    if type(param).__name__ == "Jsonb":
        return f"Jsonb {param.obj!r}"
    kind = "str" if isinstance(param, str) else type(param).__qualname__
    return f"{kind} {param!r}"
