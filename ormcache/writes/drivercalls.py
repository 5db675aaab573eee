"""Calls that Django hands to the PostgreSQL driver as they are: ``copy``, ``stream`` and the like.

They pass no execute wrapper, so each new cursor gets a version of them that the watch sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ormcache.writes.sqlwatch import Watch


def watch_driver_calls(connection: Any, watch: Watch) -> None:
    """Let the cursors the connection makes from now on be watched."""
    for name in ("make_cursor", "make_debug_cursor"):
        setattr(connection, name, _making(getattr(connection, name), watch))


def _making(make: Callable[[Any], Any], watch: Watch) -> Callable[[Any], Any]:
    def made(cursor: Any) -> Any:
        wrapper = make(cursor)
        for name, watched in _WATCHED.items():
            if hasattr(cursor, name):
                setattr(wrapper, name, watched(getattr(cursor, name), wrapper, watch))
        return wrapper

    return made


def _copy(original: Any, wrapper: Any, watch: Watch) -> Any:
    @contextmanager
    def copy(statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with (
            watch.passing(statement, {"cursor": wrapper}),
            original(statement, *args, **kwargs) as running,
        ):
            yield running

    return copy


def _stream(original: Any, wrapper: Any, watch: Watch) -> Any:
    def stream(query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with watch.passing(query, {"cursor": wrapper}):
            yield from original(query, *args, **kwargs)

    return stream


def _copy_expert(original: Any, wrapper: Any, watch: Watch) -> Any:
    def copy_expert(sql: Any, *args: Any, **kwargs: Any) -> Any:
        with watch.passing(sql, {"cursor": wrapper}):
            return original(sql, *args, **kwargs)

    return copy_expert


def _copy_from(original: Any, wrapper: Any, watch: Watch) -> Any:
    def copy_from(file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
        with watch.passing(f'COPY "{table}" FROM STDIN', {"cursor": wrapper}):
            return original(file, table, *args, **kwargs)

    return copy_from


# psycopg has the first two, psycopg2 the others.
_WATCHED: dict[str, Callable[[Any, Any, Watch], Any]] = {
    "copy": _copy,
    "stream": _stream,
    "copy_expert": _copy_expert,
    "copy_from": _copy_from,
}
