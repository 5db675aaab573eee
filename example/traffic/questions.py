"""What a check asks: a page by its path, or the records around an article by its number.

Every question can be answered twice: as a visitor gets it, and from the database alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Avg, Count, Model, Sum
from django.urls import reverse
from django.utils import timezone

import ormcache
from blog.models import Article, Author, Category, Comment, Profile, Tag
from traffic.web import counted_queries, visit

RECORDS = "records of article "


def answer(question: str) -> str:
    """As the site answers it, through the cache."""
    if question.startswith(RECORDS):
        return _around(question, "objects")
    return visit(question)


def answer_from_database(question: str) -> str:
    """The truth: records through ``nocache``, pages inside ``bypass()``."""
    with counted_queries() as queries:
        if question.startswith(RECORDS):
            found = _around(question, "nocache")
        else:
            with ormcache.bypass():
                found = visit(question)
    if not queries.count:
        raise RuntimeError(f"{question}: what is to be the truth came without any SQL")
    return found


def questions_about(article: Article) -> set[str]:
    """Every kind of page that shows something of the article, and the records around it."""
    tags = Tag.nocache.filter(articles=article.pk).order_by("pk")[:1]
    questions = {
        f"{RECORDS}{article.pk}",
        article.get_absolute_url(),
        reverse("author", args=[article.author_id]),
        reverse("front"),
        reverse("statistics"),
        reverse("archive", args=[timezone.localtime(article.published_at).year]),
        *(tag.get_absolute_url() for tag in tags),
    }
    for category in Category.nocache.filter(articles=article.pk):
        questions.add(category.get_absolute_url())
    return questions


def _around(question: str, manager: str) -> str:
    try:
        return "\n".join(_records(int(question.removeprefix(RECORDS)), manager))
    except ObjectDoesNotExist:
        return "gone"


def _records(pk: int, manager: str) -> Iterator[str]:
    """The rows and figures around an article, read in all the ways there are."""
    article, author, profile, comment, tag = (
        getattr(model, manager) for model in (Article, Author, Profile, Comment, Tag)
    )
    row = article.get(pk=pk)
    siblings = article.filter(author=row.author_id)
    yield f"{_columns(row)} {_columns(article.get(slug=row.slug))}"
    yield _columns(author.get(pk=row.author_id))
    yield from map(_columns, profile.filter(author=row.author_id))
    yield from map(_columns, comment.filter(article=pk).order_by("-pk"))
    yield from map(_columns, tag.filter(articles=pk).order_by("-slug"))
    for sibling in siblings.select_related("author", "category").order_by("price", "pk")[:10]:
        yield f"{_columns(sibling)} {sibling.author} {sibling.category}"
    yield f"values {list(siblings.order_by('-pk').values_list('pk', 'price', 'published')[:20])}"
    yield f"count {siblings.filter(published=True).count()}, {comment.filter(article=pk).exists()}"
    yield f"sums {siblings.aggregate(n=Count('pk'), price=Avg('price'), views=Sum('views'))}"
    yield f"in bulk {sorted((key, str(row)) for key, row in tag.in_bulk([1, 2, 3]).items())}"
    yield f"ends {siblings.earliest('published_at', 'pk').pk}, {siblings.latest('views', 'pk').pk}"


def _columns(row: Model) -> str:
    values: list[Any] = [getattr(row, field.attname) for field in row._meta.concrete_fields]
    return f"{row._meta.model_name} {values}"
