"""What the sites of the tests give as ``ORMCACHE["VIEW"]``."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

tenant: ContextVar[str | None] = ContextVar("tenant", default=None)
"""The tenant of the request."""

asked = 0


def of_schema(connection: Any) -> str:
    """django-tenants: the schema that is current, sent to the server with the next cursor."""
    return str(connection.schema_name)


def of_tenant() -> str | None:
    return tenant.get()


def fails(connection: Any) -> str:
    raise LookupError("no tenant")
