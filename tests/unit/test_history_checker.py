"""The judgement of the history checker on histories made by hand: what it has to accept, and what
it has to find."""

from __future__ import annotations

from typing import Any

import pytest

from tests.history.checker import INVENTED, STALE, Checker, Finding, Read
from tests.history.journal import BOOK, SHELF, Version
from tests.history.timeline import NEVER, Operation, Timeline
from tests.history.windows import MARK_LOST, MARK_LOST_AND_KILLED, Injected, Windows

END = 10_000
SEED, MOVE, LATER, GONE, HIDE, RATE = 1, 2, 3, 4, 5, 6
OPERATIONS = {
    SEED: Operation(SEED, "seed", 0, 0, "committed", 0),
    # Book 1 moves from shelf 1 to shelf 2 ...
    MOVE: Operation(MOVE, "move", 100, 130, "committed", 120),
    # ... and is changed by a writer that was killed, so that nobody was told.
    LATER: Operation(LATER, "save", 200),
    # Book 2 is deleted.
    GONE: Operation(GONE, "delete", 300, 330, "committed", 320),
    # Book 3, one of four good ones on shelf 3, is hidden, and is given stars after that.
    HIDE: Operation(HIDE, "show", 400, 430, "committed", 420),
    RATE: Operation(RATE, "rate", 500, 530, "committed", 520),
}
VERSIONS = [
    Version(BOOK, 1, 10, 1, SEED),
    Version(BOOK, 2, 20, 1, SEED),
    Version(SHELF, 1, 5, 0, SEED),
    Version(BOOK, 1, 11, 2, MOVE),
    Version(BOOK, 1, 12, 2, LATER),
    Version(BOOK, 2, 20, None, GONE),
    *(Version(BOOK, pk, 10 * pk, 3, SEED, True, stars) for pk, stars in ((3, 7), (4, 9), (5, 7))),
    Version(BOOK, 6, 60, 3, SEED, True, 5),
    Version(BOOK, 7, 70, 3, SEED, True, 4),
    Version(BOOK, 3, 31, 3, HIDE, False, 7),
    Version(BOOK, 3, 32, 3, RATE, False, 9),
]
THREE, THREE_HIDDEN, THREE_RATED = [3, 30, 3], [3, 31, 3], [3, 32, 3]
FOUR, FIVE, SIX, SEVEN = [4, 40, 3], [5, 50, 3], [6, 60, 3], [7, 70, 3]


def checker(
    operations: dict[int, Operation] | None = None, seen: dict[tuple[int, int], int] | None = None
) -> Checker:
    known = OPERATIONS if operations is None else operations
    books = Timeline([each for each in VERSIONS if each.table == BOOK], known, seen)
    books.index(0, END)
    return Checker(books, Timeline([each for each in VERSIONS if each.table == SHELF], known))


def found(kind: str, at: tuple[int, int], asked: Any, answer: Any) -> list[str]:
    return [each.what for each in checker().check(Read(kind, *at, True, asked, answer))]


