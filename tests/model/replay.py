"""Running production code up to its next step outside, again and again.

An actor's program is ordinary code on models. What it does next follows from the answers it had
so far, from Redis and from the database. So it is run from its beginning with those answers, and
stopped at the first call that has none yet: that call is its next step.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import Error, connections
from django.db.backends.sqlite3 import base

from ormcache import receivers, runtime
from ormcache.coherence import flight
from ormcache.coherence.reader import Reader
from ormcache.coherence.writer import Writer
from ormcache.conf import RAISE, Config
from ormcache.database import servers
from ormcache.database.catalog import catalog
from ormcache.database.questions import Answer
from ormcache.exceptions import StoreError
from ormcache.outage import outbox
from ormcache.outage.check import Checked, OutboxCheck
from ormcache.writes.hooks import state_of
from tests.model import database

NOW = 1_700_000_000
"""The time of all programs, in Unix seconds: expiries are steps, not a matter of the clock."""

PAUSE = 4.5
"""What every pause of a program takes, in seconds: longer than a reader waits for another's
result, and shorter than the outbox is believed to be empty. So a waiter looks once more and gives
up; when it looks is up to the scheduler."""

INTERVAL = 10.0
"""Seconds for which the outbox is believed to be empty, and a noted commit waits."""

Program = Callable[[], Any]


class Request(NamedTuple):
    """A call outside: ``mget``, ``run``, ``select``, ``write``, ``commit`` or ``rollback``; or
    ``begin``: what the program is told from here on is what counts."""

    kind: str
    what: Any = None
    in_transaction: bool = False


class Outcome(NamedTuple):
    """How far a program came: its next request, or its result when it has ended."""

    request: Request | None
    result: Any = None


LOST = "lost"
"""In place of an answer: the caller gets the error of a broken connection."""

DENIED = "denied"
"""In place of an answer: the server lives and takes no marks."""

REFUSED = "refused"
"""The answer to a COMMIT that the database refuses, which is then rolled back."""


class Suspended(BaseException):
    """The program has reached its next step. No code catches it as an error."""


class Session:
    """One run of a program with the answers it had before."""

    def __init__(self, name: str, answers: Sequence[Any]) -> None:
        self.request: Request | None = None
        self._name = name.encode()
        self._answers = answers
        self._position = 0
        self._drawn = 0
        # A probe asks what is there: it refreshes nothing early.
        self.chance = 0.1 if name.startswith("P") else 0.5
        self._clock = 0.0
        self._measured = 0

    def ask(self, request: Request) -> Any:
        if self.request is None and self._position < len(self._answers):
            answer = self._answers[self._position]
            self._position += 1
            return answer
        # Whatever cleans up on the way out must not become the next step.
        self.request = self.request or request
        raise Suspended

    def draw(self, size: int) -> bytes:
        """Bytes nobody else draws, the same in every run of the program."""
        self._drawn += 1
        drawn = b"%s%d" % (self._name, self._drawn)
        assert len(drawn) <= size, f"the name {self._name!r} is too long"
        return drawn.rjust(size, b".")

    def clock(self) -> float:
        return self._clock

    def sleep(self, seconds: float) -> None:
        self._clock += seconds + PAUSE

    def measured(self, cost: float) -> float:
        """A clock by which whatever is measured takes ``cost`` seconds."""
        self._measured += 1
        return self._measured * cost


class Store:
    """The store as the protocol sees it."""

    shared = True
    is_down = False

    def __init__(self, session: Session) -> None:
        self._ask = session.ask
        self.contact = 0

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        return self._answered(Request("mget", tuple(keys)))

    def run(self, commands: Sequence[Any]) -> tuple[bytes, list[Any]]:
        return self._answered(Request("run", tuple(map(tuple, commands))))

    def begin(self) -> None:
        self._ask(Request("begin"))

    def lost(self) -> None:
        self.contact += 1

    def reach(self) -> None:
        self.run([("PING",)])

    def close(self) -> None:
        """Nothing to close."""

    def _answered(self, request: Request) -> tuple[bytes, list[Any]]:
        answer = self._ask(request)
        if answer == LOST:
            self.lost()
            raise StoreError("the server does not answer")
        if answer == DENIED:
            raise StoreError("the server takes no marks")
        epoch, replies, *again = answer
        if again:
            # The connection was found broken; the answer came on a new one.
            self.lost()
        return epoch, [list(each) if type(each) is tuple else each for each in replies]


class Driver:
    """The driver's connection."""

    in_transaction = False
    autocommit = True

    def __init__(self, session: Session, isolation: str) -> None:
        self.ask = session.ask
        self.isolation = isolation
        self.wrote = False
        self._broken = False

    @property
    def info(self) -> Driver:
        """What psycopg tells of a connection unasked."""
        return self

    def parameter_status(self, name: str) -> str:
        return {"in_hot_standby": "off"}[name]

    @property
    def transaction_status(self) -> int:
        return int(self.in_transaction)

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        return Cursor(self)

    def commit(self) -> None:
        self._end("commit")

    def rollback(self) -> None:
        self._end("rollback")

    def close(self) -> None:
        self._broken = True

    def _end(self, how: str) -> None:
        if self._broken:
            raise sqlite3.OperationalError("the connection is closed")
        if not self.wrote:
            return
        answer = self.ask(Request(how))
        if answer == LOST:
            self._broken = True
            raise sqlite3.OperationalError("the connection broke")
        self.wrote = False
        if answer == REFUSED:
            raise sqlite3.IntegrityError("a deferred constraint fails")


