"""From a URL or a connection pool to a client."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ormcache import interrupts
from ormcache.exceptions import ConfigError
from ormcache.store.client import Client
from ormcache.store.embedded import embedded_client
from ormcache.store.mistakes import check_options, check_url
from ormcache.store.sentinel import SCHEME, sentinel_pool

TIMEOUT = 0.25
"""Seconds one call may take: a dead server costs a page no more than this, once."""

UNREADABLE = 'an unreadable URL (":/?#@" inside a user or password must be percent-encoded)'

_HOSTS = re.compile(r"[\w.,:\[\]-]*\Z")

# Prepared by a pool for the connections of its own client; they would tie ours to it.
_POOL_ONLY = {"maint_notifications_pool_handler", "maint_notifications_config", "himport_registry"}


def open_url(url: str) -> Client:
    """A client for ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``memory://``.

    Opens no socket yet. Raises ``ConfigError`` for a URL that cannot be used.
    """
    if url.startswith("memory:"):
        return embedded_client()
    where = redacted(url)
    try:
        pool: Any
        check_url(url)
        if url.startswith(SCHEME + ":"):
            pool = sentinel_pool(url, TIMEOUT)
        else:
            pool = redis.ConnectionPool.from_url(url)
            check_options(pool.connection_class, url)
    except (ValueError, TypeError) as error:
        interrupts.pass_on(error)
        # About a URL that does not come apart the error may quote a piece of its password.
        reason = "" if where == UNREADABLE else f": {error}"
        raise ConfigError(f'ORMCACHE["URL"] cannot be used: {where}{reason}') from None
    return open_pool(pool, where)


def open_pool(pool: Any, where: str) -> Client:
    """A client that connects the way ``pool`` does, with connections of its own."""
    options = {
        key: value
        for key, value in pool.connection_kwargs.items()
        if key not in _POOL_ONLY and not key.startswith("orig_")
    }
    options.update(
        decode_responses=False,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        socket_timeout=_shortest(options.get("socket_timeout")),
        socket_connect_timeout=_shortest(options.get("socket_connect_timeout")),
    )

    def connect() -> Any:
        return pool.connection_class(**options)

    return Client(connect, where)


def _shortest(timeout: float | None) -> float:
    return TIMEOUT if timeout is None else min(timeout, TIMEOUT)


def redacted(url: str) -> str:
    """``url`` without what authenticates."""
    try:
        parts = urlsplit(url)
        if not url.startswith(f"{parts.scheme}://"):
            return f"{parts.scheme}:…"
        if "@" in parts.path + parts.query + parts.fragment:
            return UNREADABLE
        if parts.scheme == SCHEME:
            netloc = parts.netloc.rpartition("@")[2]
            if not _HOSTS.match(netloc):
                return UNREADABLE
        else:
            netloc = parts.hostname or ""
            netloc += _port(parts)
        return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    except ValueError:
        return UNREADABLE


def _port(parts: SplitResult) -> str:
    """As it stands in a URL, or that there is something else in its place."""
    try:
        return f":{parts.port}" if parts.port else ""
    except ValueError:
        return ":…"
