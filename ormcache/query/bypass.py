"""Switching the cache off for a stretch of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

bypassed: ContextVar[bool] = ContextVar("ormcache_bypassed", default=False)


@contextmanager
def bypass() -> Iterator[None]:
    """Within the block this thread or task reads and fills no layer of the cache.

    Its writes still invalidate. Usable as a decorator, too.
    """
    token = bypassed.set(True)
    try:
        yield
    finally:
        bypassed.reset(token)
