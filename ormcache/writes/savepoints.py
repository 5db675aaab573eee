"""What a transaction had written when each of its savepoints was set.

``ROLLBACK TO SAVEPOINT`` undoes what was written since, and nothing else: the database promises
that as it promises it of ``ROLLBACK``, after which nothing is invalidated either. So what is
pending may be put back to what it was, and the tables are cached again inside of the transaction.
Otherwise the savepoints of a ``TestCase`` would leave a test the tables of those before it.

That is done only where nothing can be lost:

- Savepoints of Django's own, in a transaction Django began, on PostgreSQL and SQLite. A table of
  MySQL may know no transactions. After all others what is pending stays, which is too much only.
- What is kept for a name may be younger than the database's savepoint of that name, never older:
  it is there before the statement runs, and goes when its statement has returned. An interrupt in
  between leaves one too many, and what is put back then is more than there is.
- A write is noted once it has run. While one is under way no savepoint is kept or gone back to.
- What was announced by ``invalidate()`` may have been written at any time: it is noted everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ormcache.schema.tables import Table
from ormcache.writes.pending import TableWrites

_OWN = re.compile(r'(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) "(s\d+_x\d+)"')


def of_django(sql: str) -> tuple[str, str]:
    """The verb and the name of one of Django's own savepoints; empty for any other statement."""
    found = _OWN.fullmatch(sql)
    return ("", "") if found is None else (found[1], found[2])


@dataclass(slots=True)
class _Level:
    name: str
    tables: dict[str, TableWrites | None] = field(default_factory=dict)
    """The writes to each table that was written since, as they were; ``None``: there were none."""


class Savepoints:
    """The savepoints of one transaction, the oldest first."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    def clear(self) -> None:
        """The transaction has ended."""
        self._levels.clear()

    def before(self, name: str, *, is_kept: bool) -> None:
        """A savepoint is about to be set. Without ``is_kept`` nobody goes back to it here, nor to
        an older one that it hides."""
        if is_kept:
            self._levels.append(_Level(name))
            return
        for level in self._levels:
            if level.name == name:
                level.name = ""

    def begun(self, name: str) -> None:
        """It was set. What was written on the way stays."""
        place = self._place(name)
        if place is not None:
            passed, self._levels[place].tables = self._levels[place].tables, {}
            self._hand_down(place, passed)

    def released(self, name: str) -> None:
        """It is gone, with those that were set after it; what it kept, older ones need."""
        place = self._place(name)
        if place is not None:
            self._hand_down(place, self._since(place))
            del self._levels[place:]

    def returned(self, name: str, tables: dict[str, TableWrites]) -> dict[str, TableWrites]:
        """What is pending of ``tables`` after it was gone back to. It stays, those after it go;
        see ``settled``."""
        place = self._place(name)
        if place is None:
            return tables
        before = self._since(place)
        left = {each: writes for each, writes in tables.items() if each not in before}
        return left | {each: writes for each, writes in before.items() if writes is not None}

    def settled(self, name: str) -> None:
        """What ``returned`` gave is pending now."""
        place = self._place(name)
        if place is not None:
            del self._levels[place + 1 :]
            self._levels[place].tables = {}

    def keep(self, name: str, writes: TableWrites | None) -> None:
        """A table is about to be written."""
        if self._levels and name not in self._levels[-1].tables:
            self._levels[-1].tables[name] = None if writes is None else writes.copy()

    def kept(self, name: str, table: Table | None) -> Iterator[TableWrites]:
        """All that is kept of a table, to be added to."""
        for level in self._levels:
            if name in level.tables:
                found = level.tables[name]
                if found is None:
                    found = level.tables[name] = TableWrites(table)
                yield found

    def _place(self, name: str) -> int | None:
        """That of the youngest savepoint of a name."""
        for place in range(len(self._levels) - 1, -1, -1):
            if self._levels[place].name == name:
                return place
        return None

    def _since(self, place: int) -> dict[str, TableWrites | None]:
        """The tables written since a savepoint, as they were when it was set."""
        found: dict[str, TableWrites | None] = {}
        for level in self._levels[place:]:
            found = level.tables | found
        return found

    def _hand_down(self, place: int, tables: dict[str, TableWrites | None]) -> None:
        """To the savepoint before that place."""
        if place:
            older = self._levels[place - 1]
            older.tables = tables | older.tables
