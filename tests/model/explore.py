"""Breadth first through all states of a scenario, so that the first error has a shortest trace."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ormcache.cells import LEFT
from tests.model import database, faults, server
from tests.model.machine import Machine, Node, closure
from tests.model.replay import Program, Setting, run
from tests.model.state import PROBES, Actor, Cells, Outbox, State, Step
from tests.model.trace import as_text
from tests.model.world import MISS, World

DEFAULT = Setting()
EPOCHS = tuple(b"epoch%03d" % number for number in range(4))


@dataclass(frozen=True)
class Write:
    """A write, by whatever means."""

    name: str
    program: Program


@dataclass(frozen=True)
class Read:
    """A read. Its ``program`` gives a dictionary of parts, each of which must be right by itself:
    a list makes no snapshot of the rows it points at. ``oracle`` gives the right parts, by default
    what the program finds where nothing is cached."""

    name: str
    program: Program
    oracle: Program | None = None
    is_checked: bool = True
    looks: bool = False
    """Whether it looks into the outbox first: then no entry excuses it."""
    write: Write | None = None
    """What it writes before."""


@dataclass(frozen=True)
class Scenario:
    """Actors and what may go wrong. ``warm``: reads that have been made before. ``probes``: reads
    that are tried in every state."""

    name: str
    actors: tuple[Read | Write, ...]
    rows: database.Contents
    probes: tuple[Read, ...]
    warm: tuple[Read, ...] = ()
    faults: dict[str, int] = field(default_factory=dict)
    setting: Setting = DEFAULT
    split: bool = True
    has_lists: bool = False


@dataclass
class Verdict:
    """What was found. ``error`` is the first answer that nothing excuses, with its trace.

    ``stale`` and ``stuck`` count states with answers that are old because a mark was lost: while
    the writer still works, and when nobody does anything any more.
    """

    scenario: str
    states: int = 0
    runs: int = 0
    seconds: float = 0.0
    stale: int = 0
    stuck: int = 0
    hits: int = 0
    is_complete: bool = True
    error: str = ""
    trace: str = ""
    example: str = ""

    def __str__(self) -> str:
        found = self.error.splitlines()[0] if self.error else "never stale"
        if not self.error and (self.stale or self.stuck):
            found = "stale while a mark was lost" + (", then stuck" if self.stuck else "")
        rest = "" if self.is_complete else ", not complete"
        return (
            f"{self.scenario}: {found} ({self.states:,} states, {self.runs:,} runs, "
            f"{self.seconds:.1f} s{rest})"
        )


def explore(scenario: Scenario, limit: int = 2_000_000, *, only_stuck: bool = False) -> Verdict:
    """Every state of a scenario, or the first ``limit`` of them; up to the first error, or to
    the first that stays when nobody does anything any more."""
    return Exploration(scenario, only_stuck).explore(limit)


class Exploration:
    """One exploration of a scenario."""

    def __init__(self, scenario: Scenario, only_stuck: bool) -> None:
        self._scenario = scenario
        self._only_stuck = only_stuck
        self._names = tuple(each.name for each in scenario.actors)
        budget = tuple(scenario.faults.get(kind, 0) for kind in faults.KINDS)
        assert scenario.faults.keys() <= set(faults.KINDS)
        epochs = EPOCHS[: 1 + scenario.faults.get("failover", 0)]
        answers = ("ok", *(_ANSWERS[kind] for kind in _ANSWERS if scenario.faults.get(kind)))
        may_lose = not scenario.faults.keys().isdisjoint(_LOSING)
        contents = closure(scenario.rows, self._writes())
        self.machine = Machine(
            scenario.setting, contents, epochs, may_lose=may_lose, commit_answers=answers
        )
        self.world = World(
            self.machine, split=scenario.split, has_lists=scenario.has_lists, epochs=epochs
        )
        self._probes = [
            (each, self._root(f"P{number}", each)) for number, each in enumerate(scenario.probes)
        ]
        self._starts = [self._root(each.name, each) for each in scenario.actors]
        self._oracle: dict[Any, Any] = {}
        self._probed: dict[Any, Any] = {}
        self._mended: dict[Any, str] = {}
        self._tokens: dict[bytes, int] = {}
        self._learn_keys()
        writers = frozenset(
            number
            for number, each in enumerate(scenario.actors)
            if isinstance(each, Write) or each.write is not None
        )
        self._faults = faults.Faults(self.world, self._names, self._tokens, writers)
        actors = tuple(Actor(node) for node in self._starts)
        self._first = State(self._warm_cells(), (scenario.rows,), actors, budget)
        self.verdict = Verdict(scenario.name)

    def _root(self, name: str, each: Read | Write) -> Node:
        return self.machine.start(name, each.program)

    def _writes(self) -> list[tuple[str, tuple[Any, ...]]]:
        """The SQL of the writers: their first step outside, or their first after they marked."""
        found = []
        for actor in self._scenario.actors:
            each = actor.write if isinstance(actor, Read) else actor
            if each is not None:
                answers: list[Any] = []
                while True:
                    outcome = run(each.name, each.program, answers, self._scenario.setting)
                    if outcome.request is None or outcome.request.kind == "commit":
                        break
                    if outcome.request.kind == "write":
                        found.append(outcome.request.what)
                        done = database.write(*outcome.request.what, self._scenario.rows)
                        answers.append((done.number, done.rows))
                    else:
                        replies = tuple(None for _ in outcome.request.what)
                        answers.append((EPOCHS[0], replies))
        return found

    def _learn_keys(self) -> None:
        """Which keys are read by anybody, and whose tokens are whose."""
        world, rows = self.world, self._scenario.rows
        everybody = [node for _, node in self._probes] + self._starts
        for _ in range(2):
            for node in everybody:
                world.alone(node, (), rows, EPOCHS[0], learn=True)
        for number, node in enumerate(self._starts):
            self._tokens.update(dict.fromkeys(self._drawn(node), number))

    def _drawn(self, start: Node) -> list[bytes]:
        drawn = [start.name.encode() + b"%d" % n for n in range(1, 100)]
        size = server.TOKEN_SIZE
        # Those of a replay begin with a word of their own.
        left = [LEFT + each.rjust(size - len(LEFT), b".") for each in drawn]
        return [each.rjust(size, b".") for each in drawn] + left

    def _warm_cells(self) -> Cells:
        cells: Cells = ()
        for number, each in enumerate(self._scenario.warm):
            node = self._root(f"O{number}", each)
            _, cells, *_ = self.world.alone(
                node, cells, self._scenario.rows, EPOCHS[0], learn=True
            )
        return cells

    # Through the states

    def explore(self, limit: int) -> Verdict:
        began = time.perf_counter()
        verdict = self.verdict
        parents: dict[State, tuple[State, Step] | None] = {self._first: None}
        todo = deque([self._first])
        self._judge(self._first, parents)
        while todo and not verdict.error:
            state = todo.popleft()
            for step, after, complaint in self._successors(state):
                if after not in parents:
                    parents[after] = (state, step)
                    todo.append(after)
                    self._judge(after, parents)
                if complaint and not verdict.error:
                    verdict.error, verdict.trace = complaint, as_text(state, parents, step)
                if verdict.error:
                    break
            if len(parents) >= limit:
                verdict.is_complete = False
                break
        verdict.states, verdict.runs = len(parents), self.machine.runs
        verdict.seconds = time.perf_counter() - began
        return verdict

    def _successors(self, state: State) -> Any:
        for number, name in enumerate(self._names):
            for step, after in self.world.steps(state, number, name):
                complaint = self._complaint(after, number)
                yield step, self.world.settled(after, number), complaint
        for step, after in self._faults.steps(state):
            yield step, after, ""

    # Judging

    def _complaint(self, state: State, number: int) -> str:
        """What is wrong with the answer of a read that has just ended."""
        actor, each = state.actors[number], self._scenario.actors[number]
        if self._only_stuck or not isinstance(each, Read) or not each.is_checked:
            return ""
        if actor.node is None or actor.node.request is not None:
            return ""
        versions = state.versions[max(actor.start, 0) :]
        wrong = self._wrong(each, actor.node.result, versions)
        if wrong and actor.excused:
            self.verdict.stale += 1
            return ""
        return wrong

    def _wrong(self, read: Read, result: Any, versions: tuple[database.Contents, ...]) -> str:
        if isinstance(result, Exception):
            raise AssertionError(f"{read.name} failed") from result
        right = [self._right(read, contents) for contents in versions]
        for part, value in result.items():
            if all(part not in each or each[part] != value for each in right):
                expected = ", ".join(repr(each.get(part)) for each in right)
                return f"STALE: {read.name} was told {part} = {value!r}, right is {expected}"
        return ""

    def _right(self, read: Read, contents: database.Contents) -> Any:
        memo = (read.name, contents)
        if memo not in self._oracle:
            program = read.oracle or read.program
            answers: list[Any] = []
            while (out := run("oracle", _uncached(program), answers, Setting())).request:
                assert out.request.kind == "select"
                answers.append(database.select(*out.request.what, contents))
            self._oracle[memo] = out.result
        return self._oracle[memo]

    def _judge(self, state: State, parents: Any) -> None:
        """Whether a read that began now would be told something old, and whether the cache
        recovers by itself."""
        verdict = self.verdict
        for read, node in self._probes:
            found, is_hit = self._answer(node, state)
            verdict.hits += is_hit
            if found is MISS:
                continue
            wrong = self._wrong(read, found, (state.newest,))
            if not wrong:
                continue
            at_rest = state.is_at_rest
            if state.lost:
                verdict.stale += not at_rest
                verdict.stuck += at_rest
                if not verdict.example or (at_rest and verdict.stuck == 1):
                    verdict.example = wrong + "\n" + as_text(state, parents)
            elif state.is_unknown(PROBES) and not read.looks:
                # It will look within a few seconds.
                verdict.stale += 1
                verdict.example = verdict.example or wrong + "\n" + as_text(state, parents)
            elif not verdict.error and (at_rest or not self._only_stuck):
                verdict.error = "STUCK " * at_rest + wrong
                verdict.trace = as_text(state, parents)
        if state.is_at_rest and not verdict.error and not self._only_stuck:
            verdict.error = self._blocked(state)
            verdict.trace = as_text(state, parents) if verdict.error else ""

    def _answer(self, node: Node, state: State) -> tuple[Any, bool]:
        """What a probe is told, and whether without the database."""
        if PROBES in state.cut:
            return MISS, False
        memo = (node, state.cells, state.epoch, state.outbox, PROBES in state.broken)
        known = self._probed.get(memo)
        if known is None:
            result, *_, asked = self._alone(node, state.cells, state, state.outbox)
            # An answer of the cache is the same whatever the database holds, and one that owes
            # nothing to the cache is always right.
            known = self._probed[memo] = (MISS, False) if asked else (result, True)
        return known

    def _alone(self, node: Node, cells: Cells, state: State, outbox: Outbox) -> Any:
        epoch, again = EPOCHS[state.epoch], (True,) * (PROBES in state.broken)
        return self.world.alone(node, cells, state.newest, epoch, False, outbox, again)

    def _blocked(self, state: State) -> str:
        """Once marks and leases have expired, a read fills and the next one is a hit."""
        cells = state.cells
        cells = faults.without_marks(cells)
        cells = faults.without_leases(cells)
        if PROBES in state.cut:
            return ""
        memo = (cells, state.newest, state.epoch, state.outbox)
        if memo not in self._mended:
            self._mended[memo] = ""
            state = state._replace(broken=frozenset())
            for read, node in self._probes:
                # The first may replay the outbox and the second fill.
                after, outbox = cells, state.outbox
                for _ in range(3):
                    result, after, outbox, asked = self._alone(node, after, state, outbox)
                    after = faults.without_marks(after)
                # That a row does not exist is never cached.
                if asked and any(value is not None for value in result.values()):
                    self._mended[memo] = f"BLOCKED: {read.name} is never cached again"
        return self._mended[memo]


_LOSING = {"lose", "failover", "cut", "outage", "deny"}
_ANSWERS = {"unknown": "lost", "refuse": "refused"}


def _uncached(program: Program) -> Callable[[], Any]:
    import ormcache

    def run_uncached() -> Any:
        with ormcache.bypass():
            return program()

    return run_uncached
