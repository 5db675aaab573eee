"""The steps of the actors: what can happen next where nothing goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model import database, server
from tests.model.machine import IGNORED, Machine, Node
from tests.model.replay import LOST, NOW
from tests.model.server import Cell, Command
from tests.model.state import ENDED, Actor, Cells, Ghost, Outbox, State, Step, Zombie, stripped

NOW_MS = NOW * 1000
MISS: Any = object()
"""The result of a read that has to ask the database."""

_READING = {"STAMP", "LEASE", "FILL", "SET"}
_SILENT = {
    "MARK": None,
    "RELEASE": 1,
    "HOLD": 1,
    "GET": None,
}
"""Commands on keys that nobody reads, and their replies."""


class World:
    """Server, database and programs. ``split``: whether others may come in between the commands
    of one pipeline. ``has_lists``: whether anybody reads stamps other than generations."""

    def __init__(
        self, machine: Machine, *, split: bool, has_lists: bool, epochs: tuple[bytes, ...]
    ) -> None:
        self.machine = machine
        self.keys: dict[bytes, int] = {}
        """The keys that somebody reads, and their numbers."""
        self._split = split
        # What a writer looks up decides which stamps it marks, which nobody reads without lists.
        self._reading = _READING | {"GET"} if has_lists else _READING
        self._epochs = epochs
        self._applied: dict[Any, tuple[Cell | None, Any]] = {}

    # The server

    def apply(self, cells: Cells, command: Command, now: int = NOW_MS) -> tuple[Cells, Any]:
        """One command at the server: the cells after it, and its reply as programs get it."""
        name, *keys = command
        if name == "PING":
            return cells, b"PONG"
        if name == "MGET":
            return cells, self.mget(cells, tuple(keys))
        if name == "UNLINK":
            changed = list(cells)
            for number in (self.keys[key] for key in keys if key in self.keys):
                if number < len(changed):
                    changed[number] = None
            return stripped(changed), IGNORED[name]
        number = self.keys.get(keys[0], -1)
        if number < 0:
            return cells, _SILENT[name]
        before = cells[number] if number < len(cells) else None
        memo = (command, before, now)
        known = self._applied.get(memo)
        if known is None:
            step = server.STEPS[name]
            after, reply = step(before, now, *command[2:])
            reply = tuple(reply) if type(reply) is list else reply
            known = self._applied[memo] = after, reply
        after, reply = known
        reply = IGNORED.get(name, reply)
        if after is before:
            return cells, reply
        changed = list(cells)
        changed += [None] * (number + 1 - len(changed))
        changed[number] = after
        return stripped(changed), reply

    def mget(self, cells: Cells, keys: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
        found = []
        for number in (self.keys[key] for key in keys):
            cell = cells[number] if number < len(cells) else None
            found.append(cell.value if cell is not None else None)
        return tuple(found)  # type: ignore[arg-type]

    def epoch(self, state: State) -> bytes:
        return self._epochs[state.epoch]

    # A program on its own

    def alone(
        self,
        node: Node,
        cells: Cells,
        contents: database.Contents,
        epoch: bytes,
        learn: bool,
        outbox: Outbox = (),
        again: tuple[bool, ...] = (),
    ) -> tuple[Any, Cells, Outbox, bool]:
        """Run a program with nobody around: its result, the cells and the outbox after it, and
        whether it has asked the database. ``learn``: its keys are read by somebody. ``again``: its
        connection is broken."""
        asked = False
        while node.request is not None:
            kind, what, _ = node.request
            answer: Any = "ok"
            if learn:
                self._learn(node)
            if kind == "mget":
                answer, again = (epoch, self.mget(cells, what), *again), ()
            elif kind == "run":
                replies = []
                for command in what:
                    cells, reply = self.apply(cells, command)
                    replies.append(reply)
                answer, again = (epoch, tuple(replies), *again), ()
            elif kind == "select" and database.is_outbox(what[0]):
                answer = database.select(*what, tuple(row for _, row in outbox))
            elif kind == "write" and database.is_outbox(what[0]):
                outbox, answer = noted(what[0], what[1], outbox), (1, ())
            elif kind == "select":
                asked = True
                answer = database.select(*what, contents)
            elif kind == "write":
                done = database.write(*what, contents)
                contents, answer = done.contents, (done.number, done.rows)
            node = self.machine.advance(node, answer)
        return node.result, cells, outbox, asked

    def _learn(self, node: Node) -> None:
        assert node.request is not None
        kind, what, _ = node.request
        if kind == "mget":
            read = list(what)
        elif kind == "run":
            read = [command[1] for command in what if command[0] in self._reading]
        else:
            return
        for key in read:
            self.keys.setdefault(key, len(self.keys))

    # Steps

    def steps(self, state: State, number: int, name: str) -> Iterator[tuple[Step, State]]:
        """What an actor can do next."""
        actor = state.actors[number]
        if actor.node is None or actor.node.request is None:
            return
        kind, what, _ = actor.node.request
        if kind in ("mget", "select") and actor.start < 0 and not actor.node.answers:
            actor = actor._replace(start=len(state.versions) - 1)
        if number in state.cut and kind in ("mget", "run"):
            yield (name, "reaches nobody", ()), self.answered(state, number, actor, LOST)
        elif kind == "begin":
            actor = actor._replace(start=len(state.versions) - 1, looked=False, excused=False)
            yield (name, "begins", ()), self.answered(state, number, actor, "ok")
        elif kind == "mget":
            # Whoever was not cut off does not know of those who were until it looks.
            has_to_know = actor.looked or actor.alert
            if state.lost or (state.is_unknown(number) and not has_to_know):
                actor = actor._replace(excused=True)
            found = self.mget(state.cells, what)
            yield (name, "MGET", found), self.replied(state, number, actor, found)
        elif kind == "run":
            yield self._command(state, number, actor, name)
        elif kind == "select":
            yield self._select(state, number, actor, name)
        elif kind == "write":
            yield from self.write(state, number, actor, name)
        elif kind == "commit":
            yield (name, "COMMIT", ()), self.committed(state, number, actor)
        else:
            yield (name, "ROLLBACK", ()), self.rolled_back(state, number, actor)

    def answered(self, state: State, number: int, actor: Actor, answer: Any) -> State:
        """The state when an actor has got its answer and runs on to its next step."""
        assert actor.node is not None
        node = self.machine.advance(actor.node, answer)
        return state.with_actor(number, actor._replace(node=node, replies=()))

    def replied(self, state: State, number: int, actor: Actor, replies: Any) -> State:
        """The same for the server's answer, which may come on a new connection."""
        again = (True,) if number in state.broken else ()
        state = state._replace(broken=state.broken - {number})
        return self.answered(state, number, actor, (self.epoch(state), replies, *again))

    def _command(self, state: State, number: int, actor: Actor, name: str) -> tuple[Step, State]:
        assert actor.node is not None
        assert actor.node.request is not None
        commands = actor.node.request.what
        cells, replies, done = state.cells, list(actor.replies), []
        shown = 0
        while len(replies) < len(commands):
            command = commands[len(replies)]
            silent = self.is_silent(command)
            if shown and self._split and not silent:
                break
            shown += not silent
            cells, reply = self.apply(cells, command)
            replies.append(reply)
            if not silent:
                done.append((command, reply))
        actor = actor._replace(replies=tuple(replies))
        state = state._replace(cells=cells)
        if len(replies) == len(commands):
            state = self.replied(state, number, actor, tuple(replies))
        else:
            state = state.with_actor(number, actor)
        return (name, "REDIS", tuple(done)), state

    def is_silent(self, command: Command) -> bool:
        """Whether nobody can notice the command."""
        return command[0] in _SILENT and command[1] not in self.keys

    def ghost(self, state: State, ghost: Ghost, name: str) -> tuple[Step, State]:
        """A delayed command arrives."""
        command, *rest = ghost.commands
        # No command is executed twice in one moment.
        cells, reply = self.apply(state.cells, command, NOW_MS + 1)
        ghosts = list(state.ghosts)
        ghosts.remove(ghost)
        loud = tuple(each for each in rest if not self.is_silent(each))
        if loud:
            ghosts.append(ghost._replace(commands=loud))
        after = state._replace(cells=cells, ghosts=tuple(sorted(ghosts, key=_order)))
        return (name, "late REDIS", ((command, reply),)), after

    def _select(self, state: State, number: int, actor: Actor, name: str) -> tuple[Step, State]:
        assert actor.node is not None
        assert actor.node.request is not None
        _, what, in_transaction = actor.node.request
        if database.is_outbox(what[0]):
            rows = database.select(*what, tuple(row for _, row in state.outbox))
            if database.is_look(what[0]):
                actor = actor._replace(looked=True, alert=actor.alert or bool(rows))
            return (name, "LOOK", rows), self.answered(state, number, actor, rows)
        contents = state.newest
        if in_transaction and self.machine.keeps_snapshots:
            contents = actor.snapshot if actor.snapshot is not None else contents
            actor = actor._replace(snapshot=contents)
        elif actor.overlay:
            contents = database.overlaid(contents, actor.overlay)
        rows = database.select(*what, contents)
        return (name, "SELECT", rows), self.answered(state, number, actor, rows)

    def write(
        self, state: State, number: int, actor: Actor, name: str, answer: Any = None
    ) -> Iterator[tuple[Step, State]]:
        """A write, if no other transaction has locked its rows."""
        assert actor.node is not None
        assert actor.node.request is not None
        _, what, in_transaction = actor.node.request
        if database.is_outbox(what[0]):
            yield self._note(state, number, actor, name)
            return
        before = database.overlaid(state.newest, actor.overlay or ())
        done = database.write(*what, before)
        if not done.touched.isdisjoint(self._locked(state, number)):
            return
        answer = answer or (done.number, done.rows)
        if in_transaction:
            changed = dict(actor.overlay or ())
            changed.update(database.changes(before, done.contents, done.touched))
            actor = actor._replace(overlay=tuple(sorted(changed.items())))
        else:
            state = with_version(state, done.contents)
            actor = actor._replace(committed=True)
        yield (name, "SQL", what), self.answered(state, number, actor, answer)

    def _note(self, state: State, number: int, actor: Actor, name: str) -> tuple[Step, State]:
        """A write to the outbox."""
        assert actor.node is not None
        assert actor.node.request is not None
        _, (sql, params), in_transaction = actor.node.request
        answer: Any = (1, ())
        if sql.startswith("INSERT"):
            row = (state.entries + 1, *params)
            state, answer = state._replace(entries=row[0]), (1, ((row[0],),))
            if in_transaction:
                actor = actor._replace(noted=(*actor.noted, row))
            else:
                state = state._replace(outbox=(*state.outbox, (number, row)))
        else:
            state = state._replace(outbox=noted(sql, params, state.outbox))
        return (name, "SQL", (sql, params)), self.answered(state, number, actor, answer)

    def _locked(self, state: State, number: int) -> set[Any]:
        others = [a.overlay for i, a in enumerate(state.actors) if i != number and a.overlay]
        others += [zombie.overlay for zombie in state.zombies]
        return {pk for overlay in others for pk, _ in overlay}

    def committed(self, state: State, number: int, actor: Actor, answer: str = "ok") -> State:
        state = with_version(state, database.overlaid(state.newest, actor.overlay or ()))
        state = with_entries(state, number, actor.noted)
        actor = actor._replace(overlay=None, snapshot=None, committed=True, noted=())
        return self.answered(state, number, actor, answer)

    def rolled_back(self, state: State, number: int, actor: Actor, answer: str = "ok") -> State:
        # Nothing is going to change any more, so a lost mark does no harm.
        actor = actor._replace(overlay=None, snapshot=None, committed=True, noted=())
        return self.answered(state, number, actor, answer)

    def settled(self, state: State, number: int) -> State:
        """The state in its simplest form after a step of an actor, if that was its last."""
        actor = state.actors[number]
        if actor.node is not None and actor.node.request is None:
            state = state.with_actor(number, ENDED)
            if all(zombie.owner != number for zombie in state.zombies):
                state = state._replace(lost=state.lost - {number})
        return state.trimmed()

    def late_commit(self, state: State, zombie: Zombie) -> State:
        state = with_version(state, database.overlaid(state.newest, zombie.overlay))
        return with_entries(state, zombie.owner, zombie.noted)


def with_version(state: State, contents: database.Contents) -> State:
    if contents == state.newest:
        return state
    return state._replace(versions=(*state.versions, contents))


def with_entries(state: State, owner: int, rows: database.Contents) -> State:
    return state._replace(outbox=(*state.outbox, *((owner, row) for row in rows)))


def noted(sql: str, params: database.Row, outbox: Outbox) -> Outbox:
    """The outbox after a DELETE or UPDATE."""
    after = {row[0]: row for row in database.write(sql, params, tuple(r for _, r in outbox))[0]}
    return tuple((owner, after[row[0]]) for owner, row in outbox if row[0] in after)


def _order(ghost: Ghost) -> tuple[int, str]:
    return ghost.owner, repr(ghost.commands)
