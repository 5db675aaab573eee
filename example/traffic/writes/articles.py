"""Writes to articles: one row, many rows, through the ORM and past it."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from uuid import uuid4

from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from blog.models import Article, Category
from traffic import words
from traffic.web import visit

FRESH = "fresh-"
PRICES = [Decimal(cents) / 100 for cents in (0, 99, 199, 299, 450, 1250)]


def count_view(article: Article, rng: Random) -> None:
    """As the browser of a visitor does: ``update(views=F("views") + 1)`` in a view."""
    visit(reverse("seen", args=[article.pk]), "POST")


def edit(article: Article, rng: Random) -> None:
    article.title = words.sentence(rng, 5)
    article.body = words.body(rng)
    article.save()


def retitle(article: Article, rng: Random) -> None:
    article.title = words.sentence(rng, 4)
    article.save(update_fields=["title"])


def publish(article: Article, rng: Random) -> Article:
    """Publish an article that its author kept back, or take this one back."""
    subject = Article.objects.filter(author=article.author_id, published=False).first() or article
    subject.published = not subject.published
    subject.published_at = timezone.now()
    subject.save(update_fields=["published", "published_at"])
    return subject


@transaction.atomic
def create(article: Article, rng: Random) -> Article:
    """Another article by the same author."""
    created = Article.objects.create(
        title=words.sentence(rng, 5),
        slug=f"{FRESH}{uuid4().hex}",
        summary=words.sentence(rng, 12),
        body=words.body(rng),
        author_id=article.author_id,
        category_id=article.category_id,
        published=rng.random() < 0.8,
        published_at=timezone.now(),
        price=rng.choice(PRICES),
    )
    created.tags.set(article.tags.all())
    return created


def delete(article: Article, rng: Random) -> Article | None:
    """Delete one of those ``create`` made, with its comments and tags."""
    fresh = Article.objects.filter(slug__startswith=FRESH).order_by("-pk")
    doomed = fresh.exclude(author=article.author_id).first() or fresh.first()
    if doomed is not None:
        Article.objects.filter(pk=doomed.pk).delete()
    return doomed


def move(article: Article, rng: Random) -> None:
    """To another category, or to none."""
    article.category = rng.choice([None, *Category.objects.all()])
    article.save(update_fields=["category"])


def change_prices(article: Article, rng: Random) -> None:
    """Of all articles of the author at once."""
    Article.objects.filter(author=article.author_id).update(price=rng.choice(PRICES))


def round_prices(article: Article, rng: Random) -> None:
    """Row by row with ``bulk_update``."""
    siblings = list(Article.objects.filter(author=article.author_id).order_by("pk")[:10])
    for sibling in siblings:
        sibling.price = rng.choice(PRICES)
    Article.objects.bulk_update(siblings, ["price"])


def raw_sql(article: Article, rng: Random) -> None:
    """Past the ORM, in a plain cursor."""
    sql = "UPDATE blog_article SET views = views + 10 WHERE author_id = %s"
    with connection.cursor() as cursor:
        cursor.execute(sql, [article.author_id])
