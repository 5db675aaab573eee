"""Visits to the pages through the real WSGI application, with the SQL queries counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import RequestFactory

_requests = RequestFactory(SERVER_NAME="localhost")
_application: WSGIHandler | None = None


def visit(path: str, method: str = "GET") -> str:
    """Status and body of a page. Raises ``RuntimeError`` when the site fails (status 5xx)."""
    global _application
    _application = _application or WSGIHandler()
    statuses: list[str] = []

    def start_response(status: str, headers: Any, error: Any = None, /) -> Any:
        statuses.append(status)

    environ = _requests.generic(method, path).environ
    response = _application(environ, start_response)
    try:
        body = b"".join(response).decode()
    finally:
        response.close()
    if statuses[0] >= "500":
        raise RuntimeError(f"{method} {path}: {statuses[0]}")
    return f"{statuses[0]}\n{body}"


class Queries:
    """Counts the SQL statements of one connection."""

    count = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.count += 1
        return execute(sql, params, many, context)


@contextmanager
def counted_queries() -> Iterator[Queries]:
    queries = Queries()
    with connection.execute_wrapper(queries):
        yield queries
