"""Records of written rows: what is packed comes back, and nothing else does."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ormcache.codec.records import MOST_ROWS, Written, pack_record, rows_of
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


@pytest.mark.parametrize("pk", ["a\0b", 1, b"a", TOKEN])
def test_what_no_database_takes_for_a_text_key(pk: Any) -> None:
    assert rows_of([pack([[pk], [], []])], str) is None
