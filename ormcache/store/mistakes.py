"""What is wrong with a URL or with the server it leads to, in words that say how to mend it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.connection import SSLConnection, UnixDomainSocketConnection

IS_SENTINEL = (
    "it is a Sentinel and holds no data. Write redis+sentinel://host:26379/service/0, with the "
    "name the Sentinels know the primary by"
)
_NO_SENTINEL = (
    "it is no Sentinel. Sentinels answer on a port of their own, mostly 26379; for a server "
    "without Sentinels write redis://host:6379/0"
)
_NO_DATABASE = (
    "it has no database of that number. Most servers have 0 to 15 (databases in redis.conf)"
)
SENTINEL = "sentinel_"
"""What the options of the Sentinels themselves begin with, in the query of a URL."""
_POOLED = {"max_connections"}
_SCHEMES = {"rediss": SSLConnection, "unix": UnixDomainSocketConnection}


def on_connecting(error: Exception) -> str:
    """What a server's refusal of a new connection means."""
    text = str(error)
    if "DB index" in text or "Invalid Database" in text:
        return f"{_NO_DATABASE}: {text}"
    if "unknown command 'SENTINEL'" in text:
        return f"{_NO_SENTINEL}: {text}"
    if "unknown command 'SELECT'" in text:
        return IS_SENTINEL
    return text


def check_path(url: str) -> None:
    """Raise ``ValueError`` for a database number that is none; redis-py would take 0 for it."""
    parts = urlsplit(url)
    number = parts.path.removeprefix("/")
    if parts.scheme in ("redis", "rediss") and number and not number.isdecimal():
        raise ValueError(
            f"{number!r} is no database number; write one after the host and port, as in "
            f"{parts.scheme}://host:6379/0"
        )


def check_options(connection: type, url: str) -> None:
    """Raise ``ValueError`` for an option in the URL's query that connections of a class do not
    take: redis-py would say so at each connection."""
    parts = urlsplit(url)
    known = _names(connection) | _POOLED
    for name in parse_qs(parts.query):
        # With that prefix they are those of the Sentinels.
        prefix = SENTINEL if name.startswith(SENTINEL) and _asks_sentinels(parts.scheme) else ""
        plain = name.removeprefix(prefix)
        if plain not in known:
            advice = _advice(plain, known, parts.scheme, prefix)
            raise ValueError(f"its query has the unknown option {name!r}. {advice}")


@cache
def _names(connection: type) -> frozenset[str]:
    """The names of the options, which each class takes some of and hands the rest on."""
    found: set[str] = set()
    for each in connection.__mro__[:-1]:
        made: Any = vars(each).get("__init__")
        if made is not None:
            found |= inspect.signature(made).parameters.keys()
    return frozenset(found - {"self", "args", "kwargs"})


def _asks_sentinels(scheme: str) -> bool:
    return scheme == "redis+sentinel"


def _advice(name: str, known: Iterable[str], scheme: str, prefix: str) -> str:
    other = next((each for each, kind in _SCHEMES.items() if name in _names(kind)), None)
    if other is not None and other != scheme:
        return f"It is one of {other}:// URLs."
    close = difflib.get_close_matches(name, known, n=1)
    return f'Did you mean "{prefix}{close[0]}"?' if close else "The options are those of redis-py."
