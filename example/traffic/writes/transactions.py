"""Writes that end otherwise than they began: rolled back, partly rolled back, under a lock."""

from __future__ import annotations

from random import Random

from django.db import transaction
from django.db.models import F

from blog.models import Article
from traffic import words


class ChangedMyMind(Exception):
    """Rolls a transaction back."""


def give_up(article: Article, rng: Random) -> None:
    """Writes and reads its own writes, then rolls everything back."""
    try:
        with transaction.atomic():
            article.title = "never published"
            article.save()
            article.comments.all().delete()
            list(Article.objects.filter(author=article.author_id)[:5])
            raise ChangedMyMind
    except ChangedMyMind:
        pass


@transaction.atomic
def give_up_partly(article: Article, rng: Random) -> None:
    """The price stays, the author's new name goes with its savepoint."""
    Article.objects.filter(pk=article.pk).update(price=F("price") + 1)
    try:
        with transaction.atomic():
            article.author.name = "never mind"
            article.author.save()
            raise ChangedMyMind
    except ChangedMyMind:
        pass


@transaction.atomic
def edit_locked(article: Article, rng: Random) -> None:
    """Reads the row again under a lock, as careful code does."""
    locked = Article.objects.select_for_update().get(pk=article.pk)
    locked.summary = words.sentence(rng, 14)
    locked.save()
