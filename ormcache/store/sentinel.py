"""The primary that a group of Redis Sentinels names, asked of them for every new connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import URL_QUERY_ARGUMENT_PARSERS, Connection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ormcache.store.mistakes import SENTINEL, check_options

SCHEME = "redis+sentinel"
_PORT = 26379


def sentinel_pool(url: str, timeout: float) -> SentinelConnectionPool:
    """The pool for ``redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db]``.

    User and password are those of the server; ``?sentinel_username=…&sentinel_password=…`` are
    those of the Sentinels. Other options are those of a ``redis://`` URL. ``timeout`` in seconds.

    Raises ``ValueError`` for anything else.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not hosts or not service or not (db.isdecimal() or not db):
        raise ValueError(f"write {SCHEME}://host:26379,host:26379/service/0")
    check_options(Connection, url)
    parse: Any = parse_url
    options: dict[str, Any] = parse(f"redis://{credentials}@-/{db}?{parts.query}")
    del options["host"]
    calm: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    own = {
        name.removeprefix(SENTINEL): _value(name.removeprefix(SENTINEL), options.pop(name))
        for name in list(options)
        if name.startswith(SENTINEL)
    }
    addresses = [_address(host) for host in hosts.split(",")]
    sentinel = Sentinel(addresses, sentinel_kwargs={**calm, **own})  # type: ignore[no-untyped-call]
    return SentinelConnectionPool(unquote(service), sentinel, **{**calm, **options})  # type: ignore[no-untyped-call]


def _value(name: str, value: Any) -> Any:
    """An option as redis-py reads it."""
    parser: Any = URL_QUERY_ARGUMENT_PARSERS.get(name)
    return value if parser is None else parser(value)


def _address(host: str) -> tuple[str, int]:
    found = urlsplit(f"//{host}")
    if not found.hostname:
        raise ValueError(f"{host!r} is no host")
    return found.hostname, found.port or _PORT
