"""What happens on the site, in which order: from the seed alone, never from the database.

All values a write sets are in its arguments, so that no system's answers can lead it astray.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from random import Random
from typing import Any

from benchmarks.workload.data import (
    WORDS,
    ArticleRow,
    Size,
    articles,
    comments,
    price,
    title,
)

READS = {
    "detail": 37,
    "category": 20,
    "front": 15,
    "author": 8,
    "price": 6,
    "tag": 5,
    "search": 5,
    "counts": 3,
    "top": 1,
}
"""Pages and how often they are asked for."""

WRITES = {
    "view_saved": 25,
    "view_updated": 25,
    "comment": 18,
    "edit_body": 8,
    "price": 6,
    "edit_title": 5,
    "new_article": 4,
    "tag": 3,
    "publish": 2,
    "unpublish": 1,
    "move": 1,
    "delete_comment": 1,
    "sale": 0.5,
    "delete_article": 0.5,
}
"""Kinds of writes and how often they come."""

READ_BY = {
    "view_saved": {"top viewed"},
    "view_updated": {"top viewed"},
    "edit_title": {"search"},
    "edit_body": set[str](),
}
"""The writes of a column that hardly any list filters or orders by, with those lists that do."""

SEARCHES = WORDS[:20]
PRICE_RANGES = [(0, 6), (6, 8), (8, 12), (12, 20), (20, 50), (50, 10_000)]
MOST_RANKS = 100_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One page or one write."""

    kind: str
    arguments: tuple[Any, ...]
    is_write: bool = False


class Site:
    """The rows as they are after what was planned so far, and how popular they are."""

    def __init__(self, rng: Random, size: Size) -> None:
        self.articles: dict[int, ArticleRow] = dict(enumerate(articles(rng, size), start=1))
        self.comments = dict(enumerate(comments(rng, size), start=1))
        self.next_article = size.articles + 1
        self.next_comment = size.comments + 1
        self.clock = size.articles
        self.by_rank: dict[str, list[Any]] = {
            "article": _shuffled(rng, self.articles),
            "category": _shuffled(rng, range(1, size.categories + 1)),
            "author": _shuffled(rng, range(1, size.authors + 1)),
            "tag": _shuffled(rng, range(1, size.tags + 1)),
            "search": _shuffled(rng, SEARCHES),
            "range": _shuffled(rng, PRICE_RANGES),
        }


def plan(seed: int, operations: int, reads: int, size: Size) -> tuple[Site, list[Operation]]:
    """The site at the start and what then happens on it, ``reads`` per cent of it pages."""
    start = Site(Random(seed), size)
    planner = Planner(Site(Random(seed), size), Random(seed + 1), size)
    return start, [planner.operation(reads) for _ in range(operations)]


