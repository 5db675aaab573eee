"""By which columns the lists of a table are told apart."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations
from django.utils.safestring import SafeString

from ormcache import interrupts
from ormcache.exceptions import Uncacheable
from ormcache.keys import value_token
from ormcache.schema.options import options_of

# What exact comparison in the database means is known for these classes, not for subclasses.
TEXTS = {models.CharField, models.SlugField, models.TextField}
_FOREIGN_KEYS = {models.ForeignKey, models.OneToOneField}
_EXACT_INTEGERS = {
    models.AutoField,
    models.BigAutoField,
    models.BigIntegerField,
    models.IntegerField,
    models.PositiveBigIntegerField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
    models.SmallAutoField,
    models.SmallIntegerField,
}
_WIDEST = -(2**63), 2**63 - 1
_PLAIN_PRE_SAVES = {models.Field.pre_save}


@dataclass(frozen=True, slots=True)
class Partition:
    """A column by whose value lists are told apart: those over other values are left alone.

    ``kind`` is the Python type of its values, whose equality is the database's.
    """

    column: str
    position: int
    kind: type
    field: Any

    def token(self, value: Any) -> bytes | None:
        """``value`` as a part of a key; ``None`` when it is not surely what the row will hold."""
        if value is None or type(value) is self.kind:
            return value_token(value)
        known = self.normalise(value)
        return None if known is None else value_token(known)

    def stored_token(self, value: Any) -> bytes | None:
        """The same of a value that was sent to the column: it may cut blanks off a long text, and
        make the nearest number of one beyond its range (MySQL, where it is not strict)."""
        if self.kind is str and value is not None:
            longest = self.field.max_length
            if longest is not None and len(value) > longest:
                return None
        if self.kind is int and isinstance(value, int):
            lowest, highest = integer_range(self.field)
            if not lowest <= value <= highest:
                return None
        return self.token(value)

    def normalise(self, value: Any) -> Any:
        """``value`` as the row will hold it; ``None`` when that is not sure."""
        if type(value) is self.kind:
            return value
        if isinstance(value, SafeString | models.TextChoices) and self.kind is str:
            # To a driver it is the text; any other subclass may be written in its own way.
            return str.__str__(value)
        if value is None or self.kind is str or isinstance(value, float):
            return None
        try:
            value = self.field.to_python(value)
        except Exception as error:
            interrupts.pass_on(error)
            return None
        return value if type(value) is self.kind else None


@dataclass(frozen=True, slots=True)
class Scheme:
    """The partitions of a table whose stamps its writers keep.

    ``id`` tells two versions of the code apart that partition differently: neither relies on
    stamps the other does not keep.
    """

    id: bytes
    partitions: tuple[Partition, ...]


def scheme(partitions: tuple[Partition, ...]) -> Scheme:
    named = "\n".join(f"{each.column} {each.kind.__name__}" for each in partitions)
    return Scheme(hashlib.blake2b(named.encode(), digest_size=4).digest(), partitions)


def partitions(model: type[models.Model], fields: tuple[Any, ...]) -> Iterator[Partition]:
    chosen = options_of(model).partitions
    for position, item in enumerate(fields):
        named = item.unique or item.is_relation if chosen is None else item.name in chosen
        kind = partition_kind(item)
        if named and kind is not None and not item.primary_key:
            yield Partition(item.column, position, kind, final_target(item))


def partition_kind(item: Any) -> type | None:
    """The type of the values a field can be partitioned by, ``None`` if it cannot be."""
    if item.generated or (item.is_relation and type(item) not in _FOREIGN_KEYS):
        return None
    target = final_target(item)
    if type(item).pre_save not in _PLAIN_PRE_SAVES:
        # What it writes need not be what the instance holds.
        return None
    if type(target) in _EXACT_INTEGERS:
        return int
    if type(target) is models.UUIDField:
        return uuid.UUID
    if type(target) in TEXTS and not target.db_collation:
        return str
    return None


def integer_range(field: Any) -> tuple[int, int]:
    """The least and the greatest number of an integer field; of one that Django does not know,
    those of the widest column."""
    return BaseDatabaseOperations.integer_field_ranges.get(field.get_internal_type(), _WIDEST)


def final_target(field: Any) -> Any:
    """The field whose values a field holds: that at the end of its foreign keys.

    Raises ``Uncacheable`` while one of them leads to a model that is not there yet.
    """
    while field.remote_field is not None:
        if isinstance(field.remote_field.model, str):
            raise Uncacheable(f"{field} leads to {field.remote_field.model}, which is not there")
        field = field.target_field
    return field
