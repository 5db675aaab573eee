"""The pages: each asks for rows, lists and counts."""

from __future__ import annotations

from typing import Any, Protocol

from benchmarks.workload.models import Article, Author, Category, Comment, Tag

PAGE = 10


class Ask(Protocol):
    """Whoever answers a page's reads and notes how. The first argument names the kind of read;
    with the second, its parameters, it identifies the query."""

    def row(self, kind: str, model: Any, pk: int) -> Any: ...

    def rows(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> list[Any]: ...

    def count(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> int: ...


def published() -> Any:
    return Article.objects.filter(published=True).order_by("-created", "-pk")


def front(ask: Ask) -> None:
    ask.rows("menu", (), Category.objects.order_by("name"))
    ask.rows("front page", (), published().select_related("author", "category")[:PAGE])


def category(ask: Ask, pk: int, page: int) -> None:
    ask.row("category", Category, pk)
    start = page * PAGE
    of_it = published().filter(category=pk)
    ask.rows("category page", (pk, page), of_it[start : start + PAGE])
    ask.count("category count", (pk,), of_it)


def author(ask: Ask, pk: int) -> None:
    ask.row("author", Author, pk)
    ask.rows("author page", (pk,), published().filter(author=pk)[: 2 * PAGE])


def detail(ask: Ask, pk: int) -> None:
    article = ask.row("article", Article, pk)
    if article is None:
        return
    ask.row("author", Author, article.author_id)
    ask.rows("comments", (pk,), article.comments.order_by("created", "pk"))
    ask.rows("tags of article", (pk,), article.tags.order_by("name"))
    alike = published().filter(category=article.category_id).exclude(pk=pk)
    ask.rows("related", (pk, article.category_id), alike[:5])


def tag(ask: Ask, pk: int) -> None:
    ask.row("tag", Tag, pk)
    ask.rows("tag page", (pk,), published().filter(tags=pk)[: 2 * PAGE])


def search(ask: Ask, word: str) -> None:
    ask.rows("search", (word,), published().filter(title__icontains=word)[: 2 * PAGE])


def price(ask: Ask, category: int | None, low: int, high: int) -> None:
    found = Article.objects.filter(published=True, price__gte=low, price__lt=high)
    if category is None:
        ask.rows("price range", (low, high), found.order_by("price", "pk")[: 2 * PAGE])
    else:
        found = found.filter(category=category).order_by("price", "pk")
        ask.rows("price range in category", (category, low, high), found[: 2 * PAGE])


def counts(ask: Ask, author: int, tag: int) -> None:
    ask.count("author count", (author,), Article.objects.filter(author=author, published=True))
    ask.count("tag count", (tag,), Article.objects.filter(tags=tag, published=True))
    ask.count("comment count", (), Comment.objects.all())


def top(ask: Ask) -> None:
    most = Article.objects.filter(published=True).order_by("-views", "pk")
    ask.rows("top viewed", (), most[:PAGE])


PAGES = {
    page.__name__: page
    for page in (front, category, author, detail, tag, search, price, counts, top)
}
