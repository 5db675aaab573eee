"""A Redis server inside the process, for development and tests without one.

The same client runs the same scripts against it: it is fakeredis, not a second implementation.
"""

from __future__ import annotations

from typing import Any

from ormcache.exceptions import ConfigError
from ormcache.store.client import Client


def embedded_client() -> Client:
    """A client of a new, empty embedded server.

    Raises ``ConfigError`` when fakeredis with Lua is not installed.
    """
    try:
        import fakeredis
        import lupa  # noqa: F401  # fakeredis runs scripts with it
    except ImportError as error:
        raise ConfigError(
            "The embedded store needs fakeredis with Lua: pip install 'ormcache[embedded]', "
            'or set ORMCACHE["URL"] to a Redis server.'
        ) from error
    server = fakeredis.FakeServer()

    def connect() -> Any:
        return fakeredis.FakeRedisConnection(server=server, protocol=2)

    return Client(connect, "the embedded store", shared=False)
