"""The kinds of reads. Each asks in ordinary ORM code and tells what it asked and what it got."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.db.models import Sum

from tests.history.models import Book, Shelf
from tests.history.names import BOUND, FIRST, GOOD

Read = Callable[[int, int], tuple[Any, Any]]
"""Given the primary key of a book and of a shelf: what was asked for, and the answer."""


def row(book: int, shelf: int) -> tuple[Any, Any]:
    try:
        return book, _of(Book.objects.get(pk=book))
    except Book.DoesNotExist:
        return book, None


def rows(book: int, shelf: int) -> tuple[Any, Any]:
    pks = [book, *range(shelf, shelf + 4)]
    return pks, [_of(found) for found in Book.objects.filter(pk__in=pks)]


def row_of_shelf(book: int, shelf: int) -> tuple[Any, Any]:
    return shelf, Shelf.objects.get(pk=shelf).version


def list_(book: int, shelf: int) -> tuple[Any, Any]:
    return shelf, [_of(found) for found in Book.objects.filter(shelf_id=shelf).order_by("pk")]


def reverse(book: int, shelf: int) -> tuple[Any, Any]:
    start: Any = Shelf(pk=shelf)
    return shelf, [_of(found) for found in start.books.all()]


def related(book: int, shelf: int) -> tuple[Any, Any]:
    found = Book.objects.filter(shelf=shelf).select_related("shelf").order_by("pk")
    return shelf, [[*_of(each), each.shelf.pk, each.shelf.version] for each in found]


def values(book: int, shelf: int) -> tuple[Any, Any]:
    found = Book.objects.filter(shelf=shelf).values_list("pk", "version")
    return shelf, [list(each) for each in found]


def ordered(book: int, shelf: int) -> tuple[Any, Any]:
    """Every row: relies on the stamps of the whole table."""
    return None, list(Book.objects.order_by("version").values_list("pk", flat=True))


def kept(book: int, shelf: int) -> tuple[Any, Any]:
    """A condition that every row meets, on a column that every write changes: the list is
    invalidated by each, and right after most."""
    found = Book.objects.filter(shelf_id=shelf, version__gte=0).order_by("pk")
    return shelf, [_of(each) for each in found]


def first(book: int, shelf: int) -> tuple[Any, Any]:
    """The same, of the first rows only."""
    found = Book.objects.filter(shelf_id=shelf, version__gte=0).order_by("pk")[:FIRST]
    return shelf, [_of(each) for each in found]


def good(book: int, shelf: int) -> tuple[Any, Any]:
    """Conditions on two columns that change apart: a write to one of them invalidates the list,
    and what the row has in the other may change unseen meanwhile."""
    return shelf, [_of(each) for each in _good(shelf).order_by("pk")]


def best(book: int, shelf: int) -> tuple[Any, Any]:
    """The same, of the first rows in the order of such a column."""
    return shelf, [_of(each) for each in _good(shelf).order_by("-stars", "pk")[:FIRST]]


def count_good(book: int, shelf: int) -> tuple[Any, Any]:
    return shelf, _good(shelf).count()


def count_upper(book: int, shelf: int) -> tuple[Any, Any]:
    """Data that a book below the bound can never be part of."""
    return shelf, Book.objects.filter(shelf=shelf, pk__gt=BOUND).count()


def count(book: int, shelf: int) -> tuple[Any, Any]:
    return shelf, Book.objects.filter(shelf=shelf).count()


def exists(book: int, shelf: int) -> tuple[Any, Any]:
    return shelf, Book.objects.filter(shelf=shelf).exists()


def total(book: int, shelf: int) -> tuple[Any, Any]:
    found = Book.objects.filter(shelf=shelf).aggregate(total=Sum("version"))
    return shelf, int(found["total"] or 0)


READS: dict[str, Read] = {
    "row": row,
    "rows": rows,
    "shelf": row_of_shelf,
    "list": list_,
    "reverse": reverse,
    "related": related,
    "values": values,
    "ordered": ordered,
    "kept": kept,
    "first": first,
    "good": good,
    "best": best,
    "count good": count_good,
    "count upper": count_upper,
    "count": count,
    "exists": exists,
    "sum": total,
}
UNORDERED = ("rows", "reverse", "values")
"""Kinds that ask for no order."""
_WEIGHTS = (20, 2, 4, 4, 2, 2, 2, 1, 2, 2, 2, 2, 3, 2, 2, 1, 2)
ROWS = ("row", "rows", "shelf")
"""Kinds that read rows by their keys; all others are lists."""
DATA = ("values", "ordered", "count good", "count upper", "count", "exists", "sum")
"""Kinds whose lists hold data, not pointers to rows."""


def weighted(only: Collection[str]) -> tuple[list[str], list[int]]:
    """Kinds and how often they come; all kinds if none of these is among ``only``."""
    found = [pair for pair in zip(READS, _WEIGHTS, strict=True) if pair[0] in only]
    kinds, weights = zip(*(found or zip(READS, _WEIGHTS, strict=True)), strict=True)
    return list(kinds), list(weights)


def _good(shelf: int) -> Any:
    return Book.objects.filter(shelf=shelf, shown=True, stars__gte=GOOD)


def _of(book: Book) -> list[int]:
    return [book.pk, book.version, book.shelf_id]
