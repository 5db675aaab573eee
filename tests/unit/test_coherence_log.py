"""The log of a stamp: everything from the record that bears its nonce on, or nothing."""

from __future__ import annotations

import pytest

from ormcache.coherence.log import since

A, B, C = b"a" * 8, b"b" * 8, b"c" * 8
NOBODY = bytes(8)
LOG = [A + b"1", NOBODY + b"2", B + b"3", NOBODY + b"4"]


@pytest.mark.parametrize(
    ("nonce", "records"), [(A, [b"1", b"2", b"3", b"4"]), (B, [b"3", b"4"]), (C, None)]
)
def test_what_came_after_a_stamp(nonce: bytes, records: list[bytes] | None) -> None:
    assert records == since(nonce, LOG)


def test_the_first_of_two_records_that_bear_the_nonce_counts() -> None:
    assert [b"1", b"2"] == since(A, [A + b"1", A + b"2"])


def test_a_nonce_stands_at_the_start() -> None:
    assert since(A, [B + A]) is None


@pytest.mark.parametrize("log", [[], None, A + b"1", {A: b"1"}, 5, OSError()])
def test_what_is_no_log_tells_nothing(log: object) -> None:
    assert since(A, log) is None


def test_a_record_may_be_short() -> None:
    assert since(A, [b"", b"aa", A]) == [b""]
