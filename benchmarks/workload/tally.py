"""How every read was answered, what every write cost the lists, and which of it was needless."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.workload.plan import READ_BY
from benchmarks.workload.systems import NoCache, Outcome

Identity = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A result as digests: which rows in which order, and with all data the query returns."""

    value: Any
    pointers: bytes
    data: bytes


@dataclass(slots=True)
class Cached:
    """A list in the cache, as far as the tracker knows."""

    answer: Answer
    witnesses: tuple[Any, ...]
    lost_to: str | None = None
    """The kind of the write that invalidated it."""


@dataclass
class Tally:
    """The counts of one system; plain data, so that it can be sent."""

    reads: Counter[Any] = field(default_factory=Counter)
    """By ("list" or "row", kind, how it was answered)."""
    invalidated: Counter[Any] = field(default_factory=Counter)
    """Lists read again after they were invalidated, by kinds of write and read."""
    same_pointers: Counter[Any] = field(default_factory=Counter)
    """Those of them whose rows and order were the same again."""
    same_data: Counter[Any] = field(default_factory=Counter)
    """Those of them whose rows, order and all values were the same again."""
    lost: Counter[Any] = field(default_factory=Counter)
    """All lists that were invalidated, read again or not, by kinds of write and read."""
    writes: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    """Misses of lists of which no write is known to have invalidated them, and hits of lists of
    which one is."""
    uncached: int = 0
    """Lists that were read and not stored."""
    counters: Counter[str] = field(default_factory=Counter)
    """The system's own, by name, if it has any."""
    seconds: float = 0.0
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    """The kind of each read and the digest of what it gave, in order."""

    def needless(self) -> Counter[Any]:
        """Lists lost to writes of columns they neither filter nor order by."""
        return Counter(
            {
                (write, read): count
                for (write, read), count in self.lost.items()
                if write in READ_BY and read not in READ_BY[write]
            }
        )


class Tracker:
    """Answers the reads of pages, makes writes, and keeps the tally.

    ``evaluate`` calls the read it is given; a test may check the answer there.
    """

    def __init__(
        self,
        system: NoCache,
        statements: Counter[str],
        evaluate: Callable[[Callable[[], Answer]], Answer] = lambda run: run(),
    ) -> None:
        self.tally = Tally()
        self._system = system
        self._statements = statements
        self._evaluate = evaluate
        self._cached: dict[Identity, Cached] = {}
        self._states: dict[Any, Any] = {}

    # What pages ask

    def row(self, kind: str, model: Any, pk: int) -> Any:
        def run() -> Answer:
            try:
                row = model.objects.get(pk=pk)
            except model.DoesNotExist:
                return _answer(None, None, None)
            return _answer(row, pk, _values(row))

        answer, outcome = self._read(kind, run)
        self.tally.reads["row", kind, _how(outcome)] += 1
        return answer.value

    def rows(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> list[Any]:
        related = sorted(queryset.query.select_related or ())

        def run() -> Answer:
            rows = list(queryset.all())
            return _answer(rows, [row.pk for row in rows], [_values(row, related) for row in rows])

        found: list[Any] = self._list(kind, parameters, run)
        return found

    def count(self, kind: str, parameters: tuple[Any, ...], queryset: Any) -> int:
        def run() -> Answer:
            number = queryset.count()
            return _answer(number, number, number)

        return int(self._list(kind, parameters, run))

    # Writes

    def write(self, kind: str, run: Callable[..., None], arguments: Sequence[Any]) -> None:
        before, start = self._statements["sql"], time.perf_counter()
        run(self._system.update, *arguments)
        self.tally.seconds += time.perf_counter() - start
        self.tally.statements["write"] += self._statements["sql"] - before
        self.tally.writes[kind] += 1
        self._note_losses(kind)

    def _note_losses(self, kind: str) -> None:
        keys = list(self._states)
        if not keys:
            return
        now = dict(zip(keys, self._system.states(keys), strict=True))
        changed = {key for key in keys if now[key] != self._states[key]}
        if not changed:
            return
        for identity, cached in self._cached.items():
            if cached.lost_to is None and not changed.isdisjoint(cached.witnesses):
                cached.lost_to = kind
                self.tally.lost[kind, identity[0]] += 1
        # A list stored later relies on what the witnesses hold then.
        for key in changed:
            self._states[key] = now[key]

    # Reads

    def _read(self, kind: str, run: Callable[[], Answer]) -> tuple[Answer, Outcome]:
        self._system.before()
        before, start = self._statements["sql"], time.perf_counter()
        answer = self._evaluate(run)
        self.tally.seconds += time.perf_counter() - start
        statements = self._statements["sql"] - before
        self.tally.statements["read"] += statements
        self.tally.reads["all", "", "SQL" if statements else "no SQL"] += 1
        self.tally.answers.append((kind, answer.data))
        return answer, self._system.outcome(statements)

    def _list(self, kind: str, parameters: tuple[Any, ...], run: Callable[[], Answer]) -> Any:
        answer, outcome = self._read(kind, run)
        identity = (kind, *parameters)
        cached = self._cached.get(identity)
        self.tally.reads["list", kind, _how(outcome)] += 1
        if outcome.hit:
            self._note_hit(cached, answer)
        else:
            if cached is not None:
                self._compare(kind, cached, answer)
            self._note_fill(identity, answer, outcome)
        return answer.value

    def _note_hit(self, cached: Cached | None, answer: Answer) -> None:
        if cached is None or cached.lost_to is not None:
            self.tally.unexplained += 1
        else:
            cached.answer = answer

    def _compare(self, kind: str, cached: Cached, answer: Answer) -> None:
        if cached.lost_to is None:
            self.tally.unexplained += 1
            return
        cause = (cached.lost_to, kind)
        self.tally.invalidated[cause] += 1
        self.tally.same_pointers[cause] += cached.answer.pointers == answer.pointers
        self.tally.same_data[cause] += cached.answer.data == answer.data

    def _note_fill(self, identity: Identity, answer: Answer, outcome: Outcome) -> None:
        if not outcome.stored:
            self.tally.uncached += 1
            self._cached.pop(identity, None)
            return
        self._cached[identity] = Cached(answer, outcome.witnesses)
        self._watch(outcome)

    def _watch(self, outcome: Outcome) -> None:
        states = self._system.states(outcome.witnesses)
        self._states.update(zip(outcome.witnesses, states, strict=True))


def _how(outcome: Outcome) -> str:
    return "hit" if outcome.hit else "miss"


def _answer(value: Any, pointers: Any, data: Any) -> Answer:
    return Answer(value, _digest(pointers), _digest(data))


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).digest()


def _values(row: Any, related: Sequence[str] = ()) -> list[Any]:
    """All values of a row and of the ``related`` rows that were selected with it."""
    values = [getattr(row, field.attname) for field in row._meta.concrete_fields]
    return [*values, *(_values(getattr(row, name)) for name in related)]
