"""Rows that tell how old they are: every write gives them a version no row had before.

Two more columns of a book change apart from each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from ormcache.models import CachedModel


class Shelf(CachedModel):
    version = models.BigIntegerField()

    def __str__(self) -> str:
        return f"shelf {self.pk}"


class Book(CachedModel):
    shelf = models.ForeignKey(Shelf, models.CASCADE, related_name="books")
    version = models.BigIntegerField()
    shown = models.BooleanField(default=True)
    stars = models.IntegerField(default=0)

    if TYPE_CHECKING:
        # What Django adds mypy knows of the apps in the tests' settings only.
        shelf_id: int

    def __str__(self) -> str:
        return f"book {self.pk}"
