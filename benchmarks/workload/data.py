"""The site's rows at the start: the same for every system, from the seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [
    first + second
    for first in "ba ke li mo nu pe ra so".split()
    for second in "dek fin gor lum rit".split()
]


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of each kind there are at the start."""

    categories: int = 20
    authors: int = 200
    tags: int = 50
    articles: int = 2_000
    comments: int = 6_000


@dataclass(slots=True)
class ArticleRow:
    """An article as the plan knows it."""

    title: str
    author: int
    category: int
    tags: set[int]
    price: Decimal
    views: int
    published: bool


def title(rng: Random) -> str:
    return " ".join(rng.choices(WORDS, k=5)).capitalize()


def price(rng: Random) -> Decimal:
    """Most things are cheap."""
    return Decimal(rng.paretovariate(1.2) * 5).quantize(Decimal("0.01")).min(Decimal(5000))


def articles(rng: Random, size: Size) -> list[ArticleRow]:
    """One article each primary key from 1; the last is the newest."""
    return [
        ArticleRow(
            title=title(rng),
            author=rng.randint(1, size.authors),
            category=rng.randint(1, size.categories),
            tags=set(rng.sample(range(1, size.tags + 1), rng.randint(0, 4))),
            price=price(rng),
            views=int(rng.paretovariate(0.8) * 10) % 100_000,
            published=rng.random() < 0.9,
        )
        for _ in range(size.articles)
    ]


def comments(rng: Random, size: Size) -> list[int]:
    """The article of each comment, whose primary keys count from 1."""
    return [rng.randint(1, size.articles) for _ in range(size.comments)]


def moment(number: int) -> datetime:
    """When the row of that number was made: later rows are newer."""
    return START + timedelta(minutes=number)
