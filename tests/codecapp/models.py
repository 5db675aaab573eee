"""One column for every built-in field, and some fields a project might write."""

from __future__ import annotations

import os
import uuid

from django.db import models
from django.db.models import F

from tests.codecapp.fields import (
    ColourDecoder,
    ColourEncoder,
    ColourField,
    TagsField,
    UpperCharField,
)


class Target(models.Model):
    """A text key, so that a foreign key to it is not an integer."""

    code = models.CharField(max_length=20, primary_key=True)
    token = models.UUIDField(unique=True, default=uuid.uuid4)

    def __str__(self) -> str:
        return self.code


class EveryField(models.Model):
    class Size(models.TextChoices):
        SMALL = "s"
        LARGE = "l"

    class Level(models.IntegerChoices):
        LOW = 1
        HIGH = 2

    small = models.SmallIntegerField(null=True)
    integer = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive_small = models.PositiveSmallIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_big = models.PositiveBigIntegerField(null=True)
    decimal = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    real = models.FloatField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=200, null=True)
    size = models.CharField(max_length=1, choices=Size, null=True)
    level = models.IntegerField(choices=Level, null=True)
    text = models.TextField(null=True)
    slug = models.SlugField(null=True)
    email = models.EmailField(null=True)
    url = models.URLField(null=True)
    path = models.FilePathField(null=True)
    address = models.GenericIPAddressField(null=True)
    binary = models.BinaryField(null=True)
    date = models.DateField(null=True)
    time = models.TimeField(null=True)
    datetime = models.DateTimeField(null=True)
    duration = models.DurationField(null=True)
    token = models.UUIDField(null=True)
    json = models.JSONField(null=True)
    json_custom = models.JSONField(null=True, encoder=ColourEncoder, decoder=ColourDecoder)
    file = models.FileField(null=True)
    target = models.ForeignKey(Target, models.CASCADE, null=True, related_name="+")
    target_token = models.ForeignKey(
        Target, models.CASCADE, null=True, related_name="+", to_field="token"
    )
    only = models.OneToOneField(Target, models.CASCADE, null=True, related_name="+")
    doubled = models.GeneratedField(
        expression=F("integer") * 2, output_field=models.BigIntegerField(), db_persist=True
    )
    upper = UpperCharField(max_length=50, null=True)
    colour = ColourField(max_length=10, null=True)
    tags = TagsField(null=True)

    def __str__(self) -> str:
        return str(self.pk)


if os.environ.get("ORMCACHE_TEST_DB") == "postgres":
    from django.contrib.postgres import fields as postgres

    class EveryPostgresField(models.Model):
        integers = postgres.ArrayField(models.IntegerField(), null=True)
        texts = postgres.ArrayField(models.TextField(), null=True)
        matrix = postgres.ArrayField(postgres.ArrayField(models.BigIntegerField()), null=True)
        decimals = postgres.ArrayField(
            models.DecimalField(max_digits=9, decimal_places=3), null=True
        )
        moments = postgres.ArrayField(models.DateTimeField(), null=True)
        tokens = postgres.ArrayField(models.UUIDField(), null=True)
        blobs = postgres.ArrayField(models.BinaryField(), null=True)
        documents = postgres.ArrayField(models.JSONField(), null=True)
        addresses = postgres.ArrayField(models.GenericIPAddressField(), null=True)
        integer_range = postgres.IntegerRangeField(null=True)
        big_range = postgres.BigIntegerRangeField(null=True)
        decimal_range = postgres.DecimalRangeField(null=True)
        date_range = postgres.DateRangeField(null=True)
        datetime_range = postgres.DateTimeRangeField(null=True)
        ranges = postgres.ArrayField(postgres.IntegerRangeField(), null=True)
        store = postgres.HStoreField(null=True)

        def __str__(self) -> str:
            return str(self.pk)