RIGHT: list[tuple[str, tuple[int, int], Any, Any]] = [
    ("row", (50, 60), 1, [1, 10, 1]),
    # While the COMMIT is under way, both.
    ("row", (119, 125), 1, [1, 10, 1]),
    ("row", (105, 110), 1, [1, 11, 2]),
    # Nobody was told of the killed writer's COMMIT.
    ("row", (9000, 9001), 1, [1, 11, 2]),
    ("row", (9000, 9001), 1, [1, 12, 2]),
    ("row", (400, 401), 2, None),
    ("rows", (400, 401), [1, 2], [[1, 12, 2]]),
    ("shelf", (400, 401), 1, 5),
    ("list", (50, 60), 1, [[1, 10, 1], [2, 20, 1]]),
    ("list", (400, 401), 1, []),
    ("reverse", (400, 401), 2, [[1, 11, 2]]),
    ("related", (50, 60), 1, [[1, 10, 1, 1, 5], [2, 20, 1, 1, 5]]),
    ("values", (150, 160), 1, [[2, 20]]),
    ("kept", (400, 401), 2, [[1, 11, 2]]),
    ("first", (400, 401), 2, [[1, 11, 2]]),
    ("ordered", (400, 401), None, [1, 3, 4, 5, 6, 7]),
    ("ordered", (310, 315), None, [1, 2, 3, 4, 5, 6, 7]),
    ("good", (50, 60), 3, [THREE, FOUR, FIVE, SIX]),
    ("good", (410, 415), 3, [FOUR, FIVE, SIX]),
    ("good", (410, 415), 3, [THREE_HIDDEN, FOUR, FIVE, SIX]),
    ("good", (600, 601), 3, [FOUR, FIVE, SIX]),
    ("good", (50, 60), 1, []),
    ("best", (50, 60), 3, [FOUR, THREE, FIVE]),
    ("best", (410, 415), 3, [FOUR, THREE, FIVE]),
    ("best", (410, 415), 3, [FOUR, FIVE, SIX]),
    ("best", (600, 601), 3, [FOUR, FIVE, SIX]),
    # Hidden by now, and anywhere until then.
    ("best", (410, 415), 3, [FOUR, THREE_HIDDEN, FIVE]),
    ("best", (500, 510), 3, [FOUR, FIVE, SIX]),
    ("best", (50, 60), 1, []),
    ("count good", (50, 60), 3, 4),
    ("count good", (410, 415), 3, 3),
    ("count good", (600, 601), 3, 3),
    ("count upper", (50, 60), 1, 0),
    ("count", (50, 60), 1, 2),
    ("count", (110, 115), 1, 1),
    ("exists", (400, 401), 1, False),
    ("sum", (50, 60), 1, 30),
    ("sum", (400, 401), 2, 12),
    ("sum", (400, 401), 2, 11),
]
WRONG: list[tuple[str, tuple[int, int], Any, Any, list[str]]] = [
    ("row", (121, 125), 1, [1, 10, 1], [STALE]),
    ("row", (9000, 9001), 1, [1, 10, 1], [STALE]),
    ("row", (50, 60), 1, [1, 11, 2], [INVENTED]),
    ("row", (50, 60), 1, [1, 99, 1], [INVENTED]),
    ("row", (50, 60), 1, [1, 10, 2], [INVENTED]),
    ("row", (50, 60), 2, None, [STALE]),
    ("row", (400, 401), 2, [2, 20, 1], [STALE]),
    ("rows", (50, 60), [1, 2], [[1, 10, 1]], [STALE]),
    ("shelf", (400, 401), 1, 6, [INVENTED]),
    # The row is new, but it no longer stands here.
    ("list", (150, 160), 1, [[1, 11, 2], [2, 20, 1]], [STALE]),
    ("list", (50, 60), 1, [[2, 20, 1]], [STALE]),
    ("list", (400, 401), 2, [], [STALE]),
    ("list", (50, 60), 2, [[1, 10, 1]], [INVENTED]),
    ("related", (50, 60), 1, [[1, 10, 1, 1, 4], [2, 20, 1, 1, 5]], [INVENTED]),
    ("values", (150, 160), 1, [[1, 10], [2, 20]], [STALE, STALE]),
    ("ordered", (400, 401), None, [1, 2, 3, 4, 5, 6, 7], [STALE]),
    ("ordered", (50, 60), None, [1, 3, 4, 5, 6, 7], [STALE]),
    ("good", (50, 60), 3, [FOUR, FIVE, SIX], [STALE]),
    ("good", (430, 440), 3, [THREE_HIDDEN, FOUR, FIVE, SIX], [STALE]),
    ("good", (600, 601), 3, [THREE_RATED, FOUR, FIVE, SIX], [STALE]),
    ("good", (50, 60), 3, [THREE, FOUR, FIVE, SIX, SEVEN], [INVENTED]),
    ("good", (600, 601), 3, [FOUR, FIVE], [STALE]),
    ("best", (50, 60), 3, [FOUR, FIVE, SIX], [STALE]),
    ("best", (600, 601), 3, [THREE_RATED, FOUR, FIVE], [STALE]),
    ("best", (600, 601), 3, [FOUR, FIVE, SEVEN], [INVENTED, STALE]),
    ("best", (600, 601), 3, [FOUR, FIVE], [STALE]),
    ("best", (600, 601), 3, [SIX, FIVE, FOUR], [STALE]),
    # Three and five have as many stars.
    ("best", (50, 60), 3, [FOUR, FIVE, THREE], [STALE]),
    ("best", (600, 601), 3, [FOUR, FOUR, FIVE, SIX], [STALE]),
    ("best", (50, 60), 3, [FOUR, THREE, FIVE, SIX], [STALE]),
    ("good", (600, 601), 3, [SIX, FIVE, FOUR], [INVENTED]),
    ("list", (50, 60), 1, [[2, 20, 1], [1, 10, 1]], [INVENTED]),
    ("list", (50, 60), 1, [[1, 10, 1], [1, 10, 1], [2, 20, 1]], [INVENTED]),
    ("first", (50, 60), 3, [THREE, FIVE, FOUR], [INVENTED]),
    ("first", (50, 60), 3, [THREE, FOUR, FIVE, SIX], [INVENTED]),
    ("count good", (50, 60), 3, 3, [STALE]),
    ("count good", (430, 440), 3, 4, [STALE]),
    ("count good", (600, 601), 3, 4, [STALE]),
    ("count", (150, 160), 1, 2, [STALE]),
    ("kept", (400, 401), 2, [], [STALE]),
    ("first", (50, 60), 1, [[2, 20, 1]], [STALE]),
    ("count upper", (50, 60), 1, 1, [STALE]),
    ("count", (50, 60), 1, 3, [STALE]),
    ("exists", (400, 401), 1, True, [STALE]),
    ("sum", (150, 160), 1, 30, [STALE]),
    ("sum", (400, 401), 2, 10, [STALE]),
]


