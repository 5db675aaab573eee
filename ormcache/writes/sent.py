"""Whether what a statement sends for a column is what the column holds already.

Values are compared as the driver is given them, and by their encoded form: ``==`` of Python takes
for equal what a column tells apart (``True`` and ``1``, two folds of one hour, any class with an
``__eq__`` of its own).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import models

from ormcache.codec.values import pack
from ormcache.exceptions import Unrepresentable


def is_held(field: Any, held: Any, sent: Any, connection: Any) -> bool:
    """Whether ``sent``, a parameter for a column of a field that stores plainly, is what it holds.

    ``held`` is the value as it was loaded. False whenever that is not certain.
    """
    if held is None or sent is None:
        # Of JSON both NULL and null are loaded as None.
        return held is sent and not isinstance(field, models.JSONField)
    try:
        as_sent = field.get_db_prep_save(held, connection)
        return pack(_plain(as_sent)) == pack(_plain(sent))
    except Unrepresentable:
        return False


def _plain(value: Any) -> Any:
    """A parameter as the database reads it, in types that have an exact encoding."""
    kind = type(value)
    if kind in (list, tuple):
        return [_plain(item) for item in value]
    if kind is dt.datetime:
        # In whatever zone it was given, a moment is stored as that moment.
        return value.replace(fold=0) if value.tzinfo is None else value.astimezone(dt.UTC)
    if kind is memoryview:
        return bytes(value)
    if kind.__module__.startswith(("psycopg.", "psycopg2.")):
        return _unwrapped(value)
    return text_of(value)


def text_of(value: Any) -> Any:
    """A text given as a member of choices as that text; anything else as it is."""
    return str.__str__(value) if isinstance(value, models.TextChoices) else value


def _unwrapped(value: Any) -> Any:
    """What a wrapper tells the driver the type of."""
    if isinstance(value, int):
        return int(value)
    name = type(value).__name__
    if name in ("Json", "Jsonb"):
        return value.dumps(value.obj)
    return bytes(value.obj) if name == "Binary" else value
