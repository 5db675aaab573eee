"""What is wrong with a URL or with the server it leads to, in words that say how to mend it."""

from __future__ import annotations

import difflib
import inspect
import ssl
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from redis.connection import (
    URL_QUERY_ARGUMENT_PARSERS,
    SSLConnection,
    UnixDomainSocketConnection,
)

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
_NO_TLS = (
    "The TLS handshake failed: does the server speak TLS on this port? For one that does not "
    "write redis://host:6379/0"
)
_FORMS = {
    "redis": "redis://host:6379/0",
    "rediss": "rediss://host:6379/0",
    "unix": "unix:///path/to/socket",
    "redis+sentinel": "redis+sentinel://host:26379/service/0",
}
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


def on_silence(error: Exception) -> str:
    """What it means that a server did not answer."""
    chain = list(_chain(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        return str(error)
    if any(isinstance(each, ssl.SSLError) or "handshake" in str(each) for each in chain):
        return f"{error}. {_NO_TLS}"
    return str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def check_url(url: str) -> None:
    """Raise ``ValueError`` for what redis-py would take for something else, or name by halves:
    slashes, the port, the number of the database, values of options.

    The port is not quoted: where the host is missing, it is a password."""
    parts = urlsplit(url)
    if not url.startswith(f"{parts.scheme}://"):
        form = _FORMS.get(parts.scheme, _FORMS["redis"])
        raise ValueError(f"two slashes follow the colon: write {form}")
    if parts.scheme != "unix":
        for host in parts.netloc.rpartition("@")[2].split(","):
            check_port(host)
    number = parts.path.removeprefix("/")
    if parts.scheme in ("redis", "rediss") and number and not number.isdecimal():
        raise ValueError(
            f"{number!r} is no database number; write one after the host and port, as in "
            f"{parts.scheme}://host:6379/0"
        )
    for name, value in parse_qsl(parts.query):
        _check_value(name, value)


def check_port(host: str) -> None:
    """Raise ``ValueError`` if a host is followed by a port that is none."""
    try:
        is_port = urlsplit(f"//{host}").port != 0
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError(
            "its port is none: behind the host and the colon a number up to 65535 stands"
        )


def _check_value(name: str, value: str) -> None:
    parser: Any = URL_QUERY_ARGUMENT_PARSERS.get(name.removeprefix(SENTINEL))
    if parser not in (int, float):
        return
    try:
        parser(value)
    except ValueError:
        example = f"{name}=1" if parser is int else f"{name}=0.2"
        kind = "a whole number" if parser is int else "seconds"
        raise ValueError(
            f"its option {name!r} is {value!r}; write {kind}, as in ?{example}"
        ) from None


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
