"""Writes the rows at the start into the database."""

from __future__ import annotations

from django.core.management.color import no_style
from django.db import connection

from benchmarks.workload.data import Size, moment
from benchmarks.workload.models import Article, Author, Category, Comment, Tag
from benchmarks.workload.plan import Site

BODY = "Once upon a time there was a product that was worth its price. " * 12


def load(site: Site, size: Size) -> None:
    """Fill the empty tables; primary keys count from 1."""
    Category.objects.bulk_create(
        Category(pk=i, name=f"Category {i}") for i in range(1, size.categories + 1)
    )
    Author.objects.bulk_create(
        Author(pk=i, name=f"Author {i}", biography="b" * 300) for i in range(1, size.authors + 1)
    )
    Tag.objects.bulk_create(Tag(pk=i, name=f"Tag {i}") for i in range(1, size.tags + 1))
    Article.objects.bulk_create(
        (
            Article(
                pk=pk,
                title=row.title,
                body=BODY,
                author_id=row.author,
                category_id=row.category,
                price=row.price,
                views=row.views,
                published=row.published,
                created=moment(pk),
            )
            for pk, row in site.articles.items()
        ),
        batch_size=1000,
    )
    through = Article.tags.through
    through._default_manager.bulk_create(
        through(article_id=pk, tag_id=tag)
        for pk, row in site.articles.items()
        for tag in sorted(row.tags)
    )
    Comment.objects.bulk_create(
        Comment(pk=pk, article_id=article, text=f"Comment {pk}", created=moment(pk))
        for pk, article in site.comments.items()
    )
    models = [Article, Comment]
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(sql)
        if connection.vendor == "postgresql":
            # Now rather than in the middle of what is measured.
            cursor.execute("VACUUM ANALYZE")
