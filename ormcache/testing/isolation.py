"""A cache of a test's own: a namespace that nobody else uses, emptied afterwards."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.test.utils import TestContextDecorator, override_settings

from ormcache import runtime
from ormcache.conf import Config
from ormcache.exceptions import StoreError
from ormcache.keys import site_prefix

_LONGEST = 40
"""Characters of the project's namespace that are kept: the whole may have 64."""


class isolated(TestContextDecorator):
    """Within the block, function or test case nothing is cached yet, and nobody else is met.

    ``enabled``: switches the cache on or off; left out, it is as the settings say. A context
    manager, a decorator of functions, asynchronous ones too, and of classes of ``TestCase``, where
    it holds for each test by itself.
    """

    def __init__(self, enabled: bool | None = None) -> None:
        super().__init__()
        self._enabled = enabled
        self._overrides: list[Any] = []

    def enable(self) -> None:
        setting = dict(getattr(settings, "ORMCACHE", None) or {})
        namespace = str(setting.get("NAMESPACE") or Config().namespace)[:_LONGEST]
        setting["NAMESPACE"] = f"{namespace}.test.{uuid.uuid4().hex[:16]}"
        if self._enabled is not None:
            setting["ENABLED"] = self._enabled
        override = override_settings(ORMCACHE=setting)
        override.enable()
        self._overrides.append(override)

    def disable(self) -> None:
        try:
            _empty()
        finally:
            self._overrides.pop().disable()


def _empty() -> None:
    """Give the memory of the namespace back, as far as the server can be reached."""
    cache = runtime.built()
    if cache is None or not cache.store.shared or not cache.store.round_trips:
        return
    try:
        for keys in cache.store.scan(site_prefix(cache.config.namespace) + b"*"):
            cache.store.run([("UNLINK", *keys)])
    except StoreError:
        return  # What stays has a timeout.
