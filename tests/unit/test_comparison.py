"""When two results of one query are the same."""

from __future__ import annotations

from typing import Any

import pytest

from ormcache.query.comparison import is_determined, same_rows
from tests.testapp.models import Article, Author

PAIRS: dict[str, tuple[bytes, Any, Any, bool]] = {
    "pointers in another order": (b"rows", [[1, 2], [[3, 4]]], [[2, 1], [[4, 3]]], True),
    "columns of other rows": (b"rows", [[1, 2], [[3, 4]]], [[1, 2], [[4, 3]]], False),
    "another row": (b"rows", [[1, 2], []], [[1, 3], []], False),
    "a row twice": (b"rows", [[1, 1, 2], []], [[1, 2, 2], []], False),
    "values in another order": (b"values", [["a", 1], ["b", 2]], [["b", 2], ["a", 1]], True),
    "other values": (b"values", [["a", 1]], [["a", 2]], False),
    "counts": (b"count", 3, 3, True),
    "other counts": (b"count", 3, 4, False),
    "an aggregate": (b"aggregate", {"n": 1.5}, {"n": 1.5}, True),
    "kinds that are equal": (b"exists", True, 1, False),
    "kinds in rows that are equal": (b"values", [[True]], [[1]], False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_results_of_one_query(name: str) -> None:
    kind, one, other, expected = PAIRS[name]
    assert same_rows(kind, one, other) is expected
    assert same_rows(kind, other, one) is expected


def test_a_slice_without_an_order_may_be_any() -> None:
    slices: list[Any] = [
        Article.objects.order_by()[:3],
        Article.objects.order_by("title")[:3],
        Author.objects.order_by(),
    ]
    assert [False, True, True] == [is_determined(each.query) for each in slices]
