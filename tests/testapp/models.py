"""A small publisher's data: every kind of relation and inheritance a Django project has."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from ormcache.models import CachedModel


class Author(CachedModel):
    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)
    active = models.BooleanField(default=True)
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Profile(CachedModel):
    """Reached from both sides: forward and reverse one-to-one."""

    author = models.OneToOneField(Author, models.CASCADE, related_name="profile")
    biography = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.biography


class Category(CachedModel):
    """Its key is text."""

    slug = models.SlugField(primary_key=True)
    title = models.CharField(max_length=100)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True)

    def __str__(self) -> str:
        return self.title


class Tag(CachedModel):
    name = models.CharField(max_length=50, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Article(CachedModel):
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="articles")
    editor = models.ForeignKey(
        Author, models.SET_NULL, null=True, blank=True, related_name="edited_articles"
    )
    category = models.ForeignKey(Category, models.PROTECT, null=True, blank=True)
    views = models.IntegerField(default=0)
    published = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    tags = models.ManyToManyField(Tag, related_name="articles")
    contributors = models.ManyToManyField(
        Author, through="Contribution", related_name="contributed_articles"
    )
    labels = GenericRelation("Label")

    def __str__(self) -> str:
        return self.title


class ArticleProxy(Article):
    class Meta:
        proxy = True
        ordering = ["-created"]


class Contribution(CachedModel):
    """A through model with a column of its own."""

    article = models.ForeignKey(Article, models.CASCADE)
    author = models.ForeignKey(Author, models.CASCADE)
    role = models.CharField(max_length=30, default="writer")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["article", "author"], name="contribution_once"),
        ]

    def __str__(self) -> str:
        return self.role


class Comment(CachedModel):
    article = models.ForeignKey(Article, models.CASCADE, related_name="comments")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Note(CachedModel):
    """May point at nobody: neither Django nor the database looks after the reference."""

    author = models.ForeignKey(Author, models.DO_NOTHING, db_constraint=False)
    text = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.text


class Chapter(CachedModel):
    """Ordered within its article by a hidden column."""

    article = models.ForeignKey(Article, models.CASCADE, related_name="chapters")
    title = models.CharField(max_length=100)

    class Meta:
        order_with_respect_to = "article"

    def __str__(self) -> str:
        return self.title


class Label(CachedModel):
    """Sticks to a row of any model."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey("content_type", "object_id")
    text = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text


class PlainThing(models.Model):
    """Not cached, yet its table stands in queries and cascades of cached models."""

    author = models.ForeignKey(Author, models.CASCADE, related_name="things")
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Place(CachedModel):
    name = models.CharField(max_length=50)
    address = models.CharField(max_length=80, blank=True)

    def __str__(self) -> str:
        return self.name


class Restaurant(Place):
    """Multi-table inheritance: a row in two tables."""

    serves_pizza = models.BooleanField(default=False)
    owner = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="restaurants")


class ItalianRestaurant(Restaurant):
    """A row in three tables."""

    regions = models.CharField(max_length=80, blank=True)


class Media(CachedModel):
    """An abstract base whose cache options are inherited like those of Meta."""

    title = models.CharField(max_length=100)
    added = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    class CacheMeta:
        timeout = 600

    def __str__(self) -> str:
        return self.title


class Photo(Media):
    """Its key is a UUID made in Python; options as in the base."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    width = models.PositiveIntegerField(default=0)


class Film(Media):
    """Only its rows are cached, and under a namespace of its own."""

    minutes = models.PositiveIntegerField(default=0)

    class CacheMeta(Media.CacheMeta):
        lists = False
        namespace = "films"


class Visitor(models.Model):
    """Not cached; ``CachedVisitor`` describes the same table."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class CachedVisitor(CachedModel):
    """A cached mirror of the table of a plain model, say one of another app."""

    name = models.CharField(max_length=50)

    class Meta:
        managed = False
        db_table = "testapp_visitor"

    def __str__(self) -> str:
        return self.name


class Document(CachedModel):
    """One of its values is mutable."""

    content = models.JSONField(default=dict)


class Attachment(CachedModel):
    document = models.ForeignKey(Document, models.CASCADE)


class Country(CachedModel):
    code = models.CharField(max_length=5, unique=True)
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class City(CachedModel):
    """Points at a column that is not the primary key."""

    country = models.ForeignKey(Country, models.CASCADE, to_field="code")
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Draft(CachedModel):
    """Takes part in how its instances are made."""

    title = models.CharField(max_length=50)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made_with = len(args)

    def __str__(self) -> str:
        return self.title

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Draft:
        draft: Any = super().from_db(*args, **kwargs)
        draft.title_loaded = draft.__dict__.get("title")
        return draft  # type: ignore[no-any-return]
