"""Which page is visited next, which article is written next: a few are popular, most are not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from django.urls import reverse
from django.utils import timezone

from blog.models import Article, Author, Category, Tag
from traffic.data import FIRST_YEAR

T = TypeVar("T")

WEIGHTS = {
    "article": 50,
    "front": 20,
    "author": 10,
    "tag": 10,
    "category": 5,
    "archive": 3,
    "statistics": 2,
}


class Popular(Generic[T]):
    """Items by Zipf's law: the n-th is picked about n times less often than the first."""

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.weights = list(accumulate(1 / rank for rank in range(1, len(items) + 1)))

    def pick(self, rng: Random) -> T:
        return rng.choices(self.items, cum_weights=self.weights)[0]


class Plan:
    """The visitors' habits. Every process makes the same one, so all crowd the same pages."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        articles = list(Article.nocache.order_by("pk").values_list("pk", "slug"))
        rng.shuffle(articles)
        self.articles = Popular([pk for pk, _ in articles])
        newest_year_first = range(timezone.now().year, FIRST_YEAR - 1, -1)
        tags = Tag.nocache.order_by("pk").values_list("slug", flat=True)
        categories = Category.nocache.order_by("pk").values_list("slug", flat=True)
        authors = Author.nocache.order_by("pk").values_list("pk", flat=True)
        self.paths = {
            "front": Popular([reverse("front")]),
            "article": Popular([reverse("article", args=[pk, slug]) for pk, slug in articles]),
            "author": Popular([reverse("author", args=[pk]) for pk in authors]),
            "tag": Popular([reverse("tag", args=[slug]) for slug in tags]),
            "category": Popular(
                [
                    f"{reverse('category', args=[slug])}?page={number}"
                    for number in (1, 2, 3)
                    for slug in categories
                ]
            ),
            "archive": Popular([reverse("archive", args=[year]) for year in newest_year_first]),
            "statistics": Popular([reverse("statistics")]),
        }
        self.kinds, self.weights = list(WEIGHTS), list(WEIGHTS.values())

    def page(self, rng: Random) -> tuple[str, str]:
        """The kind and the path of the page a visitor asks for."""
        kind = rng.choices(self.kinds, self.weights)[0]
        return kind, self.paths[kind].pick(rng)
