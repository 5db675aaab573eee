"""The models there are, and what is remembered of them.

A model may appear at any time: in a test, by ``type()``, in a registry of its own. It brings
tables, relations and cascades with it, so all that was worked out of the models before is worked
out again on its next use.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from django.apps import apps
from django.db import models
from django.db.models.signals import class_prepared

K = TypeVar("K")
V = TypeVar("V")

# A collected object may work something out while this thread holds it.
_lock = threading.RLock()
_seen: weakref.WeakSet[type[models.Model]] = weakref.WeakSet()
_forgetters: list[Callable[[], None]] = []
_version = 0

HISTORICAL = "__fake__"
"""The module of the models that migrations make of their own history."""


class ModelMemo(dict[K, V]):
    """What ``work_out`` makes of each key and of the models there are; ``memo[key]`` asks for it.

    Nothing in it was worked out before the latest model appeared. A hit costs what a dictionary
    does. What ``work_out`` raises is not remembered.
    """

    __slots__ = ("_work_out",)

    def __init__(self, work_out: Callable[[K], V]) -> None:
        super().__init__()
        self._work_out = work_out
        forget_with_models(self.clear)

    def __missing__(self, key: K) -> V:
        version = _version
        value = self._work_out(key)
        with _lock:
            if version == _version:
                self[key] = value
        return value


def forget_with_models(forget: Callable[[], None]) -> None:
    """Have ``forget`` called whenever the set of models changes."""
    _forgetters.append(forget)


def changed() -> None:
    """The set of models changed: forget what was worked out of it."""
    global _version
    with _lock:
        _version += 1
        for forget in _forgetters:
            forget()


def version() -> int:
    """The number of changes so far."""
    return _version


def all_models() -> list[type[models.Model]]:
    """Every model that may be used: those of the installed applications first, then swapped ones
    and those of other registries. Those of the migrations' history are left out."""
    with _lock:
        seen = list(_seen)
    installed = apps.get_models(include_auto_created=True)
    swapped = apps.get_models(include_auto_created=True, include_swapped=True)
    return list(dict.fromkeys([*installed, *swapped, *sorted(seen, key=_name)]))


def _name(model: type[models.Model]) -> tuple[str, str]:
    return model._meta.label, model._meta.db_table


def _appeared(sender: type[models.Model], **kwargs: Any) -> None:
    # Not yet in its registry, so it has to be remembered here.
    if sender.__module__ == HISTORICAL:
        return
    with _lock:
        _seen.add(sender)
        changed()


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.RLock()


class_prepared.connect(_appeared, dispatch_uid="ormcache.modelset")
os.register_at_fork(after_in_child=_after_fork)
