"""Holds every read against what the database had committed.

A read from ``start`` to ``end`` may show of each row any state from the newest one acknowledged
before ``start`` up to the newest one begun before ``end``; older ones are stale, newer ones are
invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.history.names import BOUND, FIRST
from tests.history.timeline import Row, Timeline

STALE, INVENTED = "stale", "invented"
LISTS = ("list", "reverse", "related", "kept", "first", "good", "best")
"""Kinds of reads that answer with books as they are, besides those by their keys."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row in which a read is wrong; ``state`` is what it showed, ``due`` the oldest state it
    was allowed to show."""

    what: str
    table: str
    pk: int
    state: int
    due: int


@dataclass(frozen=True, slots=True)
class Read:
    kind: str
    start: int
    end: int
    how: int
    asked: Any
    answer: Any


IsThere = Callable[[Row, int, int], bool]
"""Whether a row was in a list about a shelf while it was in this state."""


def _stands(row: Row, state: int, shelf: int) -> bool:
    return row.shelf(state) == shelf


def _is_good(row: Row, state: int, shelf: int) -> bool:
    return row.shelf(state) == shelf and row.is_good(state)


_LAST_PLACE = (1 << 63, 0)


class Checker:
    """Given the timelines of both tables, judges reads one by one."""

    def __init__(self, books: Timeline, shelves: Timeline) -> None:
        self.books, self.shelves = books, shelves
        self._checks: dict[str, Callable[[Read], list[Finding]]] = {
            "row": self._row,
            "rows": self._rows,
            "shelf": self._shelf,
            "list": self._list,
            "reverse": self._list,
            "related": self._related,
            "values": self._values,
            "ordered": self._ordered,
            "kept": self._list,
            "first": self._first,
            "good": self._good,
            "best": self._best,
            "count good": self._count_good,
            "count upper": self._count_upper,
            "count": self._count,
            "exists": self._exists,
            "sum": self._sum,
        }

    def check(self, read: Read) -> list[Finding]:
        """What is wrong with the read; nothing, as a rule."""
        return self._checks[read.kind](read)

    def shown(self, read: Read) -> list[tuple[int, int]]:
        """The books whose state the read tells, and the state."""
        answer = read.answer
        if read.kind == "row":
            answer = [] if answer is None else [answer]
        elif read.kind not in ("rows", "values", *LISTS):
            return []
        found = []
        for pk, version, *_ in answer:
            row = self.books.rows.get(pk)
            state = row.by_version.get(version) if row else None
            if state is not None:
                found.append((pk, state))
        return found

    def _row(self, read: Read) -> list[Finding]:
        if read.answer is None:
            return self._absent(read, [read.asked])
        return self._books(read, [read.answer])

    def _rows(self, read: Read) -> list[Finding]:
        there = {pk for pk, *_ in read.answer}
        absent = [pk for pk in read.asked if pk not in there]
        return self._books(read, read.answer) + self._absent(read, absent)

    def _shelf(self, read: Read) -> list[Finding]:
        return self._version(read, self.shelves, "shelf", read.asked, read.answer)

    def _list(self, read: Read) -> list[Finding]:
        pks = {pk for pk, *_ in read.answer}
        found = self._books(read, read.answer) + self._members(read, pks)
        return found if read.kind == "reverse" else found + self._in_order(read)

    def _in_order(self, read: Read) -> list[Finding]:
        """Each row once, by its key, whenever that was."""
        pks = [pk for pk, *_ in read.answer]
        return [] if pks == sorted(set(pks)) else [Finding(INVENTED, "figure", read.asked, 0, -1)]

    def _related(self, read: Read) -> list[Finding]:
        found = self._list(read)
        for *_, shelf, version in read.answer:
            found += self._version(read, self.shelves, "shelf", shelf, version)
        return found

    def _values(self, read: Read) -> list[Finding]:
        # The result is one statement's: what stood on the shelf, in the version it had there.
        found = self._members(read, {pk for pk, _ in read.answer})
        for pk, version in read.answer:
            found += self._version(read, self.books, "book", pk, version)
            row = self.books.rows.get(pk)
            state = row.by_version.get(version) if row else None
            if row and state is not None and row.shelf(state) != read.asked:
                found.append(Finding(INVENTED, "book", pk, state, state))
        return found

    def _ordered(self, read: Read) -> list[Finding]:
        found = self._absent(read, set(self.books.rows) - set(read.answer))
        for pk in read.answer:
            row = self.books.rows.get(pk)
            states = row.window(read.start, read.end) if row else range(0)
            if row is None:
                found.append(Finding(INVENTED, "book", pk, -1, -1))
            elif not any(map(row.is_there, states)):
                found.append(_finding(row, pk, states, row.is_there))
        return found

    def _first(self, read: Read) -> list[Finding]:
        pks = {pk for pk, *_ in read.answer}
        found = self._books(read, read.answer) + self._in_order(read)
        if len(pks) < FIRST:
            return found + self._members(read, pks)
        if len(pks) > FIRST:
            found.append(Finding(INVENTED, "figure", read.asked, len(pks), -1))
        return found + self._members(read, pks, lambda pk: pk <= max(pks))

    def _good(self, read: Read) -> list[Finding]:
        pks = {pk for pk, *_ in read.answer}
        found = self._books(read, read.answer) + self._members(read, pks, is_there=_is_good)
        return found + self._in_order(read)

    def _best(self, read: Read) -> list[Finding]:
        pks = [pk for pk, *_ in read.answer]
        if len(pks) < FIRST:
            found = self._books(read, read.answer) + self._members(
                read, set(pks), is_there=_is_good
            )
        else:
            found = self._books(read, read.answer)
            found += self._members(read, set(pks), set(pks).__contains__, _is_good)
            found += self._better(read, pks)
        # Each stood before the next at some moment.
        for one, next_ in pairwise(pks):
            if min(self._places(read, one)) >= max(self._places(read, next_)):
                found.append(self._figure(read, next_))
        return found if len(set(pks)) == len(pks) <= FIRST else [*found, self._figure(read, 0)]

    def _better(self, read: Read, pks: list[int]) -> Iterator[Finding]:
        """Rows that had to be among the best instead of the worst of ``pks``."""
        # Of two rows the better one may have been so at another moment only; the worst that was
        # answered was no better than it ever was, though, and others may have been no worse.
        bound = max(min(self._places(read, pk)) for pk in pks)
        for pk in self.books.candidates(read.asked, read.start, read.end).difference(pks):
            if max(self._places(read, pk)) < bound:
                yield self._figure(read, pk)

    def _places(self, read: Read, pk: int) -> list[tuple[int, int]]:
        """By state where a row stood among the best, the smaller the better; last of all where it
        was none of them."""
        row = self.books.rows.get(pk)
        if row is None:
            return [_LAST_PLACE]
        return [
            (-row.stars(state), pk) if _is_good(row, state, read.asked) else _LAST_PLACE
            for state in row.window(read.start, read.end)
        ]

    def _figure(self, read: Read, answer: int) -> Finding:
        """What no single row is the cause of."""
        return Finding(STALE, "figure", read.asked, answer, -1)

    def _count_good(self, read: Read) -> list[Finding]:
        return self._bounded(read, read.answer, Row.is_good)

    def _count_upper(self, read: Read) -> list[Finding]:
        return self._bounded(read, read.answer, lambda row, state: 1, lambda pk: pk > BOUND)

    def _count(self, read: Read) -> list[Finding]:
        return self._bounded(read, read.answer, lambda row, state: 1)

    def _exists(self, read: Read) -> list[Finding]:
        return self._bounded(read, read.answer, lambda row, state: 1, at_most_one=True)

    def _sum(self, read: Read) -> list[Finding]:
        return self._bounded(read, read.answer, Row.version)

    def _books(self, read: Read, books: list[list[int]]) -> list[Finding]:
        found = []
        for pk, version, shelf, *_ in books:
            found += self._version(read, self.books, "book", pk, version)
            row = self.books.rows.get(pk)
            state = row.by_version.get(version) if row else None
            if row and state is not None and row.shelf(state) != shelf:
                found.append(Finding(INVENTED, "book", pk, state, state))
        return found

    def _version(
        self, read: Read, timeline: Timeline, table: str, pk: int, version: int
    ) -> list[Finding]:
        row = timeline.rows.get(pk)
        state = row.by_version.get(version) if row else None
        if row is None or state is None:
            return [Finding(INVENTED, table, pk, -1, -1)]
        states = row.window(read.start, read.end)
        if state < states.start:
            return [Finding(STALE, table, pk, state, states.start)]
        return [Finding(INVENTED, table, pk, state, states.start)] if state >= states.stop else []

    def _absent(self, read: Read, pks: Any) -> list[Finding]:
        """Rows that were not there."""
        found = []
        for pk in pks:
            row = self.books.rows.get(pk)
            if row is None:
                continue
            states = row.window(read.start, read.end)
            if not any(map(row.is_gone, states)):
                found.append(_finding(row, pk, states, row.is_gone))
        return found

    def _members(
        self,
        read: Read,
        pks: set[int],
        is_told: Callable[[int], bool] = lambda pk: True,
        is_there: IsThere = _stands,
    ) -> list[Finding]:
        """Of those books of which the answer tells, exactly ``pks`` were there."""
        found = []
        candidates = self.books.candidates(read.asked, read.start, read.end)
        for pk in filter(is_told, pks | candidates):
            row = self.books.rows.get(pk)
            states = row.window(read.start, read.end) if row else range(0)
            is_in = pk in pks

            def shows(state: int, row: Any = row, is_in: bool = is_in) -> bool:
                return is_there(row, state, read.asked) == is_in

            if row is None or not any(map(shows, states)):
                found.append(_finding(row, pk, states, shows))
        return found

    def _bounded(
        self,
        read: Read,
        answer: int,
        worth: Callable[[Row, int], int],
        is_counted: Callable[[int], bool] = lambda pk: True,
        *,
        at_most_one: bool = False,
    ) -> list[Finding]:
        """A figure over the rows of a shelf lies between the least and the most it can be."""
        least = most = 0
        for pk in filter(is_counted, self.books.candidates(read.asked, read.start, read.end)):
            row = self.books.rows[pk]
            worths = [
                worth(row, state) if row.shelf(state) == read.asked else 0
                for state in row.window(read.start, read.end)
            ]
            least += min(worths, default=0)
            most += max(worths, default=0)
        if at_most_one:
            least, most = min(least, 1), min(most, 1)
        if least <= answer <= most:
            return []
        return [Finding(STALE, "figure", read.asked, int(answer), least)]


def _finding(row: Row | None, pk: int, states: range, shows: Callable[[int], bool]) -> Finding:
    """The newest state that is what the read showed: before the window it is stale, else nobody
    can have seen it."""
    if row is None:
        return Finding(INVENTED, "book", pk, -1, -1)
    for state in range(states.start - 1, -1, -1):
        if shows(state):
            return Finding(STALE, "book", pk, state, states.start)
    return Finding(INVENTED, "book", pk, -1, states.start)
