"""The numbered points at which a process may be killed: before, in the midst of, and after every
step of the protocol, and around every statement and COMMIT.

Set from outside, in the process under test alone; the product knows nothing of them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.connection import AbstractConnection

from ormcache.outage import outbox
from ormcache.store.client import Client
from tests.history.records import Log, now

_READ_STEPS = ("read row", "read list", "lease", "capture", "fill", "store")
_WRITE_STEPS = ("mark rows", "mark stamps", "release")
_MOMENTS = ("before", "sent", "after")
READ_POINTS = (
    *(f"{moment} {step}" for step in _READ_STEPS for moment in _MOMENTS),
    *("before select", "after select"),
)
WRITE_POINTS = (
    *(f"{moment} {step}" for step in _WRITE_STEPS for moment in _MOMENTS),
    *("before commit", "after commit", "before rollback", "after rollback"),
    *("before write", "after write"),
)
OUTAGE_POINTS = tuple(
    f"{moment} {step}" for step in ("put", "replay") for moment in ("before", "after")
)
"""Points of the outbox: reached while Redis is away, and soon after."""
POINTS = READ_POINTS + WRITE_POINTS + OUTAGE_POINTS

_READER_RACES = frozenset({"before select", "after select", "before fill", "before store"})
_WRITER_RACES = frozenset(
    {"after mark rows", "after mark stamps", "before commit", "after commit", "before release"}
)
"""Points between two steps that something else must not come between unnoticed."""
_LINGERS, _LINGERS_ELSEWHERE = 1 / 15, 1 / 500
_SLOWER = 4
_MISSED = 200
"""Operations after which a rare point is waited for no longer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a process ends: at ``point`` of an operation of ``kind`` (``""``: any), after so many
    operations at the earliest. No point: it is not killed."""

    point: str = ""
    kind: str = ""
    after: int = 0


class Points:
    """The points of this process, once ``install`` has set them."""

    def __init__(self, plan: Plan, log: Log, rng: random.Random, linger: float) -> None:
        self._log = log
        self._rng = rng
        self._linger = linger
        self._step = ""
        self.kind = ""
        """The kind of the running operation."""
        self.committed_at = 0
        """When the database answered the last COMMIT."""
        self.plan = plan
        self._operations = 0
        self.operation = 0
        """The number of the running write."""

    def begin(self, kind: str) -> None:
        """An operation begins."""
        self.kind = kind
        self._operations += 1

    def reach(self, point: str) -> None:
        """Die here if that is the plan; else linger now and then, which widens every race."""
        plan = self.plan
        if plan.point and self._is_the_end(plan, point):
            self._log.write("killed", now(), point, self.kind)
            os.kill(os.getpid(), signal.SIGKILL)
        is_race = point in _READER_RACES or point in _WRITER_RACES
        if self._rng.random() < (_LINGERS if is_race else _LINGERS_ELSEWHERE):
            # A reader has to be slower than a whole write for its fill to come too late.
            mean = self._linger * (_SLOWER if point in _READER_RACES else 1)
            time.sleep(self._rng.expovariate(1 / mean))

    def _is_the_end(self, plan: Plan, point: str) -> bool:
        if plan.kind:
            return point == plan.point and self.kind == plan.kind
        late = self._operations - plan.after
        return late > 0 and (point == plan.point or late > _MISSED)

    def install(self) -> None:
        self._around(Client, "run", lambda arguments: step_of(arguments[0]))
        self._around(Client, "mget", lambda arguments: _read_of(arguments[0]))
        self._after(AbstractConnection, "send_packed_command", self._sent)
        self._around(BaseDatabaseWrapper, "_commit", lambda _: "commit")
        self._around(BaseDatabaseWrapper, "_rollback", lambda _: "rollback")
        self._around(outbox, "put", lambda _: "put")
        self._around(outbox, "replay", lambda _: "replay")
        # The last wrapper is the one next to the database.
        connection.execute_wrappers.append(self._statement)

    def _around(self, owner: Any, name: str, step_of: Callable[[tuple[Any, ...]], str]) -> None:
        original = getattr(owner, name)

        def stepping(self_: Any, *arguments: Any, **named: Any) -> Any:
            outer, self._step = self._step, step_of(arguments)
            try:
                self.reach(f"before {self._step}")
                result = original(self_, *arguments, **named)
                if name == "_commit":
                    self.committed_at = now()
                elif name == "put":
                    self._log.write("outboxed", now(), self.operation)
                self.reach(f"after {self._step}")
                return result
            finally:
                self._step = outer

        setattr(owner, name, stepping)

    def _after(self, owner: type, name: str, then: Callable[[], None]) -> None:
        original = getattr(owner, name)

        def followed(self_: Any, *arguments: Any, **named: Any) -> Any:
            result = original(self_, *arguments, **named)
            then()
            return result

        setattr(owner, name, followed)

    def _sent(self) -> None:
        if self._step:
            self.reach(f"sent {self._step}")

    def _statement(
        self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        verb = "select" if str(sql).lstrip()[:6].upper() == "SELECT" else "write"
        self.reach(f"before {verb}")
        result = execute(sql, params, many, context)
        if not connection.in_atomic_block:
            self.committed_at = now()
        self.reach(f"after {verb}")
        return result


def step_of(commands: Sequence[Sequence[Any]]) -> str:
    """The protocol's step a pipeline belongs to."""
    names = {command[0] for command in commands}
    first = commands[0][0]
    if first == "MARK":
        # Only the first of the two rounds looks something up.
        return "mark rows" if "GET" in names else "mark stamps"
    if first == "STAMP":
        return "lease" if "LEASE" in names else "capture"
    return {"FILL": "fill", "SET": "store", "RELEASE": "release"}.get(first, "other")


def _read_of(keys: Sequence[bytes]) -> str:
    return "read row" if b":row:" in keys[0] else "read list"
