"""How a query is answered, as ``explain_cache()`` returns it and people read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ormcache.text import bytes_text, columns, ms_text


@dataclass(frozen=True, slots=True)
class CellState:
    """One key in Redis: an entry, a stamp or a row cell. ``key`` is as ``redis-cli`` takes it.

    Times in milliseconds: ``ttl_ms`` is -1 for no expiry and ``None`` for nothing there,
    ``age_ms`` is the greatest age the entry can have, ``None`` where it is not known.
    """

    name: str
    key: str
    state: str = "unknown"
    reason: str = ""
    size: int = 0
    ttl_ms: int | None = None
    age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Dependency:
    """What makes the result another one: rows of ``table`` that come or go, and ``columns``.

    ``where`` narrows it to some rows. ``columns`` is ``("*",)`` for every column. ``source`` is
    ``"query"``, ``"depends_on"``, or ``"rows"`` for rows that are read from their own cells.
    """

    table: str
    text: str
    where: str = ""
    columns: tuple[str, ...] = ()
    source: str = "query"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether and how a query is answered from the cache, and what the cache holds of it.

    ``str()`` is the same for people, ``as_dict()`` for programs. ``timeout`` in seconds, ``None``
    for no expiry.
    """

    model: str
    database: str
    kind: str
    """``rows``, ``list``, ``values``, ``count``, ``exists`` or ``aggregate``."""
    cached: bool
    reasons: tuple[str, ...]
    """Why it goes to the database."""
    not_stored: tuple[str, ...]
    """Why what the database answers now would not be stored; a hit is served all the same."""
    notes: tuple[str, ...]
    depends_on: tuple[Dependency, ...]
    timeout: float | None
    state: str
    """``hit``, ``absent``, ``stale``, ``marked``, ``leased``, ``corrupt``, ``unknown``;
    ``unreachable`` when Redis does not answer, ``none`` where there is nothing to look for."""
    entry: CellState | None
    stamps: tuple[CellState, ...]
    rows: tuple[CellState, ...]

    @property
    def key(self) -> str | None:
        """The key of the list entry, or of the first row cell."""
        if self.entry is not None:
            return self.entry.key
        return self.rows[0].key if self.rows else None

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries, lists and scalars."""
        found = asdict(self)
        found["key"] = self.key
        return found

    def __str__(self) -> str:
        cached = "cached" if self.cached else "not cached"
        lines = [f"{self.model} in {self.database}, {self.kind}: {cached}"]
        lines += _titled("Because", self.reasons)
        if self.cached or self.key:
            answer = _ANSWERS[self.kind]
            lines += _titled("Answer" if self.cached else "Otherwise", (answer,))
        lines += _titled("Not stored", self.not_stored)
        lines += _titled("Note", self.notes)
        if self.entry is not None:
            lines += _titled("Key", (self.entry.key,))
        if self.state != "none":
            lines += _titled("State", self._state())
        if self.key:
            timeout = "no expiry" if self.timeout is None else f"{self.timeout:g} s"
            lines += _titled("Timeout", (timeout,))
        lines += _titled("Depends on", tuple(each.text for each in self.depends_on))
        lines += _titled("Stamps", _table(self.stamps))
        lines += _titled("Row cells", _table(self.rows))
        return "\n".join(lines)

    def _state(self) -> tuple[str, ...]:
        entry = self.entry
        if entry is None:
            return (self.state,)
        found = [f"{self.state}{': ' if entry.reason else ''}{entry.reason}"]
        if entry.ttl_ms is not None:
            text = f"{bytes_text(entry.size)}, "
            text += ms_text(-1) if entry.ttl_ms < 0 else f"expires in {ms_text(entry.ttl_ms)}"
            if entry.age_ms is not None:
                text += f", at most {ms_text(entry.age_ms)} old"
            found.append(text)
        return tuple(found)


_ANSWERS = {
    "rows": "from the cells of the rows it names by primary key; no list entry is needed",
    "list": "from a list entry of pointers, and the rows from their own cells",
    "values": "from an entry that holds the values",
    "count": "from an entry that holds the count",
    "exists": "from an entry that holds the answer",
    "aggregate": "from an entry that holds the aggregates",
}
_WIDTH = 12


def _titled(title: str, lines: tuple[str, ...]) -> list[str]:
    return [f"{title if not i else '':{_WIDTH}}{line}" for i, line in enumerate(lines)]


def _table(cells: tuple[CellState, ...]) -> tuple[str, ...]:
    rows = [
        (each.name, each.key, each.state + (f": {each.reason}" if each.reason else ""))
        for each in cells
    ]
    return tuple(columns(rows))
