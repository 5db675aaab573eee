"""The writes, as an application would make them: read the object, change it, save it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import F

from benchmarks.workload.data import moment
from benchmarks.workload.load import BODY
from benchmarks.workload.models import Article, Comment

Update = Callable[..., int]
"""Called with a queryset and the values to set: how a system wants bulk updates made."""


def view_saved(update: Update, pk: int, views: int) -> None:
    save(pk, ["views"], views=views)


def view_updated(update: Update, pk: int) -> None:
    update(Article.objects.filter(pk=pk), views=F("views") + 1)


def comment(update: Update, pk: int, article: int) -> None:
    made = Comment.objects.create(article_id=article, text=f"Comment {pk}", created=moment(pk))
    expect(pk, made)


def edit_body(update: Update, pk: int, body: str) -> None:
    save(pk, None, body=body)


def edit_title(update: Update, pk: int, title: str) -> None:
    save(pk, None, title=title)


def price(update: Update, pk: int, price: Decimal) -> None:
    save(pk, ["price"], price=price)


def new_article(
    update: Update,
    pk: int,
    clock: int,
    title: str,
    author: int,
    category: int,
    price: Decimal,
    published: bool,
    tags: list[int],
) -> None:
    article = Article.objects.create(
        title=title,
        body=BODY,
        author_id=author,
        category_id=category,
        price=price,
        published=published,
        created=moment(clock),
    )
    expect(pk, article)
    article.tags.add(*tags)


def tag(update: Update, pk: int, tag: int, is_on: bool) -> None:
    tags = Article.objects.get(pk=pk).tags
    if is_on:
        tags.add(tag)
    else:
        tags.remove(tag)


def publish(update: Update, pk: int, clock: int) -> None:
    save(pk, ["published", "created"], published=True, created=moment(clock))


def unpublish(update: Update, pk: int) -> None:
    save(pk, ["published"], published=False)


def move(update: Update, pk: int, category: int) -> None:
    save(pk, ["category"], category_id=category)


def sale(update: Update, category: int, factor: Decimal) -> None:
    update(Article.objects.filter(category=category), price=F("price") * factor)


def delete_comment(update: Update, pk: int) -> None:
    Comment.objects.get(pk=pk).delete()


def delete_article(update: Update, pk: int) -> None:
    Article.objects.get(pk=pk).delete()


def expect(pk: int, made: Any) -> None:
    """The database has to choose the keys the plan counts on."""
    if made.pk != pk:
        raise RuntimeError(f"{made!r} has the key {made.pk}, the plan says {pk}")


def save(pk: int, columns: list[str] | None, **values: Any) -> None:
    """Read an article, set ``values`` and save ``columns``, or all of it."""
    article = Article.objects.get(pk=pk)
    for name, value in values.items():
        setattr(article, name, value)
    article.save(update_fields=columns)


KINDS = {
    write.__name__: write
    for write in (
        view_saved,
        view_updated,
        comment,
        edit_body,
        edit_title,
        price,
        new_article,
        tag,
        publish,
        unpublish,
        move,
        sale,
        delete_comment,
        delete_article,
    )
}
