"""The cache of this process: built from the settings on first use, and again when they change."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings

from ormcache.backends import open_alias
from ormcache.coherence.reader import LONGEST_MS, Reader
from ormcache.coherence.writer import Writer
from ormcache.conf import Config, parse
from ormcache.exceptions import ConfigError
from ormcache.keys import TableKeys
from ormcache.store.client import Client
from ormcache.store.connect import open_url
from ormcache.store.embedded import embedded_client


@dataclass(slots=True)
class Runtime:
    """Everything that belongs to one reading of the settings."""

    config: Config
    store: Client
    reader: Reader
    writer: Writer
    outbox_checks: dict[str, Any] = field(default_factory=dict)
    """By label of a database, what ``outage.check`` knows of its outbox."""
    _keys: dict[tuple[str, str], TableKeys] = field(default_factory=dict)

    def keys(self, database: str, table: str) -> TableKeys:
        """The keys of a table; ``database`` is a label from ``labels``."""
        try:
            return self._keys[database, table]
        except KeyError:
            made = TableKeys(self.config.namespace, database, table)
            return self._keys.setdefault((database, table), made)

    @property
    def stamp_ms(self) -> int:
        """How long a stamp lives unused. One that goes too early costs a miss, no more."""
        timeout = self.config.timeout
        if timeout is None:
            return LONGEST_MS
        return min(max(_WEEK_MS, int(timeout * 4000)), LONGEST_MS)


_WEEK_MS = 7 * 86_400_000
_current: Runtime | None = None
_built: dict[str, Runtime] = {}


def current() -> Runtime:
    """The runtime. Raises ``ConfigError`` when the setting cannot be used."""
    return _current or _build()


def built() -> Runtime | None:
    """The runtime if it has been used already; reads no settings."""
    return _current


def reset() -> None:
    """Forget the runtime: the next use reads the settings again."""
    global _current
    old, _current = _current, None
    _built.clear()
    if old is not None:
        old.store.close()


def _after_fork() -> None:
    # A thread of the parent may have held the lock of one of the outbox_checks.
    if _current is not None:
        _current.outbox_checks.clear()


os.register_at_fork(after_in_child=_after_fork)


def _build() -> Runtime:
    global _current
    if not apps.is_installed("ormcache"):
        # Its receivers would be missing, and with them every write they see.
        raise ConfigError('Add "ormcache" to INSTALLED_APPS.')
    config, problems = parse(getattr(settings, "ORMCACHE", None))
    if problems:
        raise ConfigError(" ".join(map(str, problems)))
    store = _open(config)
    # Of several threads that build one, all take the first; nothing was opened for the others.
    _current = _built.setdefault("", Runtime(config, store, Reader(store), Writer(store)))
    return _current


def _open(config: Config) -> Client:
    if config.cache is not None:
        return open_alias(config.cache)
    if config.url is not None:
        return open_url(config.url)
    return embedded_client()