class Cursor:
    """The driver's cursor."""

    description = None
    lastrowid = None

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._rows: Iterator[Any] = iter(())
        self.rowcount = -1

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        if sql == "SHOW transaction_isolation":
            self._rows = iter([(self._driver.isolation,)])
            return
        if "sqlite_master" in sql:
            self._rows = iter([(database.OUTBOX, "t")])
            return
        values = tuple(params or ())
        text = sql % (("?",) * len(values)) if params is not None else sql
        verb = text.split(" ", 1)[0]
        if verb == "SELECT":
            request = Request("select", (text, values), self._driver.in_transaction)
            self._rows = iter(self._driver.ask(request))
        elif verb in ("UPDATE", "INSERT", "DELETE"):
            self._driver.wrote = self._driver.in_transaction
            request = Request("write", (text, values), self._driver.in_transaction)
            answer = self._driver.ask(request)
            if answer == LOST:
                raise sqlite3.OperationalError("the connection broke")
            self.rowcount, rows = answer
            self._rows = iter(rows)
        elif verb not in ("SAVEPOINT", "ROLLBACK", "RELEASE"):
            raise NotImplementedError(sql)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int = 100) -> list[Any]:
        return [row for _, row in zip(range(size), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        """Nothing to close."""


class Connection(base.DatabaseWrapper):
    """Django's connection, with SQLite's SQL and the transactions of PostgreSQL."""

    vendor = "postgresql"

    def __init__(self, session: Session, isolation: str) -> None:
        super().__init__({**connections.settings["default"], **_UNLIKE}, "default")
        self._session = session
        self._isolation_level = isolation
        self.autocommit = True
        self.connection: Any = None

    def copy(self, alias: str | None = None) -> Connection:
        return Connection(self._session, self._isolation_level)

    def ensure_connection(self) -> None:
        if self.connection is None:
            self.connection = Driver(self._session, self._isolation_level)
            # What Django's signal calls; other receivers of it would ask the driver things.
            receivers._on_connection(self)
            _set_up(self)

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor()

    def _start_transaction_under_autocommit(self) -> None:
        self.connection.in_transaction = True

    def _set_autocommit(self, autocommit: bool) -> None:
        if autocommit and self.connection is not None:
            self.connection.in_transaction = False


def _set_up(connection: Any) -> None:
    """It was asked what the connection sees, which is no step of the protocol."""
    sight = state_of(connection).sight
    sight.label, sight._answer = "model", Answer()


_UNLIKE: dict[str, Any] = {
    "NAME": "model",
    "TIME_ZONE": None,
    "OPTIONS": {},
    "ATOMIC_REQUESTS": False,
}
_UNLIKE |= {"AUTOCOMMIT": True, "CONN_HEALTH_CHECKS": False}


class Setting(NamedTuple):
    """What the programs of a scenario run in."""

    reader: type[Reader] = Reader
    writer: type[Writer] = Writer
    isolation: str = "read committed"
    prolongs: bool = False
    """Whether storing a list also prolongs its stamps."""
    on_outage: str = RAISE
    view: str | None = None
    """What the project says all programs see; ``None`` if it names no views."""
    cost: float = 0.0
    """What SQL seems to take, in seconds. From ``flight.CHEAP`` on readers of a list that was
    cached before wait for each other, and from ``DEAR`` on they refresh it before it expires."""


DEAR = 6000.0


def run(name: str, program: Program, answers: Sequence[Any], setting: Setting) -> Outcome:
    """Run ``program`` as the actor ``name`` with these answers."""
    session = Session(name, answers)
    with _world(session, setting):
        try:
            result = program()
        except Suspended:
            assert session.request is not None
        except Error as error:
            # Of a write that failed only that it ended counts.
            result = error
        if session.request is not None:
            return Outcome(session.request, None)
        return Outcome(None, result)


@contextmanager
def _world(session: Session, setting: Setting) -> Iterator[None]:
    """Everything a program can meet outside: store, connection, clock, chance."""
    store: Any = Store(session)
    view: Any = (lambda _: setting.view) if setting.view is not None else None
    config = Config(namespace="m", on_outage=setting.on_outage, view=view)
    connection = Connection(session, setting.isolation)
    before = runtime._current, connections["default"], logging.root.manager.disable
    originals = [(owner, name, getattr(owner, name)) for owner, name in _PATCHED]
    draw: Any = session.draw
    chance = 0.0 if setting.prolongs else session.chance
    replaced = (
        lambda: float(NOW),
        lambda: session.measured(setting.cost),
        session.clock,
        session.sleep,
        lambda: chance,
        lambda least, most: least,
        draw,
        INTERVAL,
    )
    servers.forget_answers()
    runtime._current = runtime.Runtime(config, store, setting.reader(store), setting.writer(store))
    connections["default"] = connection
    logging.disable(logging.CRITICAL)
    for (owner, name, _), value in zip(originals, replaced, strict=True):
        setattr(owner, name, value)
    try:
        connection.ensure_connection()
        _believe(store, connection)
        # The columns are what their fields say.
        vars(catalog)["learns"] = _learns_nothing
        yield
    finally:
        vars(catalog).pop("learns", None)
        for owner, name, value in originals:
            setattr(owner, name, value)
        runtime._current, connections["default"] = before[:2]
        flight._under_way.clear()
        flight._outlasting = ()
        logging.disable(before[2])
        servers.forget_answers()


def _learns_nothing(*asked: Any) -> bool:
    return False


def _believe(store: Any, connection: Any) -> None:
    """The process has read before: it has found the outbox empty."""
    check = OutboxCheck(store)
    check.checked = Checked(store, store.contact, INTERVAL, INTERVAL, is_alert=False)
    check._has_table = True
    runtime.current().outbox_checks[state_of(connection).label] = check


_PATCHED: tuple[tuple[Any, str], ...] = (
    (time, "time"),
    (time, "perf_counter"),
    (time, "monotonic"),
    (time, "sleep"),
    (random, "random"),
    (random, "uniform"),
    (os, "urandom"),
    (outbox, "INTERVAL"),
)
