"""Writes to what surrounds an article: comments, tags, the author and the profile."""

from __future__ import annotations

from random import Random

from django.utils import timezone

from blog.models import Article, Comment, Profile, Tag
from traffic import words


def _comment(article: Article, rng: Random) -> Comment:
    return Comment(
        article_id=article.pk,
        name=words.name(rng),
        text=words.sentence(rng),
        written_at=timezone.now(),
    )


def _tag(rng: Random) -> Tag:
    return rng.choice(Tag.objects.order_by("pk")[:50])


def comment(article: Article, rng: Random) -> None:
    _comment(article, rng).save()


def comment_often(article: Article, rng: Random) -> None:
    Comment.objects.bulk_create(_comment(article, rng) for _ in range(3))


def delete_comment(article: Article, rng: Random) -> None:
    """The last one, as an object."""
    last = article.comments.last()
    if last is not None:
        last.delete()


def delete_comments(article: Article, rng: Random) -> None:
    """All of one name, as a queryset."""
    first = article.comments.first()
    if first is not None:
        article.comments.filter(name=first.name).delete()


def add_tag(article: Article, rng: Random) -> None:
    article.tags.add(_tag(rng))


def remove_tag(article: Article, rng: Random) -> None:
    article.tags.remove(*article.tags.all()[:1])


def set_tags(article: Article, rng: Random) -> None:
    article.tags.set([_tag(rng), _tag(rng)])


def rename_tag(article: Article, rng: Random) -> None:
    tag = article.tags.first() or _tag(rng)
    tag.name = words.word(rng)
    tag.save()


def rename_author(article: Article, rng: Random) -> None:
    author = article.author
    author.name = words.name(rng)
    author.save()


def write_profile(article: Article, rng: Random) -> None:
    bio = words.sentence(rng, 20)
    Profile.objects.update_or_create(author_id=article.author_id, defaults={"bio": bio})


def delete_profile(article: Article, rng: Random) -> None:
    Profile.objects.filter(author=article.author_id).delete()