class Planner:
    """Chooses operations and keeps the site up to date with them."""

    def __init__(self, site: Site, rng: Random, size: Size) -> None:
        self.site = site
        self.rng = rng
        self.size = size

    def operation(self, reads: int) -> Operation:
        if self.rng.random() * 100 < reads:
            kind = _weighted(self.rng, READS)
            return Operation(kind, getattr(self, f"_read_{kind}")())
        kind = _weighted(self.rng, WRITES)
        return Operation(kind, getattr(self, f"_write_{kind}")(), is_write=True)

    def _pick(self, kind: str) -> Any:
        """One of that kind; the second in rank half as often as the first, and so on."""
        ranked = self.site.by_rank[kind]
        point = self.rng.random() * _ZIPF[len(ranked) - 1]
        return ranked[bisect(_ZIPF, point, hi=len(ranked) - 1)]

    def _page(self) -> int:
        return 0 if self.rng.random() < 0.8 else self.rng.randint(1, 4)

    # Pages

    def _read_front(self) -> tuple[Any, ...]:
        return ()

    def _read_category(self) -> tuple[Any, ...]:
        return self._pick("category"), self._page()

    def _read_author(self) -> tuple[Any, ...]:
        return (self._pick("author"),)

    def _read_detail(self) -> tuple[Any, ...]:
        return (self._pick("article"),)

    def _read_tag(self) -> tuple[Any, ...]:
        return (self._pick("tag"),)

    def _read_search(self) -> tuple[Any, ...]:
        return (self._pick("search"),)

    def _read_price(self) -> tuple[Any, ...]:
        """A range of prices on the whole site or in one category."""
        category = self._pick("category") if self.rng.random() < 0.5 else None
        return category, *self._pick("range")

    def _read_counts(self) -> tuple[Any, ...]:
        return self._pick("author"), self._pick("tag")

    def _read_top(self) -> tuple[Any, ...]:
        return ()

    # Writes

    def _write_view_saved(self) -> tuple[Any, ...]:
        pk, row = self._article()
        row.views += 1
        return pk, row.views

    def _write_view_updated(self) -> tuple[Any, ...]:
        pk, row = self._article()
        row.views += 1
        return (pk,)

    def _write_comment(self) -> tuple[Any, ...]:
        pk, _ = self._article()
        number = self.site.next_comment
        self.site.next_comment += 1
        self.site.comments[number] = pk
        return number, pk

    def _write_edit_body(self) -> tuple[Any, ...]:
        return self._article()[0], f"Edited {self.rng.random()}. " * 20

    def _write_edit_title(self) -> tuple[Any, ...]:
        pk, row = self._article()
        words = row.title.lower().split()
        words[self.rng.randrange(len(words))] = self.rng.choice(WORDS)
        row.title = " ".join(words).capitalize()
        return pk, row.title

    def _write_price(self) -> tuple[Any, ...]:
        pk, row = self._article()
        change = Decimal(self.rng.choice(["0.90", "0.95", "1.05", "1.10"]))
        row.price = (row.price * change).quantize(Decimal("0.01"))
        return pk, row.price

    def _write_new_article(self) -> tuple[Any, ...]:
        number = self.site.next_article
        self.site.next_article += 1
        row = ArticleRow(
            title=title(self.rng),
            author=self._pick("author"),
            category=self._pick("category"),
            tags=set(self.rng.sample(range(1, self.size.tags + 1), self.rng.randint(0, 4))),
            price=price(self.rng),
            views=0,
            published=self.rng.random() < 0.7,
        )
        self.site.articles[number] = row
        # What is new is read.
        self.site.by_rank["article"].insert(self.rng.randrange(50), number)
        self.site.clock += 1
        values = (row.title, row.author, row.category, row.price, row.published)
        return number, self.site.clock, *values, sorted(row.tags)

    def _write_tag(self) -> tuple[Any, ...]:
        """Another tag is put on an article, or one is taken off."""
        pk, row = self._article()
        tag = self._pick("tag")
        row.tags ^= {tag}
        return pk, tag, tag in row.tags

    def _write_publish(self) -> tuple[Any, ...]:
        """One of the newest drafts is published, and dated from then."""
        drafts = [pk for pk, row in self.site.articles.items() if not row.published]
        pk = self.rng.choice(drafts[-10:])
        self.site.articles[pk].published = True
        self.site.clock += 1
        return pk, self.site.clock

    def _write_unpublish(self) -> tuple[Any, ...]:
        pk, row = self._article()
        row.published = False
        return (pk,)

    def _write_move(self) -> tuple[Any, ...]:
        pk, row = self._article()
        row.category = self.rng.randint(1, self.size.categories)
        return pk, row.category

    def _write_sale(self) -> tuple[Any, ...]:
        """All of a category becomes cheaper in one statement."""
        category = self._pick("category")
        cheaper = Decimal("0.95")
        for row in self.site.articles.values():
            if row.category == category:
                row.price = (row.price * cheaper).quantize(Decimal("0.01"))
        return category, cheaper

    def _write_delete_comment(self) -> tuple[Any, ...]:
        pk = self.rng.choice(list(self.site.comments))
        del self.site.comments[pk]
        return (pk,)

    def _write_delete_article(self) -> tuple[Any, ...]:
        """An article and, by cascade, its comments and tags."""
        pk, _ = self._article()
        del self.site.articles[pk]
        self.site.by_rank["article"].remove(pk)
        for comment in [number for number, of in self.site.comments.items() if of == pk]:
            del self.site.comments[comment]
        return (pk,)

    def _article(self) -> tuple[int, ArticleRow]:
        pk = self._pick("article")
        return pk, self.site.articles[pk]


_ZIPF = list(accumulate(1 / rank for rank in range(1, MOST_RANKS + 1)))


def _shuffled(rng: Random, items: Any) -> list[Any]:
    shuffled = list(items)
    rng.shuffle(shuffled)
    return shuffled


def _weighted(rng: Random, weights: dict[str, Any]) -> str:
    kinds: Sequence[str] = list(weights)
    return rng.choices(kinds, list(weights.values()))[0]
