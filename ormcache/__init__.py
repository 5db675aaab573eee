"""A Redis-backed, cross-process row cache for the Django ORM.

Importing this package reads no settings and opens no socket.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ormcache.analysis.stability import stable
    from ormcache.codec.fields import register_field
    from ormcache.invalidation import ainvalidate, invalidate
    from ormcache.reads.bypass import bypass
    from ormcache.stats import get_stats

__all__ = ["ainvalidate", "bypass", "get_stats", "invalidate", "register_field", "stable"]

__version__ = "0.1.0"

_HOMES = {
    "ainvalidate": "ormcache.invalidation",
    "bypass": "ormcache.reads.bypass",
    "get_stats": "ormcache.stats",
    "invalidate": "ormcache.invalidation",
    "register_field": "ormcache.codec.fields",
    "stable": "ormcache.analysis.stability",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ormcache' has no attribute {name!r}")
    return getattr(import_module(home), name)
