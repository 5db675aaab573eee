"""The generated content: the same seed and size give the same rows on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from random import Random

from django.db.models import Model

from blog.models import Article, Author, Category, Comment, Profile, Tag
from traffic import words

CATEGORIES = "Arts Books Cities Food Music Nature Science Travel".split()
FIRST_YEAR, LAST_YEAR = 2015, 2024
FIRST_DAY = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
MINUTES = 60 * 24 * 365 * (LAST_YEAR - FIRST_YEAR + 1)
BATCH = 1000


def generate(articles: int, seed: int) -> Iterator[tuple[type[Model], int, Iterator[Model]]]:
    """Each table in the order in which it can be filled: model, number of rows, the rows."""
    rng = Random(seed)
    authors, tags, comments = max(articles // 10, 2), max(articles // 40, 5), articles * 3
    profiles = range(1, authors + 1, 2)
    yield Category, len(CATEGORIES), (_category(pk) for pk in _ids(len(CATEGORIES)))
    yield Tag, tags, (_tag(rng, pk) for pk in _ids(tags))
    yield Author, authors, (_author(rng, pk) for pk in _ids(authors))
    yield Profile, len(profiles), (_profile(rng, pk) for pk in profiles)
    yield Article, articles, (_article(rng, pk, authors) for pk in _ids(articles))
    yield Article.tags.through, articles * 3, _links(rng, articles, tags)
    yield Comment, comments, (_comment(rng, articles) for _ in range(comments))


def batches(rows: Iterator[Model]) -> Iterator[list[Model]]:
    """The rows in lists short enough to insert at once."""
    while batch := list(islice(rows, BATCH)):
        yield batch


def _ids(count: int) -> range:
    return range(1, count + 1)


def _early(rng: Random, count: int) -> int:
    """An index below ``count``, small ones more often."""
    return int(count * rng.random() ** 2)


def _moment(rng: Random) -> datetime:
    return FIRST_DAY + timedelta(minutes=rng.randrange(MINUTES))


def _category(pk: int) -> Category:
    name = CATEGORIES[pk - 1]
    return Category(name=name, slug=name.lower())


def _tag(rng: Random, pk: int) -> Tag:
    name = words.word(rng)
    return Tag(name=name, slug=f"{name}-{pk}")


def _author(rng: Random, pk: int) -> Author:
    return Author(name=words.name(rng), joined=date(2014, rng.randint(1, 12), 1 + pk % 28))


def _profile(rng: Random, pk: int) -> Profile:
    return Profile(author_id=pk, bio=words.sentence(rng, 20), homepage=f"https://example.com/{pk}")


def _article(rng: Random, pk: int, authors: int) -> Article:
    title = words.sentence(rng, 5).rstrip(".")
    category = rng.randint(0, len(CATEGORIES))
    return Article(
        title=title,
        slug=f"{title[:40].strip().lower().replace(' ', '-')}-{pk}",
        summary=words.sentence(rng, 14),
        body=words.body(rng),
        author_id=1 + _early(rng, authors),
        category_id=category or None,
        published=rng.random() < 0.95,
        published_at=_moment(rng),
        price=Decimal(rng.choice([0, 0, 0, 199, 299, 450])) / 100,
        views=_early(rng, 10_000),
    )


def _links(rng: Random, articles: int, tags: int) -> Iterator[Model]:
    """Three tags for each article, the first ones most often."""
    for article in _ids(articles):
        first = _early(rng, tags)
        for step in (0, 1, 4):
            yield Article.tags.through(article_id=article, tag_id=1 + (first + step) % tags)


def _comment(rng: Random, articles: int) -> Comment:
    return Comment(
        article_id=1 + _early(rng, articles),
        name=words.name(rng),
        text=words.sentence(rng, 12),
        written_at=_moment(rng),
    )