@pytest.mark.parametrize(("kind", "at", "asked", "answer"), RIGHT)
def test_what_may_be_seen(kind: str, at: tuple[int, int], asked: Any, answer: Any) -> None:
    assert [] == found(kind, at, asked, answer)


@pytest.mark.parametrize(("kind", "at", "asked", "answer", "what"), WRONG)
def test_what_must_not_be_seen(
    kind: str, at: tuple[int, int], asked: Any, answer: Any, what: list[str]
) -> None:
    assert set(what) == set(found(kind, at, asked, answer))


def test_what_was_seen_once_stays_seen() -> None:
    """The killed writer's COMMIT was acknowledged to nobody, but somebody has read it."""
    old = Read("row", 9000, 9001, True, 1, [1, 11, 2])
    new = Read("row", 500, 510, False, 1, [1, 12, 2])
    assert [] == checker().check(old)
    ((pk, state),) = checker().shown(new)
    stricter = checker(seen={(pk, state): new.end})
    assert [STALE] == [each.what for each in stricter.check(old)]
    assert [] == stricter.check(Read("row", 505, 520, True, 1, [1, 11, 2]))


def test_commits_acknowledged_out_of_order() -> None:
    """A later state that somebody was told of makes the earlier one due as well."""
    operations = {
        **OPERATIONS,
        MOVE: Operation(MOVE, "move", 100, NEVER),
        LATER: Operation(LATER, "save", 200, 230, "committed", 220),
    }
    judge = checker(operations)
    assert [STALE] == [
        each.what for each in judge.check(Read("row", 221, 230, True, 1, [1, 10, 1]))
    ]
    assert [] == judge.check(Read("row", 210, 230, True, 1, [1, 10, 1]))


