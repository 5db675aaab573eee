"""An author as the cache shows it, and as the database does."""

from __future__ import annotations

from tests.testapp.models import Author


def seen(author: Author) -> tuple[str, list[str]]:
    """The author's name as its row and as a list ordered by name say."""
    return (
        Author.objects.get(pk=author.pk).name,
        [each.name for each in Author.objects.order_by("name")],
    )


def stored(author: Author) -> tuple[str, list[str]]:
    """What ``seen`` has to say: the same from the database."""
    return (
        Author.nocache.get(pk=author.pk).name,
        [each.name for each in Author.nocache.order_by("name")],
    )
