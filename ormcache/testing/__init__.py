"""For the tests of projects: each test beside a cache of its own, on or off.

Importing this package reads no settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ormcache.testing.isolation import isolated

__all__ = ["isolated"]


def __getattr__(name: str) -> Any:
    if name != "isolated":
        raise AttributeError(f"module 'ormcache.testing' has no attribute {name!r}")
    from ormcache.testing.isolation import isolated

    return isolated
