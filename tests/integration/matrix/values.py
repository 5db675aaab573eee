"""From what a read returns to values that can be compared, and sent to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

Read = Callable[[], Any]
Reads = Mapping[str, Read]


def row(instance: Any) -> Any:
    """An instance as a value: its fields, as far as they are loaded."""
    if instance is None:
        return None
    loaded = {
        field.attname: instance.__dict__[field.attname]
        for field in instance._meta.concrete_fields
        if field.attname in instance.__dict__
    }
    return (instance._meta.label, loaded)


def rows(queryset: Any) -> list[Any]:
    return [row(instance) for instance in queryset]


def plain(found: Any) -> Any:
    """Whatever a read returns as plain values."""
    if isinstance(found, models.Model):
        return row(found)
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, models.QuerySet) or type(found) in (list, tuple):
        return [plain(each) for each in found]
    if isinstance(found, tuple):  # A named one, whose class no other process has.
        return [type(found).__name__, *map(plain, found)]
    return found


def evaluate(read: Read) -> Any:
    """The answer of a read; the name of the error if the row it wants is not there."""
    try:
        return plain(read())
    except (ObjectDoesNotExist, IndexError) as error:
        return f"raises {type(error).__name__}"
