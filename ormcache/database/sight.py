"""What one connection sees, and whether the cache may speak for it.

A connection is believed once it has been set up: opened, a cursor made the way Django makes it, so
that backends, receivers and wrappers of others have had their say, and one question asked of the
server through all of them. Whatever may change the answer later has it asked again.
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ormcache import interrupts, keys, runtime
from ormcache.database import labels, questions, servers
from ormcache.database.foreign import cursor_maker, is_quiet, is_trusted
from ormcache.database.questions import Answer
from ormcache.exceptions import Uncacheable
from ormcache.stats import counters

logger = logging.getLogger("ormcache")

# By driver connection, which a pool keeps when Django's connection is closed.
_answers: weakref.WeakKeyDictionary[Any, tuple[Answer, str]] = weakref.WeakKeyDictionary()
_customs: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()
_blinded: weakref.WeakSet[Any] = weakref.WeakSet()

Token = tuple[int, bytes | None]
"""What stands for a view at a time."""

_NOT_SET_UP = "the connection has not been set up"
_BLINDED = "a statement has changed what the connection sees, and the server cannot tell how"
_SHARED = "its alias shares a database with another and may see other rows than that"
_NAMELESS = "the database has no name yet: run manage.py migrate ormcache"


class Sight:
    """What is known of the view of one connection."""

    __slots__ = (
        "_answer",
        "_asking",
        "_connection",
        "_custom",
        "_is_blinded",
        "_is_named",
        "_is_new",
        "_loud",
        "_quiet",
        "is_plain",
        "label",
        "moved",
        "reason",
        "version",
        "view",
    )

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._asking = False
        self._quiet: list[Any] = []
        """The execute wrappers that are known to send nothing of their own."""
        self._loud: tuple[list[Any], str] = [], ""
        """Those of which that is not known, and why."""
        self.version = 0
        """Another number whenever the view may have changed."""
        self.moved = False
        """Whether the running transaction has changed the view, which its end may change back."""
        self.label: str | None = None
        self.forget()

    def forget(self) -> None:
        """Another connection of the driver: what is known of that one counts."""
        driver = self._connection.connection
        self._custom: frozenset[str] = frozenset()
        self._is_blinded = False
        self._is_new = True
        """Whether no statement has changed the view of the session yet."""
        self._answer: Answer | None = None
        self.label = None
        """The label of the database, once asked for; ``None`` while it has none."""
        self.moved = False
        self._renew()
        with suppress(TypeError):  # Some cannot be referred to weakly, and have no pools.
            if driver is not None:
                self._custom = _customs.get(driver, frozenset())
                self._is_new = driver not in _customs
                self._is_blinded = driver in _blinded
                if all(map(is_trusted, _receivers())):
                    self._answer, self.label = _answers.get(driver, (None, None))

    def _renew(self) -> None:
        self.version += 1
        self.is_plain = False
        """Whether the connection was set up and sees what all others see, as far as is known."""
        self.view: bytes | None = None
        """The view as a part of keys; ``None`` where the project names none, and none is known."""
        self._is_named = False
        """Whether the project has named the view."""
        self.reason = _NOT_SET_UP
        """Why the cache may not speak for the connection; empty if it may."""

    # Reads

    def may_read(self, tables: Iterable[str] = ()) -> bool:
        """Whether the cache may answer for these tables, and be filled from them."""
        if self.is_plain and self._connection.execute_wrappers == self._quiet:
            return True
        try:
            self.look()
            self.check(tables)
        except Uncacheable as error:
            self.reason = error.reason
            return False
        return True

    def look(self) -> None:
        """See to it that it is known what the connection sees. Raises ``Uncacheable`` if the cache
        may not speak for it."""
        if self.is_plain and self._connection.execute_wrappers == self._quiet:
            return
        view = runtime.current().config.view
        answer = self._set_up(is_viewed=view is not None)
        if answer.always:
            raise Uncacheable(answer.always)
        self._is_named = view is not None
        if view is not None:
            self.view = self._named(view)
        elif answer.unless_viewed:
            raise Uncacheable(answer.unless_viewed)
        else:
            path = answer.schemas
            self.view = None if path is None else keys.view_token(path)
            self.is_plain = not answer.tables
        self.reason = ""

    def check(self, tables: Iterable[str]) -> None:
        """Raises ``Uncacheable`` if the connection sees one of the tables otherwise than others,
        and the project names no view. To be asked after ``look``."""
        answer = self._answer
        if self.is_plain or self._is_named or answer is None:
            return
        for name in tables:
            if name in answer.tables:
                raise Uncacheable(answer.tables[name])

    @property
    def secured(self) -> frozenset[str]:
        """The tables whose rows the database itself picks out for this connection."""
        answer = self._answer
        return answer.secured if self._is_named and answer is not None else frozenset()

    @property
    def token(self) -> Token:
        """What stands for the view of now: see ``is_still``."""
        return self.version, self.view

    def is_still(self, token: Token, tables: Iterable[str] = ()) -> bool:
        """Whether the connection sees what it saw then: to be asked before anything is stored."""
        return self.version == token[0] and self.may_read(tables) and self.token == token

    def _named(self, view: Any) -> bytes:
        # Whoever names the view may read on the way, but not through the cache.
        self._asking = True
        try:
            return keys.view_token(view(self._connection))
        except Exception as error:
            interrupts.pass_on(error)
            logger.warning("ormcache.view.failed: %r", error)
            raise Uncacheable(f'ORMCACHE["VIEW"] failed: {error!r}') from error
        finally:
            self._asking = False

    def _set_up(self, *, is_viewed: bool) -> Answer:
        connection = self._connection
        if self._asking:
            # Whoever is told of a new connection, or asked for the view, may read.
            raise Uncacheable(_NOT_SET_UP)
        loud = self._meet_wrappers()
        if loud and not is_viewed:
            raise Uncacheable(loud)
        self._asking = True
        try:
            connection.ensure_connection()
            if self._is_blinded:
                raise Uncacheable(_BLINDED)
            if self._answer is None or self.label is None:
                self._ask(is_viewed=is_viewed)
        except Uncacheable:
            raise
        except Exception as error:
            # Whatever is wrong with the connection, the statement of the application will say.
            interrupts.pass_on(error)
            raise Uncacheable(f"{_NOT_SET_UP}: {error!r}") from error
        finally:
            self._asking = False
        assert self._answer is not None
        return self._answer

    def _meet_wrappers(self) -> str:
        """Why the execute wrappers of the connection may change the view: one of others may do so
        with the next statement, and a hit makes none. Empty if they only watch."""
        if self._connection.execute_wrappers == self._quiet:
            return ""
        wrappers = list(self._connection.execute_wrappers)
        self.is_plain = False
        if wrappers != self._loud[0]:
            loud = next((each for each in wrappers if not is_quiet(each)), None)
            name = getattr(loud, "__qualname__", type(loud).__qualname__)
            reason = f"the execute wrapper {name} may send statements of its own" if loud else ""
            self._loud = wrappers, reason
        if not self._loud[1]:
            self._quiet = wrappers
        return self._loud[1]

    def _ask(self, *, is_viewed: bool) -> None:
        connection, version = self._connection, self.version
        own = _SHARED if servers.sees_otherwise(connection) else ""
        if maker := cursor_maker(connection):
            own = f"{maker} may send statements of its own with each cursor"
        if own and not is_viewed:
            raise Uncacheable(own)
        if not questions.may_ask(connection):
            raise Uncacheable("the transaction is broken and has to be rolled back")
        if self.identify() is None:
            raise Uncacheable(_NAMELESS)
        with (
            _uncounted(connection, self._quiet),
            servers.set_apart(connection),
            connection.cursor() as cursor,
        ):
            answer = questions.ask(connection, cursor, self._custom, is_new=self._is_new)
        if version != self.version:
            raise Uncacheable("what the connection sees has changed meanwhile")
        self._answer = answer = replace(answer, unless_viewed=answer.unless_viewed or own)
        with suppress(TypeError):
            _answers[connection.connection] = answer, self.label or ""

    def identify(self) -> str | None:
        """The label of the database. Raises the database's error."""
        if self.label is None:
            self.label = labels.identify(self._connection)
        return self.label

    # Changes

    def changes(self, custom: Iterable[str] = (), *, is_told: bool = True) -> None:
        """A statement may change the view. ``custom``: settings of the application's own that it
        names. ``is_told``: whether the server can be asked what has become of it."""
        driver = self._connection.connection
        self.moved, self._is_new = True, False
        self._answer = None
        self._renew()
        self._custom |= frozenset(custom)
        self._is_blinded |= not is_told
        with suppress(TypeError):
            _answers.pop(driver, None)
            _customs[driver] = self._custom
            if self._is_blinded:
                _blinded.add(driver)

    def moves(self) -> None:
        """The database may be another one from now on."""
        self.label = None
        self.changes()

    def ends(self) -> None:
        """A transaction has ended, or a part of it: settings may be what they were before."""
        if self.moved:
            self.changes()
            self.moved = False

    def returns(self) -> None:
        """A savepoint was rolled back."""
        if self.moved:
            self.changes()


@contextmanager
def _uncounted(connection: Any, quiet: list[Any]) -> Iterator[None]:
    """A question of the cache's is not a query of the application: it passes neither Django's log
    nor wrappers that only watch, which may count, delay or forbid what passes."""
    log, wrappers = connection.queries_log, connection.execute_wrappers
    connection.queries_log = deque(maxlen=log.maxlen)
    if wrappers == quiet:
        connection.execute_wrappers = []
    try:
        yield
    finally:
        connection.queries_log, connection.execute_wrappers = log, wrappers


def _receivers() -> list[Any]:
    found = []
    for entry in connection_created.receivers:
        receiver = entry[1]
        found.append(receiver() if isinstance(receiver, weakref.ReferenceType) else receiver)
    return [each for each in found if each is not None]


def count_refused(reason: str) -> None:
    """Note that rows were read from the database, and why."""
    logger.debug("ormcache.uncached: %s", reason)
    counters["uncached"] += 1
