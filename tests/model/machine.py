"""The states of a program: a tree of its steps, grown as the exploration asks for it.

Programs are run again for every answer, which is slow, so every step is remembered. States from
which a program does the same whatever happens are one state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.model import database, replay
from tests.model.replay import DENIED, LOST, Outcome, Program, Request, Setting

IGNORED = {
    "FILL": 1,
    "RELEASE": 1,
    "SET": b"OK",
    "HOLD": 1,
    "UNLINK": 1,
    "PING": b"PONG",
}
"""Commands whose replies only feed counters, and what is answered in their place."""


@dataclass(eq=False, slots=True)
class Node:
    """A program that waits for the answer to ``request``, or has ended with ``result``."""

    number: int
    name: str
    request: Request | None
    result: Any
    answers: tuple[Any, ...]
    program: Program
    children: dict[Any, Node] = field(default_factory=dict)

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<{self.name}.{self.number}>"


class Machine:
    """All programs of one scenario.

    ``contents`` are all the database can ever hold, ``epochs`` all of the server; ``may_lose``:
    whether an answer of the server can be lost, ``ends``: what COMMIT may answer.
    """

    def __init__(
        self,
        setting: Setting,
        contents: Iterable[database.Contents],
        epochs: Iterable[bytes],
        *,
        may_lose: bool = False,
        commit_answers: tuple[str, ...] = ("ok",),
    ) -> None:
        self.runs = 0
        self.keeps_snapshots = setting.isolation != "read committed"
        self._setting = setting
        self._contents = tuple(contents)
        self._epochs = tuple(epochs)
        self._may_lose = may_lose
        self._commit_answers = list(commit_answers)
        self._known: dict[Any, Node] = {}
        self._count = 0

    def start(self, name: str, program: Program) -> Node:
        return self._node(name, program, ())

    def advance(self, node: Node, answer: Any) -> Node:
        """The program after ``answer``."""
        child = node.children.get(answer)
        if child is None:
            child = self._node(node.name, node.program, (*node.answers, answer))
            node.children[answer] = child
        return child

    def _node(self, name: str, program: Program, answers: tuple[Any, ...]) -> Node:
        self.runs += 1
        outcome: Outcome = replay.run(name, program, answers, self._setting)
        request = outcome.request
        self._count += 1
        node = Node(self._count, name, request, outcome.result, answers, program)
        identity: Any = (name, program, answers)
        if request is None:
            identity = (name, repr(outcome.result))
        else:
            possible = self._answers(request)
            if possible is not None:
                self._check_ignored(name, program, answers, request)
                # What a program has become is no more than what it will do.
                after = tuple(self.advance(node, answer).number for answer in possible)
                identity = (name, request, after)
        return self._known.setdefault(identity, node)

    def _check_ignored(
        self, name: str, program: Program, answers: tuple[Any, ...], request: Request
    ) -> None:
        """That replies are ignored is held against the program, not believed."""
        if request.kind != "run" or all(command[0] not in IGNORED for command in request.what):
            return
        replies = tuple(answer_of(command) for command in request.what)
        others = tuple(
            0 if command[0] in IGNORED else reply
            for command, reply in zip(request.what, replies, strict=True)
        )
        first, second = (
            replay.run(name, program, (*answers, (self._epochs[0], each)), self._setting)
            for each in (replies, others)
        )
        assert repr(first) == repr(second), f"{name} does not ignore the replies to {request}"

    def _answers(self, request: Request) -> list[Any] | None:
        """Every answer a request can get, ``None`` if there is no telling."""
        if request.kind in ("select", "write") and database.is_outbox(request.what[0]):
            return None
        if request.kind == "select":
            sql, params = request.what
            found = (database.select(sql, params, each) for each in self._contents)
            return list(dict.fromkeys(found))
        if request.kind == "write":
            sql, params = request.what
            done = filter(None, (_written(sql, params, each) for each in self._contents))
            answers: list[Any] = list(dict.fromkeys((each.number, each.rows) for each in done))
            return answers if request.in_transaction else answers + self._commit_answers[1:]
        if request.kind == "commit":
            return self._commit_answers
        if request.kind in ("rollback", "begin"):
            return ["ok"]
        if request.kind != "run":
            return None
        replies = [answer_of(command) for command in request.what]
        if any(reply is ANY for reply in replies):
            return None
        replied: list[Any] = [(epoch, tuple(replies)) for epoch in self._epochs]
        if not self._may_lose:
            return replied
        return [*replied, *((*each, True) for each in replied), LOST, DENIED]


ANY: Any = object()


def answer_of(command: tuple[Any, ...]) -> Any:
    """The only reply a command can have that matters; ``ANY`` if there are several."""
    name = command[0]
    if name == "MARK" and b":row:" not in command[1]:
        # Only values are given back, and no stamp ever is one.
        return None
    return IGNORED.get(name, ANY)


def _written(
    sql: str, params: tuple[Any, ...], contents: database.Contents
) -> database.Written | None:
    """``None`` where the row is there already: then this is not where the program stands."""
    try:
        return database.write(sql, params, contents)
    except sqlite3.IntegrityError:
        return None


def closure(
    start: database.Contents, writes: Iterable[tuple[str, tuple[Any, ...]]]
) -> set[database.Contents]:
    """Everything the writes can make of the contents, each made once or not, in any order."""
    known = {start}
    statements = tuple(writes)
    for number, (sql, params) in enumerate(statements):
        after = database.write(sql, params, start).contents
        known |= closure(after, statements[:number] + statements[number + 1 :])
    return known