def window(
    operation: Operation, fault: Injected, at: tuple[int, int], kind: str = "row"
) -> str | None:
    operations = {**OPERATIONS, MOVE: operation}
    judge = checker(operations)
    answer = {"row": [1, 10, 1], "count": 2}[kind]
    read = Read(kind, *at, True, 1, answer)
    findings: list[Finding] = judge.check(read)
    assert findings
    return Windows(judge, operations, [fault]).covering(read, findings[0])


LOST = Operation(MOVE, "move", 100, 130, "committed", 120, lost_marks=1)
FLUSH = Injected("flush", 105, 106)


@pytest.mark.parametrize("kind", ["row", "count"])
def test_a_lost_mark_covers_what_is_read_before_the_writer_notices(kind: str) -> None:
    assert MARK_LOST == window(LOST, FLUSH, (125, 126), kind)
    assert window(LOST, FLUSH, (131, 140), kind) is None


def test_a_mark_that_goes_without_a_fault_covers_nothing() -> None:
    assert window(LOST, Injected("flush", 500, 501), (125, 126)) is None
    assert window(LOST, Injected("script-flush", 105, 106), (125, 126)) is None


def test_the_outbox_covers_nothing() -> None:
    outboxed = Operation(MOVE, "move", 100, 130, "committed", 120, outboxed=True)
    assert window(outboxed, FLUSH, (125, 126)) is None


def test_a_write_in_the_outbox_may_be_seen_before_it_is_acknowledged() -> None:
    outboxed = Operation(MOVE, "move", 100, 130, "committed", 130, outboxed=True)
    operations = {SEED: OPERATIONS[SEED], MOVE: outboxed}
    seen = {(1, 2): 121}
    (row,) = Timeline([VERSIONS[0], VERSIONS[3]], operations, seen).rows.values()
    assert [1, 2] == list(row.window(125, 126))
    assert [2] == list(row.window(131, 132))


def window_of_figure(
    versions: list[Version], operations: dict[int, Operation], fault: Injected, read: Read
) -> str | None:
    books = Timeline(versions, operations)
    books.index(0, 2 * read.end)
    judge = Checker(books, Timeline([], operations))
    (finding,) = judge.check(read)
    return Windows(judge, operations, [fault]).covering(read, finding)


def test_a_figure_may_still_count_a_row_that_left_long_before() -> None:
    second = 1_000_000_000
    left = Operation(MOVE, "move", second, 2 * second, "", 2 * second)
    operations = {SEED: OPERATIONS[SEED], MOVE: left}
    versions = VERSIONS[:2] + VERSIONS[3:4]
    read = Read("count", 6 * second, 6 * second + 1, True, 1, 2)
    flush = Injected("flush", second + 1, second + 2)
    assert MARK_LOST_AND_KILLED == window_of_figure(versions, operations, flush, read)


def test_a_write_that_was_missed_may_be_followed_by_others() -> None:
    """They change what the figure does not ask for."""
    second = 1_000_000_000
    hidden = Operation(HIDE, "show", second, 2 * second, "", 2 * second)
    operations = {SEED: OPERATIONS[SEED], HIDE: hidden}
    versions = [*(each for each in VERSIONS if each.pk == 3 and each.operation in operations)]
    for number in range(100, 105):
        at = 3 * second + number
        operations[number] = Operation(number, "save", at, at + 1, "committed", at + 1)
        versions.append(Version(BOOK, 3, 31 + number, 3, number, False, 7))
    read = Read("count good", 6 * second, 6 * second + 1, True, 3, 1)
    flush = Injected("flush", second + 1, second + 2)
    assert MARK_LOST_AND_KILLED == window_of_figure(versions, operations, flush, read)


def test_no_window_without_a_lost_mark() -> None:
    whole = Operation(MOVE, "move", 100, 130, "committed", 120)
    assert window(whole, FLUSH, (125, 126)) is None


def test_a_release_that_failed_covers_what_comes_later() -> None:
    failed = Operation(MOVE, "move", 100, 130, "committed", 120, failed_releases=1)
    assert MARK_LOST_AND_KILLED == window(failed, FLUSH, (9000, 9001))
