"""What can be told of the whole system at one moment. Nothing here changes; steps make anew."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.database import Contents, Overlay, is_waiting
from tests.model.machine import Node
from tests.model.server import Cell, Command

Cells = tuple[Cell | None, ...]
"""By the numbers of the keys; absent cells at the end are left out."""

Outbox = tuple[tuple[int, tuple[Any, ...]], ...]
"""The committed entries of the outbox, each with the actor that has put it."""

PROBES = -1
"""Stands for the probes among the actors that are cut off, or whose connection is broken."""

Step = tuple[str, str, Any]
"""Who, what, and with what: enough to print it."""


class Actor(NamedTuple):
    """A process. ``node`` is where its program stands, ``None`` when it has ended or was killed.

    ``replies`` are those its pipeline has had so far. ``start`` numbers the version that was the
    newest when its read began. ``overlay`` is what its transaction has written. ``snapshot`` is
    what its transaction goes on seeing. ``excused``: a mark was lost while it read. ``looked``:
    it has looked into the outbox since its read began; ``alert``: it found an entry there once,
    and has to look before every read.
    """

    node: Node | None = None
    replies: tuple[Any, ...] = ()
    start: int = -1
    overlay: Overlay | None = None
    snapshot: Contents | None = None
    committed: bool = False
    excused: bool = False
    looked: bool = False
    alert: bool = False
    noted: Contents = ()


ENDED = Actor()


class Ghost(NamedTuple):
    """Commands that nobody waits for any more, but which the server may still receive."""

    owner: int
    commands: tuple[Command, ...]


class Zombie(NamedTuple):
    """A transaction whose COMMIT is under way and whose process has gone."""

    owner: int
    overlay: Overlay
    noted: Contents = ()


class State(NamedTuple):
    """The server's cells and epoch, the committed versions that still matter, newest last, the
    actors. ``lost`` are writers whose marks were lost before their commit and who have not
    released since. ``budget`` is what may still go wrong, ``backup`` the cells a fail-over will
    bring back. ``entries`` counts those ever put into the outbox. ``cut`` cannot reach the
    server, ``broken`` could not and will notice."""

    cells: Cells
    versions: tuple[Contents, ...]
    actors: tuple[Actor, ...]
    budget: tuple[int, ...]
    epoch: int = 0
    ghosts: tuple[Ghost, ...] = ()
    zombies: tuple[Zombie, ...] = ()
    lost: frozenset[int] = frozenset()
    backup: Cells | None = None
    outbox: Outbox = ()
    entries: int = 0
    cut: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()

    @property
    def newest(self) -> Contents:
        return self.versions[-1]

    def is_unknown(self, reader: int) -> bool:
        """Whether entries wait in the outbox that a reader has not been told to look for: an
        outage of all it would have noticed."""
        others = (entry for owner, entry in self.outbox if owner != reader)
        return PROBES not in self.broken and any(map(is_waiting, others))

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody will do anything any more."""
        return not (self.ghosts or self.zombies) and all(a.node is None for a in self.actors)

    def with_actor(self, number: int, actor: Actor, **changed: Any) -> State:
        actors = (*self.actors[:number], actor, *self.actors[number + 1 :])
        return self._replace(actors=actors, **changed)

    def with_cell(self, number: int, cell: Cell | None) -> Cells:
        """The cells with one of them changed."""
        cells = list(self.cells)
        cells += [None] * (number + 1 - len(cells))
        cells[number] = cell
        return stripped(cells)

    def cell(self, number: int) -> Cell | None:
        return self.cells[number] if number < len(self.cells) else None

    def trimmed(self) -> State:
        """Without the versions that no read can have begun at."""
        oldest = min(
            (actor.start for actor in self.actors if actor.start >= 0),
            default=len(self.versions) - 1,
        )
        if not oldest:
            return self
        actors = tuple(
            actor._replace(start=actor.start - oldest) if actor.start >= 0 else actor
            for actor in self.actors
        )
        return self._replace(actors=actors, versions=self.versions[oldest:])


def stripped(cells: list[Cell | None]) -> Cells:
    while cells and cells[-1] is None:
        cells.pop()
    return tuple(cells)
