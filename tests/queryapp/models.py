"""A blog whose queries show every shape the analysis must read."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Concat, Lower


class Country(models.Model):
    code = models.CharField(max_length=2, unique=True)
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["name"]


class Author(models.Model):
    name = models.CharField(max_length=100)
    country = models.ForeignKey(Country, models.SET_NULL, null=True, related_name="authors")
    active = models.BooleanField(default=True)
    born = models.DateField(null=True)

    class Meta:
        ordering = ["country", "name"]


class Profile(models.Model):
    author = models.OneToOneField(Author, models.CASCADE, related_name="profile")
    biography = models.TextField(blank=True)


class Category(models.Model):
    title = models.CharField(max_length=100)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")


class Tag(models.Model):
    name = models.CharField(max_length=50, unique=True)
    weight = models.IntegerField(default=0)


class Article(models.Model):
    class Status(models.TextChoices):
        DRAFT = "draft"
        LIVE = "live"

    title = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="articles")
    editor = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="edited")
    category = models.ForeignKey(Category, models.PROTECT, null=True, related_name="articles")
    country = models.ForeignKey(
        Country, models.SET_NULL, null=True, to_field="code", db_column="land"
    )
    tags = models.ManyToManyField(Tag, related_name="articles")
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    published = models.BooleanField(default=False)
    views = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    rating = models.FloatField(null=True)
    data = models.JSONField(default=dict)
    token = models.UUIDField(default=uuid.uuid4)
    created = models.DateTimeField()
    day = models.DateField(null=True)
    length = models.DurationField(null=True)
    shout = models.GeneratedField(
        expression=Concat(Lower("title"), Value("!")),
        output_field=models.CharField(max_length=201),
        db_persist=True,
    )
    notes = GenericRelation("Note")


class Front(models.Model):
    """Ordered by an expression of its own."""

    article = models.ForeignKey(Article, models.CASCADE)
    rank = models.IntegerField(null=True)

    class Meta:
        ordering = [F("rank").desc(nulls_last=True), "article__title"]


class LiveArticle(Article):
    class Meta:
        proxy = True
        ordering = ["-created"]


class Place(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["name"]


class Restaurant(Place):
    stars = models.IntegerField(default=0)
    owner = models.ForeignKey(Author, models.SET_NULL, null=True)


class Bar(Restaurant):
    """Two parents up."""

    loud = models.BooleanField(default=False)


class Note(models.Model):
    text = models.CharField(max_length=100)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()


class Cell(models.Model):
    """A key of two columns."""

    pk = models.CompositePrimaryKey("sheet", "place")
    sheet = models.IntegerField()
    place = models.CharField(max_length=5)
    text = models.CharField(max_length=50)
