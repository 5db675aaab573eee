"""The tables of the blog. Subclassing ``CachedModel`` is all it takes to have them cached."""

from __future__ import annotations

from django.db import models
from django.urls import reverse

from ormcache.managers import CachedQuerySet, CacheManager
from ormcache.models import CachedModel


class Author(CachedModel):
    name = models.CharField(max_length=100)
    joined = models.DateField()

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("author", args=[self.pk])


class Profile(CachedModel):
    author = models.OneToOneField(Author, models.CASCADE, related_name="profile")
    bio = models.TextField()
    homepage = models.URLField(blank=True)


class Category(CachedModel):
    name = models.CharField(max_length=50)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("category", args=[self.slug])


class Tag(CachedModel):
    name = models.CharField(max_length=50)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("tag", args=[self.slug])


class ArticleQuerySet(CachedQuerySet["Article"]):
    def published(self) -> ArticleQuerySet:
        return self.filter(published=True)


class Article(CachedModel):
    title = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    summary = models.CharField(max_length=300)
    body = models.TextField()
    author = models.ForeignKey(Author, models.CASCADE, related_name="articles")
    category = models.ForeignKey(
        Category, models.SET_NULL, null=True, blank=True, related_name="articles"
    )
    tags = models.ManyToManyField(Tag, related_name="articles", blank=True)
    published = models.BooleanField(default=False)
    published_at = models.DateTimeField()
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    views = models.PositiveIntegerField(default=0)

    objects = CacheManager.from_queryset(ArticleQuerySet)()

    class Meta:
        ordering = ["-published_at", "-pk"]
        indexes = [
            models.Index(
                fields=["-published_at", "-id"], name="newest", condition=models.Q(published=True)
            ),
            models.Index(
                fields=["-views", "id"], name="most_read", condition=models.Q(published=True)
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("article", args=[self.pk, self.slug])


class Comment(CachedModel):
    article = models.ForeignKey(Article, models.CASCADE, related_name="comments")
    name = models.CharField(max_length=100)
    text = models.TextField()
    written_at = models.DateTimeField()

    class Meta:
        ordering = ["written_at", "pk"]
        indexes = [models.Index(fields=["written_at", "id"], name="in_order")]

    def __str__(self) -> str:
        return f"{self.name}: {self.text[:40]}"
