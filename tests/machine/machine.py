"""The state machine: reads are remembered, and compared with the database after every step."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from contextlib import nullcontext
from random import Random
from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import ormcache
from ormcache.exceptions import InvalidationFailed
from tests.machine import nearby, queries, writes
from tests.machine.choice import Choice, chosen
from tests.machine.models import MODELS, SCHEMAS
from tests.machine.session import Session
from tests.machine.tally import Tally
from tests.machine.world import REFUSALS, World, driver, quoted
from tests.plugins.redis_server import RedisServer

REMEMBERED = 12
"""Reads that are known at a time; the oldest makes room for a new one."""
COMPARED = 2
"""Reads that are compared after every step, by turns."""


class Difference(AssertionError):
    """A cached read that differs from the database, or an error that is the cache's own."""


def _may_write(machine: Any) -> bool:
    """SQLite has one writer at a time."""
    return not (connection.vendor == "sqlite" and machine.session.is_open)


def _runner() -> Any:
    return st.runner()


def reads() -> Any:
    return _runner().flatmap(lambda machine: chosen(queries.read, machine.models))


def statements() -> Any:
    return _runner().flatmap(lambda machine: chosen(writes.statement, machine.models))


def blocks() -> Any:
    return _runner().flatmap(lambda machine: chosen(writes.block, machine.models))


def any_writes() -> Any:
    return _runner().flatmap(
        lambda machine: chosen(nearby.any_write, machine.models, list(machine.drawn))
    )


