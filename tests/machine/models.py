"""The models of a run, made from its seed: ``ORMCACHE_TEST_SEED``."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4

from django.db import models
from django.db.models import F

from ormcache.models import CachedModel
from tests.machine.schemas import make

SCHEMAS = [
    make(int(os.environ.get("ORMCACHE_TEST_SEED", "1")), number)
    for number in range(int(os.environ.get("ORMCACHE_MACHINE_SCHEMAS", "24")))
]

# What the sources name.
__all__ = ["UTC", "UUID", "CachedModel", "F", "date", "datetime", "time", "timedelta", "uuid4"]

for _schema in SCHEMAS:
    exec(compile(_schema.source, f"<schema {_schema.number}>", "exec"))

MODELS: dict[str, type[models.Model]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, models.Model) and value is not CachedModel
}
