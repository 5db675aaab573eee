"""Switching the cache off for a stretch of code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import partial, wraps
from typing import Any, Self, TypeVar, overload

from asgiref.sync import iscoroutinefunction

bypassed: ContextVar[bool] = ContextVar("ormcache_bypassed", default=False)

_F = TypeVar("_F", bound=Callable[..., Any])


class Bypass:
    """What ``bypass()`` returns: a context manager that is a decorator, too."""

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> Self:
        self._tokens.append(bypassed.set(True))
        return self

    def __exit__(self, *exception: object) -> None:
        bypassed.reset(self._tokens.pop())

    def __call__(self, function: _F) -> _F:
        decorated: _F = _decorated(function)
        return decorated


@overload
def bypass() -> Bypass: ...
@overload
def bypass(function: _F) -> _F: ...
def bypass(function: Any = None) -> Any:
    """Within the block or the function this thread or task reads and fills no layer of the cache.

    Writes still invalidate. ``with bypass():``, ``@bypass`` or ``@bypass()``; a function may be
    asynchronous, a generator or both. Raises ``TypeError`` for anything else, a class included.
    """
    return Bypass() if function is None else _decorated(function)


def _decorated(function: Any) -> Any:
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"@ormcache.bypass takes a function, not {function!r}. Decorate a view class with "
            "django.utils.decorators.method_decorator(ormcache.bypass, name='dispatch')."
        )
    if inspect.isasyncgenfunction(function):
        return _async_generator(function)
    if inspect.isgeneratorfunction(function):
        return _generator(function)
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        return _coroutine(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with Bypass():
            return function(*args, **kwargs)

    return call


def _coroutine(function: Any) -> Any:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with Bypass():
            return await function(*args, **kwargs)

    return call


def _generator(function: Any) -> Any:
    """Only its own steps are inside: whoever reads between two of them reads as before."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        step = partial(next, steps)
        try:
            while True:
                with Bypass():
                    try:
                        value = step()
                    except StopIteration as end:
                        return end.value
                try:
                    step = partial(steps.send, (yield value))
                except Exception as error:
                    step = partial(steps.throw, error)
        finally:
            with Bypass():
                steps.close()

    return call


def _async_generator(function: Any) -> Any:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        step = partial(anext, steps)
        try:
            while True:
                with Bypass():
                    try:
                        value = await step()
                    except StopAsyncIteration:
                        return
                try:
                    step = partial(steps.asend, (yield value))
                except Exception as error:
                    step = partial(steps.athrow, error)
        finally:
            with Bypass():
                await steps.aclose()

    return call
