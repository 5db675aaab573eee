"""The server of a ``CACHES`` alias: of django-redis, or of Django's own ``RedisCache``."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.utils.module_loading import import_string

from ormcache import interrupts
from ormcache.conf import URL_DOCS
from ormcache.exceptions import ConfigError
from ormcache.store.client import Client
from ormcache.store.connect import UNREADABLE, open_pool, redacted
from ormcache.store.mistakes import check_url

_KNOWN = "django.core.cache.backends.redis.RedisCache or django_redis.cache.RedisCache"


def problem(alias: str) -> tuple[str, str] | None:
    """What is wrong with an alias named by ``ORMCACHE["CACHE"]``, and how to mend it. Opens no
    connection."""
    named = f'ORMCACHE["CACHE"] names {alias!r},'
    if alias not in settings.CACHES:
        known = ", ".join(sorted(settings.CACHES))
        return f"{named} but CACHES has no such alias.", f"It has {known}."
    backend = str(settings.CACHES[alias].get("BACKEND", ""))
    try:
        kind = import_string(backend)
    except ImportError as error:
        return f"{named} whose backend {backend!r} cannot be imported: {error}.", _install(backend)
    if _is_builtin(kind) or _is_django_redis(kind):
        return _location_problem(alias)
    return (
        f"{named} whose backend {backend} is not one of Redis.",
        f'Name an alias with {_KNOWN}, or write "URL".',
    )


def _location_problem(alias: str) -> tuple[str, str] | None:
    location = settings.CACHES[alias].get("LOCATION", "")
    servers = re.split("[;,]", location) if isinstance(location, str) else location
    for url in map(str, servers or ()):
        try:
            is_redis = url.partition(":")[0] in ("redis", "rediss", "unix")
            if is_redis and redacted(url) != UNREADABLE:
                check_url(url)
        except ValueError as error:
            text = f"CACHES[{alias!r}] cannot be used: its LOCATION {redacted(url)}: {error}"
            return f"{text}.", f"See the forms of a URL: {URL_DOCS}"
    return None


def open_alias(alias: str) -> Client:
    """A client of the server that the cache writes to: a replica may lag behind.

    Raises ``ConfigError`` for an alias that cannot be used.
    """
    found = problem(alias)
    if found is not None:
        raise ConfigError(" ".join(found))
    try:
        cache: Any = caches[alias]
        if isinstance(cache, RedisCache):
            servers: Any = cache._cache
            pool = servers._get_connection_pool(write=True)
        else:
            pool = cache.client.get_client(write=True).connection_pool
    except Exception as error:
        interrupts.pass_on(error)
        # Of a URL that does not come apart the text may quote a piece of its password.
        raise ConfigError(
            f'ORMCACHE["CACHE"] names {alias!r}, whose connection cannot be made '
            f"({type(error).__name__}): try django.core.cache.caches[{alias!r}].get('x')."
        ) from None
    return open_pool(pool, f"CACHES[{alias!r}]")


def _is_builtin(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, RedisCache)


def _is_django_redis(kind: Any) -> bool:
    try:
        from django_redis.cache import RedisCache as OfDjangoRedis
    except ImportError:
        return False
    return isinstance(kind, type) and issubclass(kind, OfDjangoRedis)


def _install(backend: str) -> str:
    if backend.startswith("django_redis"):
        return 'Install it: pip install "ormcache[django-redis]".'
    return f"Name an alias with {_KNOWN}."
