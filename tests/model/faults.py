"""What can go wrong, as steps of their own. Each has a budget; a scenario grants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model import server
from tests.model.replay import DENIED, LOST, REFUSED
from tests.model.server import Cell
from tests.model.state import ENDED, PROBES, Actor, Cells, Ghost, State, Step, Zombie, stripped
from tests.model.world import World

KINDS = (
    "kill",
    "evict",
    "flush",
    "lapse",
    "failover",
    "unknown",
    "refuse",
    "lose",
    "retry",
    "expire",
    "cut",
    "outage",
    "deny",
)
"""kill: an actor ends where it stands. evict, expire: a cell goes; a lease goes. flush: all cells
go. lapse: marks end while their writer still works. failover: another server with older cells.
unknown: COMMIT gets no answer. refuse: COMMIT is refused. lose: a pipeline gets no answer, what it
sent may arrive later. retry: a pipeline is sent twice. cut:
an actor cannot reach the server. outage: nobody can, and everybody notices. deny: the server takes
no marks."""

_MARKING = ("MARK", "RELEASE")
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


class Faults:
    """The faults of one scenario. ``tokens`` name the writer whose mark it is."""

    def __init__(
        self,
        world: World,
        names: tuple[str, ...],
        tokens: dict[bytes, int],
        writers: frozenset[int],
    ) -> None:
        self._world = world
        self._names = names
        self._owners = tokens
        self._writers = writers

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        yield from self._ends_of_marks(state)
        yield from self._unattended(state)
        for number, actor in enumerate(state.actors):
            if actor.node is not None:
                yield from self._of_actor(state, number, actor)
        yield from self._of_server(state)
        yield from self._outages(state)

    # What needs no budget

    def _ends_of_marks(self, state: State) -> Iterator[tuple[Step, State]]:
        """Marks of actors that have ended expire; those of a replay not before the older ones of
        a writer that still works. That the writer's may be younger is let pass: such a writer has
        found the replay's marks in place of the old row."""
        busy = {zombie.owner for zombie in state.zombies}
        working = busy or any(state.actors[number].node is not None for number in self._writers)
        for token in self._present(state.cells):
            owner = self._owners[token]
            is_over = owner in self._writers or not working
            if state.actors[owner].node is None and owner not in busy and is_over:
                cells = without_token(state.cells, token)
                yield (self._names[owner], "its marks expire", ()), state._replace(cells=cells)

    def _unattended(self, state: State) -> Iterator[tuple[Step, State]]:
        for ghost in dict.fromkeys(state.ghosts):
            yield self._world.ghost(state, ghost, self._names[ghost.owner])
        for zombie in state.zombies:
            rest = tuple(each for each in state.zombies if each is not zombie)
            gone = state._replace(zombies=rest)
            name = self._names[zombie.owner]
            yield (name, "late COMMIT", ()), self._world.late_commit(gone, zombie).trimmed()
            harmless = gone._replace(lost=gone.lost - {zombie.owner})
            yield (name, "late ROLLBACK", ()), harmless

    # Actors

    def _of_actor(self, state: State, number: int, actor: Actor) -> Iterator[tuple[Step, State]]:
        assert actor.node is not None
        request = actor.node.request
        assert request is not None
        name, kind = self._names[number], request.kind
        has_begun = actor.replies or actor.overlay or actor.node.answers
        waiting: tuple[Any, ...] = ()
        if kind == "run":
            waiting = request.what[len(actor.replies) :]
            waiting = tuple(each for each in waiting if not self._world.is_silent(each))
        killed = self._spent(state, "kill")
        if killed and (has_begun or waiting):
            in_commit = killed.with_actor(number, ENDED)
            dead = in_commit
            if not actor.committed:
                dead = dead._replace(lost=dead.lost - {number})
            yield (name, "KILLED", ()), dead.trimmed()
            if kind == "commit":
                yield (name, "KILLED in COMMIT", ()), left(in_commit, number, actor).trimmed()
            elif waiting:
                yield (name, "KILLED while sending", ()), haunted(dead, number, waiting).trimmed()
        if kind == "commit":
            yield from self._of_commit(state, number, actor)
        elif kind == "write" and not request.in_transaction:
            yield from self._of_statement(state, number, actor)
        lost = self._spent(state, "lose")
        if lost and kind in ("run", "mget"):
            late = haunted(lost, number, waiting)
            yield (name, "gets no answer", ()), self._unanswered(late, number, actor, waiting)
            if _is_release(waiting):
                never = self._unanswered(lost, number, actor, waiting)
                yield (name, "does not get through", ()), never
        denied = self._spent(state, "deny")
        if denied and kind == "run" and any(each[0] in _MARKING for each in waiting):
            after = self._world.answered(denied, number, actor, DENIED)
            yield (name, "may not mark", ()), self._world.settled(after, number)
        retried = self._spent(state, "retry")
        if retried and waiting:
            again = retried.with_actor(number, actor._replace(replies=()))
            yield (name, "sends again", ()), haunted(again, number, waiting)

    def _unanswered(
        self, state: State, number: int, actor: Actor, waiting: tuple[Any, ...]
    ) -> State:
        after = self._world.settled(self._world.answered(state, number, actor, LOST), number)
        # A writer may end without a release.
        unreleased = state.lost & {number} if _is_release(waiting) else frozenset()
        return after._replace(lost=after.lost | unreleased)

    def _of_commit(self, state: State, number: int, actor: Actor) -> Iterator[tuple[Step, State]]:
        name, world = self._names[number], self._world
        unknown = self._spent(state, "unknown")
        if unknown:
            after = left(unknown, number, actor)
            alone = after.actors[number]._replace(node=actor.node, overlay=None, snapshot=None)
            alone = alone._replace(noted=())
            yield (
                (name, "COMMIT without an answer", ()),
                world.settled(world.answered(after, number, alone, LOST), number),
            )
        refused = self._spent(state, "refuse")
        if refused:
            after = world.rolled_back(refused, number, actor, REFUSED)
            yield (name, "COMMIT refused", ()), world.settled(after, number)

    def _of_statement(
        self, state: State, number: int, actor: Actor
    ) -> Iterator[tuple[Step, State]]:
        """A statement that commits by itself gets no answer, done or not."""
        unknown = self._spent(state, "unknown")
        if unknown:
            name, world = self._names[number], self._world
            after = world.answered(unknown, number, actor._replace(committed=True), LOST)
            yield (name, "SQL broken off", ()), world.settled(after, number)
            for step, done in world.write(unknown, number, actor, name, LOST):
                yield (*step[:1], "SQL without an answer", step[2]), world.settled(done, number)

    def _outages(self, state: State) -> Iterator[tuple[Step, State]]:
        everybody = frozenset(range(PROBES, len(state.actors)))
        if PROBES in state.cut:
            back = state._replace(cut=frozenset(), broken=everybody)
            yield ("Redis", "is there again", ()), back
            return
        gone = self._spent(state, "outage")
        if gone and not state.cut:
            yield ("Redis", "is gone", ()), gone._replace(cut=everybody)
        cut = self._spent(state, "cut")
        for number, actor in enumerate(state.actors):
            if number in state.cut:
                healed = state._replace(cut=state.cut - {number})
                yield (self._names[number], "reaches Redis again", ()), healed
            elif cut and actor.node is not None:
                yield (
                    (self._names[number], "is cut off", ()),
                    cut._replace(cut=cut.cut | {number}),
                )

    # The server

    def _of_server(self, state: State) -> Iterator[tuple[Step, State]]:
        evicted, expired = self._spent(state, "evict"), self._spent(state, "expire")
        for number, cell in enumerate(state.cells):
            if cell is None:
                continue
            if evicted:
                cells = state.with_cell(number, None)
                yield ("Redis", "evicts", self._key(number)), self._changed(evicted, cells)
            elif expired and type(cell.value) is bytes and cell.value[:1] == b"L":
                cells = state.with_cell(number, None)
                yield (
                    ("Redis", "a lease expires", self._key(number)),
                    self._changed(expired, cells),
                )
        flushed = self._spent(state, "flush")
        if flushed and state.cells:
            yield ("Redis", "is flushed", ()), self._changed(flushed, ())
        lapsed = self._spent(state, "lapse")
        if lapsed:
            for token in self._present(state.cells):
                owner = self._owners[token]
                busy = any(zombie.owner == owner for zombie in state.zombies)
                if state.actors[owner].node is not None or busy:
                    cells = without_token(state.cells, token)
                    step = (self._names[owner], "its marks expire too early", ())
                    yield step, self._changed(lapsed, cells)
        yield from self._failover(state)

    def _failover(self, state: State) -> Iterator[tuple[Step, State]]:
        failed = self._spent(state, "failover")
        if not failed:
            return
        if state.backup is None:
            yield ("Redis", "is copied", ()), state._replace(backup=state.cells)
            return
        world = self._world
        after = self._changed(failed, state.backup)._replace(epoch=state.epoch + 1, backup=None)
        interrupted = [i for i, actor in enumerate(state.actors) if actor.replies]
        retrying = after
        for number in interrupted:
            retrying = retrying.with_actor(number, retrying.actors[number]._replace(replies=()))
        yield ("Redis", "fails over to the copy", ()), retrying
        if interrupted:
            for number in interrupted:
                after = world.answered(after, number, after.actors[number], LOST)
                after = world.settled(after, number)
            yield ("Redis", "fails over to the copy, calls fail", ()), after

    def _key(self, number: int) -> bytes:
        return next(key for key, n in self._world.keys.items() if n == number)

    def _changed(self, state: State, cells: Cells) -> State:
        """Other cells. Noted are the writers that have lost a mark and have yet to commit."""
        gone = set()
        for number, cell in enumerate(state.cells):
            after = cells[number] if number < len(cells) else None
            for token in server.marks(cell).keys() - server.marks(after).keys():
                owner = self._owners[token]
                actor = state.actors[owner]
                works = actor.node is not None and not actor.committed
                if works or any(zombie.owner == owner for zombie in state.zombies):
                    gone.add(owner)
        return excused(state._replace(cells=cells, lost=state.lost | gone))

    def _present(self, cells: Cells) -> list[bytes]:
        return list(dict.fromkeys(token for cell in cells for token in server.marks(cell)))

    def _spent(self, state: State, kind: str) -> State | None:
        """The state with one of this fault less to come, ``None`` if there is none."""
        number = _NUMBER[kind]
        if not state.budget[number]:
            return None
        budget = list(state.budget)
        budget[number] -= 1
        return state._replace(budget=tuple(budget))


