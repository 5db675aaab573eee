"""The same two tables twice: as cached models and as Django's own."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.db import models
from django.utils import timezone

from ormcache.models import CachedModel


class AuthorFields(models.Model):
    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)

    class Meta:
        abstract = True


class ArticleFields(models.Model):
    """Fourteen columns with the author's, some 700 bytes."""

    title = models.CharField(max_length=200)
    slug = models.SlugField()
    summary = models.TextField()
    body = models.TextField()
    language = models.CharField(max_length=5, default="en")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=Decimal("9.90"))
    rating = models.FloatField(default=4.5)
    views = models.IntegerField(default=0)
    published = models.BooleanField(default=True)
    token = models.UUIDField(default=uuid.uuid4)
    day = models.DateField(default=timezone.localdate)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class CachedAuthor(CachedModel, AuthorFields):
    pass


class CachedArticle(CachedModel, ArticleFields):
    author = models.ForeignKey(CachedAuthor, models.CASCADE, related_name="articles")


class PlainAuthor(AuthorFields):
    pass


class PlainArticle(ArticleFields):
    author = models.ForeignKey(PlainAuthor, models.CASCADE, related_name="articles")
