"""A cache of a test's own: a namespace that nobody else uses, emptied afterwards."""

from __future__ import annotations

import inspect
import uuid
from typing import Any, TypeVar, overload
from unittest import TestCase

from django.conf import settings
from django.test.utils import TestContextDecorator, override_settings

from ormcache import runtime
from ormcache.conf import Config
from ormcache.exceptions import StoreError
from ormcache.keys import site_prefix

_T = TypeVar("_T")
_LONGEST = 40
"""Characters of the project's namespace that are kept: the whole may have 64."""


class Isolation(TestContextDecorator):
    """What ``isolated()`` returns: a context manager that is a decorator, too."""

    def __init__(self, enabled: bool | None = None) -> None:
        super().__init__()
        self._enabled = enabled
        self._overrides: list[Any] = []

    def __call__(self, decorated: Any) -> Any:
        is_class = isinstance(decorated, type)
        if not callable(decorated) or (is_class and not issubclass(decorated, TestCase)):
            raise TypeError(
                f"isolated takes a function or a class of unittest.TestCase, not {decorated!r}. "
                "To switch the cache write isolated(enabled=False)."
            )
        if inspect.isasyncgenfunction(decorated) or inspect.isgeneratorfunction(decorated):
            # It would be over before the first step.
            raise TypeError(
                f"isolated does not decorate the generator {decorated.__name__}. Write "
                "with isolated(): in it."
            )
        return super().__call__(decorated)

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


@overload
def isolated(*, enabled: bool | None = None) -> Isolation: ...
@overload
def isolated(decorated: _T, /) -> _T: ...
def isolated(*decorated: Any, enabled: bool | None = None) -> Any:
    """Within the block, function or test case nothing is cached yet, and nobody else is met.

    ``enabled``: switches the cache on or off; left out, it is as the settings say.
    ``with isolated():``, ``@isolated`` or ``@isolated()``. It decorates functions, asynchronous
    ones too, and classes of ``TestCase``, where it holds for each test by itself. Raises
    ``TypeError`` for anything else.
    """
    isolation = Isolation(enabled)
    if not decorated:
        return isolation
    if len(decorated) > 1:
        raise TypeError(f"isolated takes one function or class, not {len(decorated)} arguments.")
    return isolation(decorated[0])


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