def excused(state: State) -> State:
    """Reads under way while a mark is lost may be stale."""
    if not state.lost:
        return state
    actors = tuple(
        actor._replace(excused=True) if actor.start >= 0 else actor for actor in state.actors
    )
    return state._replace(actors=actors)


def left(state: State, number: int, actor: Actor) -> State:
    """The transaction stays behind with its COMMIT under way."""
    zombies = (*state.zombies, Zombie(number, actor.overlay or (), actor.noted))
    return state._replace(zombies=zombies)


def _is_release(commands: tuple[Any, ...]) -> bool:
    return any(command[0] == "RELEASE" for command in commands)


def haunted(state: State, number: int, commands: tuple[Any, ...]) -> State:
    if not commands:
        return state
    ghosts = sorted((*state.ghosts, Ghost(number, commands)), key=repr)
    return state._replace(ghosts=tuple(ghosts))


def without_token(cells: Cells, token: bytes) -> Cells:
    found: list[Cell | None] = []
    for cell in cells:
        tokens = server.marks(cell)
        if cell is None or token not in tokens:
            found.append(cell)
            continue
        del tokens[token]
        found.append(Cell(server.marked(tokens), max(tokens.values())) if tokens else None)
    return stripped(found)


def without_marks(cells: Cells) -> Cells:
    for token in {token for cell in cells for token in server.marks(cell)}:
        cells = without_token(cells, token)
    return cells


def without_leases(cells: Cells) -> Cells:
    return stripped([None if cell and cell.value[:1] == b"L" else cell for cell in cells])