class CacheMachine(RuleBasedStateMachine):
    """``server`` and ``tally`` are set by who runs it."""

    server: ClassVar[RedisServer]
    tally: ClassVar[Tally] = Tally()
    ends: ClassVar[float] = float("inf")
    """Of the monotonic clock: what is left of a run after it does nothing."""

    models: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.remembered: deque[str] = deque(maxlen=REMEMBERED)
        self.drawn: deque[str] = deque(maxlen=REMEMBERED)
        """The reads drawn last, whatever became of them: what is drawn must follow from nothing
        that may be otherwise the next time."""
        self.script: list[str] = []
        self.world = World(
            {
                "check": self.check,
                "elsewhere": lambda check: self.session.run(check),
                "evict": self.evict,
                "flush": lambda: self.server.flush(),
                "restart": lambda: self.server.restart(),
            }
        )

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.ends

    @initialize(number=st.integers(0, len(SCHEMAS) - 1))
    def begin(self, number: int) -> None:
        self.schema = SCHEMAS[number]
        self.models = [MODELS[name] for name in self.schema.names]
        choice = Choice(Random(number).randrange)
        rows = [writes.create(choice, model) for model in self.models for _ in range(3)]
        texts = [queries.read(choice, self.models) for _ in range(2)]
        if self.is_over:
            self.drawn += texts
            return
        self.tally.examples += 1
        self.server.flush()
        for each in rows:
            self._write(each)
        for text in texts:
            self.read(text)

    @rule(text=reads())
    def read(self, text: str) -> None:
        """Remember a read; one that the database refuses is forgotten."""
        self.drawn.append(text)
        if self.is_over:
            return
        self.tally.steps += 1
        with ormcache.bypass():
            found = self.world.value(text)
        if _is_refused(found):
            self.tally.refused[f"read: {found[1]}"] += 1
            return
        self.tally.reads += 1
        self.script.append(f"remember({text!r})")
        self.remembered.append(text)
        self._compare([text])

    @precondition(_may_write)
    @rule(each=any_writes())
    def write(self, each: str | nearby.Meeting) -> None:
        self._do(each)

    @precondition(_may_write)
    @rule(each=any_writes())
    def write_more(self, each: str | nearby.Meeting) -> None:
        self._do(each)

    @precondition(_may_write)
    @rule(each=any_writes())
    def write_most(self, each: str | nearby.Meeting) -> None:
        self._do(each)

    @precondition(_may_write)
    @rule(text=blocks())
    def transaction(self, text: str) -> None:
        self._step(text)

    @precondition(lambda self: not self.session.is_open)
    @rule()
    def begin_elsewhere(self) -> None:
        self.script.append("session.begin()")
        self.session.begin()

    @rule(text=statements())
    def write_elsewhere(self, text: str) -> None:
        self._step(text, elsewhere=True)

    @precondition(lambda self: self.session.is_open)
    @rule(commit=st.booleans())
    def end_elsewhere(self, commit: bool) -> None:
        self.script.append(f"session.end(commit={commit})")
        self.session.end(commit=commit)
        self._after_step()

    def _do(self, each: str | nearby.Meeting) -> None:
        if isinstance(each, str):
            self._step(each)
        else:
            self._meet(each)

    def _meet(self, meeting: nearby.Meeting) -> None:
        """Read, write, and read again."""
        if self.is_over:
            return
        for made in ("", *meeting.rounds):
            if made:
                if meeting.loads:
                    self.script.append(meeting.loads)
                    self.world.value(meeting.loads)
                self._write(made)
            self.script.append(f"again({meeting.read!r})")
            self._compare([meeting.read])
        self._after_step()

    def _step(self, text: str, *, elsewhere: bool = False) -> None:
        if self.is_over:
            return
        if elsewhere:
            self.session.run(self._write_elsewhere, text)
        else:
            self._write(text)
        self._after_step()

    def _after_step(self) -> None:
        self.tally.steps += 1
        self.check()
        if self.session.is_open:
            self.session.run(self.check)

    def _write(self, text: str, note: str = "", block: Any = nullcontext) -> None:
        self.script.append(note + text)
        try:
            with block():
                self.world.run(text)
        except Difference:
            raise
        except InvalidationFailed:
            # The store did not answer in time: refused loudly, as promised.
            self.tally.refused["InvalidationFailed"] += 1
        except REFUSALS as error:
            self.tally.refused[type(error).__name__] += 1
            _check_origin(self, error)
        else:
            self.tally.writes[_verb(text)] += 1

    def _write_elsewhere(self, text: str) -> None:
        # In a savepoint, because its failure must not end an open transaction.
        block = transaction.atomic if self.session.is_open else nullcontext
        self._write(text, "# elsewhere: ", block)

    def check(self) -> None:
        sample = list(self.remembered)[:COMPARED]
        self.remembered.rotate(-len(sample))
        self._compare(sample)

    def _compare(self, texts: list[str]) -> None:
        if connection.needs_rollback:
            return
        for text in texts:
            got = self.world.value(text)
            with ormcache.bypass():
                wanted = self.world.value(text)
            self.tally.compared += 1
            if got != wanted and not (_is_locked(got) or _is_locked(wanted)):
                raise self._difference(_shown(text, got, wanted))

    def _difference(self, what: str) -> Difference:
        script = "\n".join(self.script)
        return Difference(f"{what}\n\n{self.schema.source}\n\n{script}\n")

    def evict(self, number: int) -> None:
        """Remove every third key, say."""
        with self.server.client() as client:
            keys = sorted(client.keys())
            chosen_keys = keys[number % 3 :: 1 + number // 3]
            if chosen_keys:
                client.delete(*chosen_keys)

    def teardown(self) -> None:
        self.session.close()
        if hasattr(self, "schema"):
            clear(self.models)


def _is_locked(found: Any) -> bool:
    """Whether the database had the rows locked: TRUNCATE keeps readers out, too. A transaction of
    PostgreSQL in which that has happened answers nothing any more."""
    errors = ("raised", "OperationalError"), ("raised", "InternalError")
    return type(found) is tuple and found[:2] in errors


def _is_refused(found: Any) -> bool:
    """Whether a read can have no answer, however the rows are: an error of its own."""
    may_change = ("DoesNotExist", "MultipleObjectsReturned", "AttributeError", "ValueError")
    return type(found) is tuple and found[0] == "raised" and not found[1].endswith(may_change)


def _shown(text: str, got: Any, wanted: Any) -> str:
    """A difference, without what is alike in two collections."""
    if isinstance(got, Counter) and isinstance(wanted, Counter):
        got, wanted = dict(got - wanted), dict(wanted - got)
    return f"{text}\n  cached:   {got}\n  database: {wanted}"


def _check_origin(machine: Any, error: Exception) -> None:
    """An error of the cache's own code is a failure, whatever its type; not that a row is not
    there, which it says in Django's stead."""
    if isinstance(error, ObjectDoesNotExist):
        return
    traceback: Any = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    if "/ormcache/" in traceback.tb_frame.f_code.co_filename:
        raise machine._difference(f"{type(error).__name__} out of the cache: {error}") from error


def _verb(text: str) -> str:
    """The name of a write in the report."""
    if text.startswith("with "):
        return "transaction"
    found = re.match(r"(\w+)\((?!.*\)\.\w+\()", text)
    verbs = re.findall(r"\.(\w+)\(", text)
    if found and found[1] not in ("nth", "cached", "held"):
        return found[1]
    known = [verb for verb in verbs if verb in _VERBS]
    return known[-1] if known else "other"


_VERBS = set(
    "create save update delete bulk_create bulk_update add remove set clear get_or_create"
    " update_or_create _raw_delete".split()
)


def clear(found: list[Any]) -> None:
    """Empty the tables of a schema, past Django."""
    tables: list[str] = []
    for model in found:
        for each in (model, *(field.remote_field.through for field in model._meta.many_to_many)):
            if each._meta.db_table not in tables:
                tables.append(each._meta.db_table)
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        driver(
            "TRUNCATE "
            + ", ".join(quoted(f"[{table}]") for table in tables)
            + " RESTART IDENTITY CASCADE"
        )
        return
    off, on = {
        "mysql": ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1"),
    }.get(connection.vendor, ("PRAGMA foreign_keys = 0", "PRAGMA foreign_keys = 1"))
    driver(off)
    for table in tables:
        driver(quoted(f"DELETE FROM [{table}]"))
    if connection.vendor == "sqlite":
        driver("DELETE FROM sqlite_sequence")
    driver(on)
