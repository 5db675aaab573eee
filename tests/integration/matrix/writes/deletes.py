"""Deletes of querysets, and what Django and the database do to the rows that refer to them."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError
from django.db.models import F, ProtectedError, RestrictedError

from tests.integration.matrix.world import POSTGRES, World
from tests.integration.matrix.writes.types import Write, refused
from tests.matrixapp import models as own
from tests.matrixapp.models import Guest, Loose, Person, Pet, Sample, Seat, Visit
from tests.testapp.models import (
    Article,
    ArticleProxy,
    Author,
    Category,
    Comment,
    Country,
    ItalianRestaurant,
    Label,
    Note,
    Photo,
    Place,
    PlainThing,
    Restaurant,
    Tag,
)


def person(world: World, number: int) -> Person:
    return world.people[number]


def database_owner() -> Any:
    return own.Owner.nocache.get(pk=2)


WRITES: dict[str, Write] = {
    "delete queryset": lambda w: Article.objects.filter(published=False).delete(),
    "delete all": lambda w: Article.objects.all().delete(),
    "delete by key": lambda w: Article.objects.filter(pk=w.article.pk).delete(),
    "delete by keys": lambda w: Comment.objects.filter(
        pk__in=[c.pk for c in Comment.nocache.all()[:2]]
    ).delete(),
    "delete fast": lambda w: Loose.objects.filter(number=0).delete(),
    "delete through a join": lambda w: Comment.objects.filter(article__author=w.ann).delete(),
    "delete by subquery": lambda w: Comment.objects.filter(
        article__in=Article.objects.filter(views__gt=1)
    ).delete(),
    "delete proxies": lambda w: ArticleProxy.objects.filter(views=1).delete(),
    "delete with expression": lambda w: Sample.objects.filter(rank__gt=F("number")).delete(),
    "delete samples": lambda w: Sample.objects.filter(flag=True).delete(),
    "delete nothing": lambda w: Article.objects.filter(pk=0).delete(),
    "delete nocache": lambda w: Comment.nocache.filter(text__endswith="1").delete(),
    "delete plain": lambda w: PlainThing.objects.all().delete(),
    "delete UUID keys": lambda w: Photo.objects.all().delete(),
    "delete seats": lambda w: Seat.objects.filter(place=1).delete(),
    "delete children": lambda w: Restaurant.objects.filter(serves_pizza=True).delete(),
    "delete grandchildren": lambda w: ItalianRestaurant.objects.all().delete(),
    "delete parents": lambda w: Place.objects.all().delete(),
    "_raw_delete": lambda w: Comment.objects.filter(text__endswith="1")._raw_delete("default"),
    "_raw_delete of all": lambda w: Tag.articles.through.objects.all()._raw_delete("default"),
    "_raw_delete of base manager": lambda w: Label._base_manager.all()._raw_delete("default"),
    "CASCADE": lambda w: w.ann.delete(),
    "CASCADE of everything": lambda w: Author.objects.all().delete(),
    "CASCADE to through": lambda w: w.tags[0].delete(),
    "CASCADE of to_field": lambda w: Country.objects.filter(code="it").delete(),
    "CASCADE of swapped-in": lambda w: Guest.objects.all().delete(),
    "CASCADE of a tree": lambda w: Category.objects.filter(slug="sub").delete(),
    "SET_NULL": lambda w: (Article.objects.update(author=w.ann), w.bob.delete()),
    "SET_NULL of child": lambda w: (Article.objects.update(author=w.bob), w.ann.delete()),
    "SET_DEFAULT": lambda w: person(w, 0).delete(),
    "SET": lambda w: (Pet.objects.filter(name="Tom").delete(), person(w, 1).delete()),
    "SET_DEFAULT and SET": lambda w: person(w, 1).delete(),
    "DO_NOTHING": lambda w: (Note.objects.update(author=w.bob), w.bob.delete()),
    "PROTECT, refused": lambda w: refused(ProtectedError, w.news.delete),
    "RESTRICT, refused": lambda w: refused(RestrictedError, person(w, 2).delete),
    "constraint, refused": lambda w: refused(
        IntegrityError, lambda: Tag.objects.bulk_create([Tag(name="new"), Tag(name="a")])
    ),
    "delete and create again": lambda w: (
        w.tags[2].delete(),
        Tag.objects.create(pk=w.tags[0].pk + 10**6, name="c"),
    ),
    "delete and create with the key": lambda w: (
        old := w.tags[2],
        Tag.objects.filter(pk=old.pk).delete(),
        Tag.objects.create(pk=old.pk, name="again"),
    ),
    "delete visits": lambda w: Visit.objects.all().delete(),
}

if hasattr(own, "Owner"):
    WRITES |= {
        "DB_CASCADE, DB_SET_NULL, DB_SET_DEFAULT": lambda w: database_owner().delete(),
        "DB_… by queryset": lambda w: own.Owner.objects.filter(pk=2).delete(),
        "DB_… by _raw_delete": lambda w: own.Owner.objects.filter(pk=2)._raw_delete("default"),
        "DB_… nocache": lambda w: own.Owner.nocache.filter(name="o2").delete(),
    }

if POSTGRES:
    WRITES["PostgreSQL delete"] = lambda w: own.Collection.objects.filter(numbers__len=1).delete()
