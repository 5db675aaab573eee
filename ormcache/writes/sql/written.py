"""What an INSERT or UPDATE gives to which columns, read from the statement that really passes.

Whoever announces a write knows its rows. What becomes of a value on its way to the column is up
to the field and to querysets further down, so columns and values are those of the statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ormcache.writes.pending import UNKNOWN
from ormcache.writes.sql.tokens import DISPUTED, tokens_in_turn

NULL, OTHER = -1, -2
"""Stand for a value that is no parameter: NULL, or what only the database knows."""


@dataclass(frozen=True, slots=True)
class Written:
    """A statement that gives values to columns of one table.

    ``places`` says for each column, row after row, which parameter it is given as it is;
    ``params`` how many there are, where all of the text was read. ``replaced`` are the columns an
    upsert sets in rows that are there already. ``key`` names the rows of an UPDATE: a column, the
    place of its first value and how many there are.
    """

    table: str
    columns: tuple[str, ...]
    places: Sequence[int]
    params: int | None
    is_by_column: bool = False
    """Each parameter holds the values of one column for all rows (``UNNEST``)."""
    replaced: tuple[str, ...] = ()
    key: tuple[str, int, int] | None = None
    is_clipped: bool = False
    """The column makes of a value what fits into it (MySQL's ``IGNORE``): of an integer it is
    known what does."""

    def rows(self, params: Any) -> list[dict[str, Any]] | None:
        """By row and column the values given; ``None`` if it is not known how many rows it is."""
        if not self._fits(params):
            return None
        found = [self._value(place, params) for place in self.places]
        if self.is_by_column:
            if any(type(values) is not list for values in found):
                return None
            return [dict(zip(self.columns, row, strict=True)) for row in zip(*found, strict=True)]
        width = len(self.columns)
        return [
            dict(zip(self.columns, found[start : start + width], strict=True))
            for start in range(0, len(found), width)
        ]

    def keys(self, params: Any) -> list[Any] | None:
        """The values of ``key``, in the order of the statement."""
        if self.key is None or not self._fits(params):
            return None
        _, first, count = self.key
        return list(params[first : first + count])

    def _fits(self, params: Any) -> bool:
        return type(params) in (tuple, list) and self.params in (None, len(params))

    def _value(self, place: int, params: Any) -> Any:
        if place >= 0:
            value = params[place]
            return value if not self.is_clipped or type(value) is int else UNKNOWN
        return None if place == NULL else UNKNOWN


_MEMOISED = 20_000


def written(sql: str) -> Written | None:
    """What a text with ``%s`` placeholders gives to which columns; ``None`` if that cannot be
    told, or if it may do anything besides."""
    return _read(sql) if len(sql) > _MEMOISED else _memoised(sql)


def _read(sql: str) -> Written | None:
    if ";" in sql:
        return None
    if sql.startswith("INSERT "):
        return _regular_insert(sql) or _insert(_Reader(sql))
    return _update(_Reader(sql)) if sql.startswith("UPDATE ") else None


_memoised = lru_cache(maxsize=1024)(_read)


# A length or precision in a cast changes the value, and so do some types.
_CAST = (
    r"(?:::(?:smallint|integer|bigint|uuid|text|varchar|jsonb|boolean|numeric|interval|date"
    r"|inet|double precision|timestamp with time zone)(?:\[\])*+)?+"
)

# Inserts of many rows that give their parameters as they are


def _pattern(quote: str) -> re.Pattern[str]:
    name = rf"""{quote}[^"`'\\;%\x00-\x1f]++{quote}"""
    names = rf"{name}(?:, {name})*+"
    own = rf"(?P=table)\.{name}"
    row = rf"\((?>%s|\(%s\)){_CAST}(?:, (?>%s|\(%s\)){_CAST})*+\)"
    rows = rf"(?:VALUES {row}(?:, {row})*+|SELECT \* FROM (?P<unnest>UNNEST){row})"
    replaced = rf"{name} = (?:EXCLUDED\.{name}|new\.{name}|VALUES?\({name}\))"
    return re.compile(
        rf"INSERT (?:OR IGNORE )?+INTO (?P<table>{name}) \((?P<columns>{names})\) (?P<rows>{rows})"
        rf"(?: ON CONFLICT DO NOTHING|(?: ON CONFLICT\({names}\) DO UPDATE SET"
        rf"|(?: AS new)?+ ON DUPLICATE KEY UPDATE) (?P<replaced>{replaced}(?:, {replaced})*+))?+"
        rf"(?: RETURNING {own}(?:, {own})*+)?+",
        re.ASCII,
    )


_REGULAR = {quote: _pattern(quote) for quote in '"`'}
_NAME = re.compile(r"""["`]([^"`]++)["`]""")
_ASSIGNED = re.compile(r"""["`]([^"`]++)["`] = """)


def _regular_insert(sql: str) -> Written | None:
    found = _REGULAR['"' if '"' in sql[:40] else "`"].fullmatch(sql)
    if found is None:
        return None
    columns = tuple(_NAME.findall(found["columns"]))
    count = found["rows"].count("%s")
    if count % len(columns):
        return None
    table, replaced = found["table"][1:-1], tuple(_ASSIGNED.findall(found["replaced"] or ""))
    return Written(table, columns, range(count), count, bool(found["unnest"]), replaced)


# Any text, word by word

_PLACEHOLDER = "%s"


def _items(sql: str) -> Iterator[str]:
    """The tokens of a text, placeholders as one."""
    found = tokens_in_turn(sql)
    for token in found:
        if token == "%":
            token += next(found, "")
        elif token[0] in "'\"`" and "%" in token:
            # To a driver a placeholder in quotes is one.
            token = DISPUTED
        yield token


class _Reader:
    """Goes through the tokens of a statement, and counts the placeholders it passes."""

    def __init__(self, sql: str) -> None:
        self._rest = _items(sql)
        self._ahead: list[str] = []
        self.params = 0

    def peek(self, ahead: int = 0) -> str:
        while len(self._ahead) <= ahead:
            self._ahead.append(next(self._rest, ""))
        return self._ahead[ahead]

    def take(self) -> str:
        token = self.peek()
        del self._ahead[0]
        self.params += token == _PLACEHOLDER
        return token

    def takes(self, *words: str) -> bool:
        """Pass these words if they are next."""
        if any(self.peek(i).upper() != word for i, word in enumerate(words)):
            return False
        for _ in words:
            self.take()
        return True

    def rest(self) -> None:
        """Pass all that is left."""
        while self.peek() not in ("", DISPUTED):
            self.take()

    def name(self) -> str:
        """A name in quotes; empty if none is next."""
        token = self.peek()
        if token[:1] not in ('"', "`") or len(token) < 3 or token.count(token[0]) != 2:
            return ""
        return self.take()[1:-1]

    def names(self) -> list[str]:
        """Names in brackets; empty if no such list is next."""
        found: list[str] = []
        if self.takes("("):
            while name := self.name():
                found.append(name)
                if not self.takes(","):
                    return found if self.takes(")") else []
        return []

    def expression(self, *ends: str) -> list[str]:
        """The tokens up to a comma or one of the words, outside of all brackets."""
        found: list[str] = []
        depth = 0
        while (token := self.peek()) not in ("", DISPUTED):
            if depth == 0 and (token == "," or token.upper() in ends):
                break
            depth += (token in "([{") - (token in ")]}")
            if depth < 0:
                break
            found.append(self.take())
        return found

    def value(self, *ends: str) -> int | None:
        """The place of the parameter that is the next value; ``None`` if there is no value."""
        first = self.params
        found = self.expression(*ends)
        if not found:
            return None
        if found == ["NULL"]:
            return NULL
        if found[0] == "_binary":
            found = found[1:]
        return first if _is_parameter("".join(_spaced(found))) else OTHER

    def assignments(self, table: str, *ends: str) -> list[tuple[str, int]]:
        """``column = value, …``; empty if they cannot be told."""
        found: list[tuple[str, int]] = []
        while name := self.name():
            if self.takes("."):
                if name != table:
                    return []
                name = self.name()
            value = self.value(*ends) if name and self.takes("=") else None
            if value is None:
                return []
            found.append((name, value))
            if not self.takes(","):
                return found
        return []


def _spaced(found: list[str]) -> list[str]:
    """Tokens with a blank between two words."""
    return [
        f" {token}" if place and token[:1].isalpha() and found[place - 1][-1:].isalpha() else token
        for place, token in enumerate(found)
    ]


_is_parameter = re.compile(rf"(?:%s|\(%s\)){_CAST}").fullmatch


def _update(reader: _Reader) -> Written | None:
    reader.take()
    table = reader.name()
    if not table or not reader.takes("SET"):
        return None
    found = reader.assignments(table, "WHERE", "FROM", "RETURNING", "ORDER", "LIMIT")
    if not found or (reader.peek() and reader.peek().upper() not in ("WHERE", "RETURNING")):
        return None
    places = [place for _, place in found]
    # How the condition goes on does not matter: what is given stands before it.
    columns = tuple(name for name, _ in found)
    return Written(table, columns, places, None, key=_key(reader, table))


def _key(reader: _Reader, table: str) -> tuple[str, int, int] | None:
    """What names the rows in ``WHERE table.column = value`` and nothing else."""
    if not reader.takes("WHERE") or reader.name() != table or not reader.takes("."):
        return None
    column, first = reader.name(), reader.params
    if reader.takes("IN", "("):
        while reader.takes("%S"):
            if not reader.takes(","):
                break
        is_whole = reader.takes(")")
    else:
        is_whole = reader.takes("=", "%S")
    count = reader.params - first
    if not column or not is_whole or not count:
        return None
    return (column, first, count) if reader.peek().upper() in ("", "RETURNING") else None


def _insert(reader: _Reader) -> Written | None:
    reader.take()
    is_clipped = reader.takes("IGNORE")
    reader.takes("OR", "IGNORE")
    table = reader.name() if reader.takes("INTO") else ""
    columns = reader.names()
    if not table or not columns or not reader.takes("VALUES"):
        return None
    places: list[int] = []
    while True:
        row = _row(reader)
        if len(row) != len(columns):
            return None
        places += row
        if not reader.takes(","):
            break
    replaced = _replaced(reader, table)
    if replaced is None or (reader.peek() and not reader.takes("RETURNING")):
        return None
    reader.rest()
    return Written(
        table,
        tuple(columns),
        places,
        reader.params,
        replaced=replaced,
        is_clipped=is_clipped,
    )


def _row(reader: _Reader) -> list[int]:
    found: list[int] = []
    if reader.takes("("):
        while (value := reader.value()) is not None:
            found.append(value)
            if not reader.takes(","):
                return found if reader.takes(")") else []
    return []


def _replaced(reader: _Reader, table: str) -> tuple[str, ...] | None:
    """The columns an upsert sets, empty if it is none; ``None`` if they cannot be told."""
    reader.takes("AS", "NEW")
    if reader.takes("ON", "CONFLICT"):
        reader.names()
        if reader.takes("DO", "NOTHING"):
            return ()
        begins = reader.takes("DO", "UPDATE", "SET")
    elif reader.peek().upper() == "ON":
        begins = reader.takes("ON", "DUPLICATE", "KEY", "UPDATE")
    else:
        return ()
    found = reader.assignments(table, "WHERE", "RETURNING") if begins else []
    if reader.peek().upper() == "WHERE":
        reader.expression("RETURNING")
    return tuple(name for name, _ in found) or None
