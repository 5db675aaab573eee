"""Records of written rows: what is packed comes back, and nothing else does."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ormcache.codec.records import (
    MOST_ROWS,
    Written,
    ends_of,
    pack_links,
    pack_record,
    rows_of,
)
from ormcache.codec.values import pack

TOKEN = uuid.UUID(int=5)


def record(changed: list[Any], inserted: list[Any], deleted: list[Any]) -> bytes:
    found = pack_record(changed, inserted, deleted)
    assert found
    return found


@pytest.mark.parametrize(
    "pks",
    [[1, -(2**63), 2**63 - 1], ["", "a:b", "\u00e9"], [TOKEN, uuid.UUID(int=0)]],
    ids=lambda pks: type(pks[0]).__name__,
)
def test_rows_come_back_by_what_became_of_them(pks: list[Any]) -> None:
    first, *others = pks
    records = [record([first], others, []), record([], [], []), record(others, [], [first])]
    assert Written(set(pks), set(others), {first}) == rows_of(records, type(first))


def test_no_records_name_no_rows() -> None:
    assert Written() == rows_of([], int)


def test_a_record_holds_so_many_rows_and_no_more() -> None:
    half = MOST_ROWS // 2
    assert pack_record(range(half), [half], range(half + 1, MOST_ROWS)) is not None
    assert pack_record(range(half), [half], range(half + 1, MOST_ROWS + 1)) is None


def test_a_key_without_an_encoding_is_in_no_record() -> None:
    assert pack_record([object()], [], []) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xc1",
        pack(None),
        pack(5),
        pack({}),
        pack("ab"),
        pack([]),
        pack([[1]]),
        pack([[1], [2]]),
        pack([[1], [2], [3], [4]]),
        pack([1, 2, 3]),
        pack([[1], [], 2]),
        pack([[1], {}, []]),
        pack([["1"], [], []]),
        pack([[1], [True], []]),
        pack([[1.0], [], []]),
        pack([[None], [], []]),
        pack([[TOKEN], [], []]),
        pack([[[1]], [], []]),
        pack([[2**63], [], []]),
        pack([[], [-(2**63) - 1], []]),
        pack([[1], [], []]) + b"x",
    ],
)
def test_what_is_no_record_names_no_rows(data: bytes) -> None:
    assert rows_of([record([1], [], []), data], int) is None


def links(*pairs: list[Any]) -> bytes:
    found = pack_links(["one_id", "other_id"], pairs)
    assert found
    return found


@pytest.mark.parametrize(
    ("ones", "others"),
    [([1, -5], ["", "a:b"]), ([TOKEN, uuid.UUID(int=0)], [7, 8])],
    ids=["int", "UUID"],
)
def test_links_come_back_by_either_end(ones: list[Any], others: list[Any]) -> None:
    pairs = [list(pair) for pair in zip(ones, others, strict=True)]
    records = [links(pairs[0]), links(), links(*pairs)]
    assert set(ones) == ends_of(records, "one_id", type(ones[0]))
    assert set(others) == ends_of(records, "other_id", type(others[0]))


def test_a_record_holds_so_many_links_and_no_more() -> None:
    pairs = [[number, 1] for number in range(MOST_ROWS + 1)]
    assert pack_links(["a", "b"], pairs[1:]) is not None
    assert pack_links(["a", "b"], pairs) is None
    assert pack_links(["a", "b"], [[object(), 1]]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        pack(5),
        pack([]),
        pack([["one_id", "other_id"]]),
        pack([["one_id", "other_id"], []]) + b"x",
        pack([["one_id", "other_id"], [[1, 2]], []]),
        pack([["one_id", "other_id"], 5]),
        pack([["one_id", "other_id"], [5]]),
        pack([["one_id", "other_id"], [[1]]]),
        pack([["one_id", "other_id"], [[1, 2, 3]]]),
        pack([["one_id", "other_id"], [["1", 2]]]),
        pack([["one_id", "other_id"], [[None, 2]]]),
        pack([["one_id", "other_id"], [[[1], 2]]]),
        pack([["other_id"], [[2]]]),
        pack([{}, [[1, 2]]]),
        pack([[1], [], []]),
    ],
)
def test_what_is_no_record_names_no_ends(data: bytes) -> None:
    assert ends_of([links([1, 2]), data], "one_id", int) is None
    assert rows_of([links([1, 2])], int) is None


@pytest.mark.parametrize("pk", ["a\0b", 1, b"a", TOKEN])
def test_what_no_database_takes_for_a_text_key(pk: Any) -> None:
    assert rows_of([pack([[pk], [], []])], str) is None
