"""The site's tables: cached models where ormcache is installed, else Django's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

if TYPE_CHECKING or apps.is_installed("ormcache"):
    from ormcache.models import CachedModel as Base
else:
    Base = models.Model


class Category(Base):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Author(Base):
    name = models.CharField(max_length=50)
    biography = models.TextField()

    def __str__(self) -> str:
        return self.name


class Tag(Base):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Article(Base):
    """An article on a product, which has a price."""

    title = models.CharField(max_length=200)
    body = models.TextField()
    author = models.ForeignKey(Author, models.CASCADE, related_name="articles")
    category = models.ForeignKey(Category, models.CASCADE, related_name="articles")
    tags = models.ManyToManyField(Tag, related_name="articles")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    views = models.IntegerField(default=0)
    published = models.BooleanField(default=True)
    created = models.DateTimeField()

    def __str__(self) -> str:
        return self.title


class Comment(Base):
    article = models.ForeignKey(Article, models.CASCADE, related_name="comments")
    text = models.TextField()
    created = models.DateTimeField()

    def __str__(self) -> str:
        return self.text
