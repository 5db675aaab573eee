"""Calls that Django hands to the PostgreSQL driver as they are: ``copy``, ``stream`` and the like.

They pass no execute wrapper, so each new cursor gets a version of them that the watch sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from ormcache.writes.watch import Watch


def watch_driver_calls(connection: Any, watch: Watch) -> None:
    """Let the cursors the connection makes from now on be watched."""
    for name in ("make_cursor", "make_debug_cursor"):
        setattr(connection, name, _making(getattr(connection, name), watch))


def _making(make: Callable[[Any], Any], watch: Watch) -> Callable[[Any], Any]:
    def made(cursor: Any) -> Any:
        wrapper = make(cursor)
        for name, watched in _calls_of(cursor.__class__):
            # None of them knows the wrapper: in a cycle cursors would wait for the garbage
            # collector.
            setattr(wrapper, name, partial(watched, cursor, watch))
        return wrapper

    return made


@cache
def _calls_of(kind: Any) -> list[tuple[str, Callable[..., Any]]]:
    return [(name, watched) for name, watched in _WATCHED if hasattr(kind, name)]


@contextmanager
def _copy(cursor: Any, watch: Watch, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    with watch.passing(statement, cursor), cursor.copy(statement, *args, **kwargs) as running:
        yield running


def _stream(cursor: Any, watch: Watch, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    with watch.passing(query, cursor):
        yield from cursor.stream(query, *args, **kwargs)


def _copy_expert(cursor: Any, watch: Watch, sql: Any, *args: Any, **kwargs: Any) -> Any:
    with watch.passing(sql, cursor):
        return cursor.copy_expert(sql, *args, **kwargs)


def _copy_from(cursor: Any, watch: Watch, file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
    with watch.passing(f'COPY "{table}" FROM STDIN', cursor):
        return cursor.copy_from(file, table, *args, **kwargs)


# psycopg has the first two, psycopg2 the others.
_WATCHED: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("copy", _copy),
    ("stream", _stream),
    ("copy_expert", _copy_expert),
    ("copy_from", _copy_from),
)
