"""The kinds of writes. Each is one transaction, and gives every row it writes a new version."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F

from tests.history.models import Book, Shelf

INCREMENTS = 1_000_000
"""A new row starts at its operation's number times this, and counts up from there, so that no
two states of a row have the same version."""


class Withdrawn(Exception):
    """The application changes its mind: the transaction is rolled back."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one operation writes to. ``others`` are further books, in ascending order."""

    operation: int
    book: int
    others: tuple[int, ...]
    shelf: int
    rng: random.Random


Write = Callable[[Target], None]


def save(target: Target) -> None:
    with transaction.atomic():
        book = _lock(target.book)
        if book is not None:
            book.version += 1
            book.save()


def update(target: Target) -> None:
    Book.objects.filter(pk=target.book).update(version=F("version") + 1)


def update_many(target: Target) -> None:
    Book.objects.filter(shelf=target.shelf).update(version=F("version") + 1)


def bulk_update(target: Target) -> None:
    with transaction.atomic():
        found = Book.objects.select_for_update().filter(pk__in=target.others).order_by("pk")
        books = list(found)
        for book in books:
            book.version += 1
        if books:
            Book.objects.bulk_update(books, ["version"])


def move(target: Target) -> None:
    with transaction.atomic():
        book = _lock(target.book)
        if book is not None:
            book.shelf_id, book.version = target.shelf, book.version + 1
            book.save(update_fields=["shelf", "version"])


def show(target: Target) -> None:
    """Or hide."""
    with transaction.atomic():
        book = _lock(target.book)
        if book is not None:
            book.shown, book.version = not book.shown, book.version + 1
            book.save(update_fields=["shown", "version"])


def rate(target: Target) -> None:
    stars = target.rng.randrange(10)
    Book.objects.filter(pk=target.book).update(stars=stars, version=F("version") + 1)


def insert(target: Target) -> None:
    """With a key that may have been there before, or with one the database chooses."""
    pk = target.book if target.rng.random() < 0.7 else None
    stars, version = target.rng.randrange(10), target.operation * INCREMENTS
    Book(pk=pk, shelf_id=target.shelf, version=version, stars=stars).save(force_insert=True)


def delete(target: Target) -> None:
    with transaction.atomic():
        book = _lock(target.book)
        if book is not None:
            book.delete()


def delete_newest(target: Target) -> None:
    """One of those whose key the database chose, so that they do not pile up."""
    newest = Book.nocache.order_by("-pk").values_list("pk", flat=True).first()
    Book.objects.filter(pk=newest or target.book).delete()


def raw(target: Target) -> None:
    """A statement that shows its row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE history_book SET version = version + 1 WHERE id = %s", [target.book]
        )


def raw_many(target: Target) -> None:
    """A statement that does not, in a transaction of its own."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE history_book SET version = version + 1 WHERE shelf_id = %s AND id < %s",
            [target.shelf, target.book],
        )


def savepoint(target: Target) -> None:
    """The middle one of three writes is taken back."""
    first, second, third, *_ = target.others
    with transaction.atomic():
        Book.objects.filter(pk=first).update(version=F("version") + 1)
        try:
            with transaction.atomic():
                Book.objects.filter(pk=second).update(version=F("version") + 1)
                _look(second, target.shelf)
                raise Withdrawn
        except Withdrawn:
            pass
        Book.objects.filter(pk=third).update(version=F("version") + 1, shelf=target.shelf)


def rollback(target: Target) -> None:
    """Reads its own writes through the cache before it takes them back."""
    with transaction.atomic():
        Book.objects.filter(pk=target.book).update(version=F("version") + 1, shelf=target.shelf)
        _look(target.book, target.shelf)
        raise Withdrawn


def shelf(target: Target) -> None:
    Shelf.objects.filter(pk=target.shelf).update(version=F("version") + 1)


WRITES: dict[str, Write] = {
    "save": save,
    "update": update,
    "update many": update_many,
    "bulk update": bulk_update,
    "move": move,
    "show": show,
    "rate": rate,
    "insert": insert,
    "delete": delete,
    "delete newest": delete_newest,
    "raw": raw,
    "raw many": raw_many,
    "savepoint": savepoint,
    "rollback": rollback,
    "shelf write": shelf,
}
_WEIGHTS = (4, 4, 1, 1, 4, 3, 3, 4, 2, 2, 1, 1, 2, 2, 1)


def weighted(only: Collection[str]) -> tuple[list[str], list[int]]:
    """Kinds and how often they come; all kinds if none of these is among ``only``."""
    found = [pair for pair in zip(WRITES, _WEIGHTS, strict=True) if pair[0] in only]
    kinds, weights = zip(*(found or zip(WRITES, _WEIGHTS, strict=True)), strict=True)
    return list(kinds), list(weights)


def _lock(pk: int) -> Book | None:
    return Book.objects.select_for_update().filter(pk=pk).first()


def _look(book: int, shelf: int) -> None:
    """What a transaction sees of its own must not come before the eyes of others."""
    Book.objects.filter(pk=book).first()
    list(Book.objects.filter(shelf=shelf).order_by("pk"))
    Book.objects.filter(shelf=shelf).count()
