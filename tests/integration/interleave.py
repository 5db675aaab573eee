"""Steps of other threads put between two steps of the code under test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

LONGEST = 30.0
"""Seconds another thread may take before it counts as hanging."""


def elsewhere(run: Callable[[], Any]) -> Any:
    """What ``run`` returns or raises in another thread, with connections of its own."""
    got: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            got.append(run())
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LONGEST)
    assert not thread.is_alive(), "the other thread hangs"
    if errors:
        raise errors[0]
    return got[0]


def once(run: Callable[[], Any]) -> Callable[[], None]:
    """``run`` the first time it is called, in another thread."""
    pending = [run]

    def call() -> None:
        if pending:
            elsewhere(pending.pop())

    return call


def after(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, step: Callable[[], None]
) -> None:
    """Run ``step`` just after each call of ``owner.name``."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        step()
        return result

    monkeypatch.setattr(owner, name, wrapped)
