"""Models the write x read matrix needs besides those of ``testapp``: kinds of columns, of keys and
of ``on_delete``."""

from __future__ import annotations

import uuid
from typing import Any

import django
from django.conf import settings
from django.db import models
from django.db.models import F

from ormcache.models import CachedModel

CASELESS = {"sqlite": "NOCASE", "postgres": "caseless", "mariadb": None}[settings.TEST_DB]


class Sample(CachedModel):
    """A column for every type of lookup; three of them are partitions."""

    class Size(models.TextChoices):
        SMALL = "s"
        LARGE = "l"

    text = models.CharField(max_length=50)
    word = models.CharField(max_length=50, unique=True)
    number = models.IntegerField(null=True)
    rank = models.IntegerField(unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    flag = models.BooleanField(null=True)
    size = models.CharField(max_length=1, choices=Size, default=Size.SMALL)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    token = models.UUIDField(unique=True, default=uuid.uuid4)
    data = models.JSONField(null=True)
    status = models.CharField(max_length=10, db_default="new")
    doubled = models.GeneratedField(
        expression=F("rank") * 2, output_field=models.BigIntegerField(), db_persist=True
    )

    def __str__(self) -> str:
        return self.text


class Hall(CachedModel):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class GreatHall(Hall):
    class Meta:
        proxy = True


class Wing(Hall):
    """A child that stands beside a hall that is not its own."""

    beside = models.OneToOneField(Hall, models.CASCADE, related_name="wing_beside")


class Person(CachedModel):
    """Related to itself, symmetrically and not."""

    name = models.CharField(max_length=50)
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")

    def __str__(self) -> str:
        return self.name


def nobody() -> Person:
    return Person.objects.get_or_create(name="nobody")[0]


def default_keeper() -> int:
    return Person.objects.get_or_create(name="keeper")[0].pk


class Pet(CachedModel):
    """What becomes of it when a person goes."""

    name = models.CharField(max_length=50)
    keeper = models.ForeignKey(
        Person, models.SET_DEFAULT, default=default_keeper, related_name="kept"
    )
    vet = models.ForeignKey(Person, models.SET(nobody), null=True, related_name="treated")
    walker = models.ForeignKey(Person, models.RESTRICT, null=True, related_name="walked")

    def __str__(self) -> str:
        return self.name


class Member(CachedModel):
    """Swapped out for ``Guest``, as AUTH_USER_MODEL swaps the user."""

    name = models.CharField(max_length=50)

    class Meta:
        swappable = "MATRIXAPP_MEMBER_MODEL"

    def __str__(self) -> str:
        return self.name


class Guest(CachedModel):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Visit(CachedModel):
    member = models.ForeignKey(settings.MATRIXAPP_MEMBER_MODEL, models.CASCADE)
    number = models.IntegerField(default=0)


class Loose(CachedModel):
    """Its text is compared without regard to case."""

    name = models.CharField(max_length=50, unique=True, db_collation=CASELESS)
    number = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Seat(CachedModel):
    """A key of two columns."""

    pk = models.CompositePrimaryKey("line", "place")
    line = models.IntegerField()
    place = models.IntegerField()
    taken = models.BooleanField(default=False)


if django.VERSION >= (6, 1):

    class Owner(CachedModel):
        name = models.CharField(max_length=50)

        def __str__(self) -> str:
            return self.name

    class Owned(CachedModel):
        """Looked after by the database."""

        gone: Any = models.ForeignKey(Owner, models.DB_CASCADE, null=True, related_name="gone")
        empty: Any = models.ForeignKey(Owner, models.DB_SET_NULL, null=True, related_name="empty")
        if settings.TEST_DB != "mariadb":  # It has no ON DELETE SET DEFAULT.
            other: Any = models.ForeignKey(
                Owner, models.DB_SET_DEFAULT, db_default=1, related_name="other"
            )


if settings.TEST_DB == "postgres":
    from django.contrib.postgres import fields as postgres
    from django.contrib.postgres.search import SearchVectorField

    class CaselessText(models.TextField):  # type: ignore[type-arg]
        """The type of the extension citext."""

        def db_type(self, connection: Any) -> str:
            return "citext"

    class Collection(CachedModel):
        """The columns only PostgreSQL has."""

        numbers = postgres.ArrayField(models.IntegerField(), default=list)
        store = postgres.HStoreField(default=dict)
        during = postgres.IntegerRangeField(null=True)
        title = models.CharField(max_length=100)
        loose = CaselessText(default="")
        vector = SearchVectorField(null=True)

        def __str__(self) -> str:
            return self.title
