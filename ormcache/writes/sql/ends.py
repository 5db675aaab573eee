"""What is left of a transaction on MySQL when a text of SQL is over, from its words alone.

For a driver that does not say it. Every statement passes here with its parameters in it, so the
ordinary ones are told by their first word.
"""

from __future__ import annotations

import re
from typing import Any

from ormcache.database.drivers import Left
from ormcache.writes.sql.text import COMMITS_NOTHING, VERBS, Kind, chains, kind_of, split

_USUAL = frozenset({b"SELECT ", b"INSERT ", b"UPDATE ", b"DELETE ", b"SAVEPOI", b"RELEASE"})
# Whatever stands behind the first word of one statement.
_PLAIN = re.compile(
    rb"(?:[\s(]|/\*(?![!M]).*?\*/)*+"
    rb"(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|SHOW|SAVEPOINT|RELEASE)\b",
    re.IGNORECASE | re.DOTALL,
)


def left_by(sql: Any, driver: Any) -> Left | None:
    """What a text leaves when it has come to its end; ``None`` if that is what it found."""
    if type(sql) is not bytes:
        sql = sql.encode(errors="replace") if isinstance(sql, str) else bytes(sql)
    if sql[:7] in _USUAL and b";" not in sql:
        return None
    if _PLAIN.match(sql) and b";" not in sql:
        return None
    # Quotes in strings are escaped in one of two ways, and the driver keeps up with the settings.
    has_escapes = driver.escape_string(b"'") == b"\\'"
    found = _fold(_without_quotes(sql, has_escapes, is_run=True), driver)
    if b"/*!" in sql or b"/*M!" in sql:
        # Which versions run what stands in such a comment is for the server to know.
        passed_over = _fold(_without_quotes(sql, has_escapes, is_run=False), driver)
        if passed_over is not found:
            return None if {passed_over, found} == {None, Left.NOTHING} else Left.PERHAPS
    return found


_QUOTED = r"`[^`]*+`?"
_COMMENT = r"\#[^\n]*+|--(?=[\x00-\x20]|\Z)[^\n]*+|/\*(?!M?!).*?(?:\*/|\Z)"
_STRING = {
    True: r"'[^'\\]*+(?:\\.[^'\\]*+)*+'?|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"?",
    False: r"'[^']*+'?|\"[^\"]*+\"?",
}
_RUN = {True: r"/\*M?![0-9]*+|\*/", False: r"/\*M?!.*?(?:\*/|\Z)"}
_NOT_WORDS = {
    (has_escapes, is_run): re.compile(
        f"(?P<quoted>{_STRING[has_escapes]}|{_QUOTED})|{_COMMENT}|{_RUN[is_run]}".encode(),
        re.DOTALL,
    )
    for has_escapes in (True, False)
    for is_run in (True, False)
}


def _without_quotes(sql: bytes, has_escapes: bool, *, is_run: bool) -> str:
    """The text without its comments, and with nothing in its quotes."""
    return _NOT_WORDS[has_escapes, is_run].sub(_emptied, sql).decode("latin-1")


def _emptied(found: re.Match[bytes]) -> bytes:
    return b"''" if found["quoted"] else b" "


_WORD = re.compile(r"[\w$]+|\S")
# Few of the words of a statement matter, and those of a bulk insert are many.
_HEAD = 300


def _fold(sql: str, driver: Any) -> Left | None:
    parts = [words for part in sql.split(";") if (words := _words(part))]
    if _is_code(parts):
        # What begins nothing may still end something; then it passes for open as before.
        begin = _BEGINS | {"BEGIN"} if _makes_code(parts[0]) else _BEGINS
        begins = not begin.isdisjoint(_WORD.findall(sql.upper())) or ["BEGIN"] in parts
        return Left.PERHAPS if begins else None
    if parts and _is_body(parts):
        return Left.NOTHING
    found = None
    for words in parts:
        found = _left_by(words, driver) or found
    if len(parts) < 2 or found is None:
        return found
    # A statement that fails keeps those after it from being run.
    return Left.NOTHING_AT_LAST if found is Left.NOTHING else Left.PERHAPS


def _words(part: str) -> list[str]:
    start = part.lstrip(" \t\r\n\f\v(")
    is_long = start[:3].upper() != "SET"
    found = split(_WORD.findall((start[:_HEAD] if is_long else start).upper()))
    words = found[0] if found else []
    if words[:2] == ["SET", "STATEMENT"] and "FOR" in words[:-1]:
        return words[words.index("FOR") + 1 :]
    return words


_BEGINS = frozenset({"START", "XA", "CALL", "EXECUTE", "AUTOCOMMIT", "WORK", "CHAIN"})
"""Words that may begin a transaction where BEGIN begins a block."""
_CODE = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})
_STATEMENTS = (
    VERBS
    | COMMITS_NOTHING
    | frozenset(
        "LOAD INSERT UPDATE DELETE REPLACE MERGE XA STOP CHANGE PURGE CACHE BINLOG IMPORT CLONE"
        " SHUTDOWN RESTART BACKUP SIGNAL DIAGNOSTICS".split()
    )
)
_ENDS = frozenset({"ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE"})


def _is_code(parts: list[list[str]]) -> bool:
    """Whether a text runs statements that it does not show as its own: a block, a procedure."""
    if parts and _makes_code(parts[0]):
        # One statement to the END of its body; what may come after it is not told from it.
        return len(parts) > 1 and not _is_body(parts)
    return any(
        words[0] not in _STATEMENTS or words[:2] == ["BEGIN", "NOT"] or words[0] == "DECLARE"
        for words in parts
    )


def _makes_code(words: list[str]) -> bool:
    return words[0] in ("CREATE", "ALTER") and not _CODE.isdisjoint(words)


def _is_body(parts: list[list[str]]) -> bool:
    return _makes_code(parts[0]) and "BEGIN" in parts[0] and parts[-1] == ["END"]


def _left_by(words: list[str], driver: Any) -> Left | None:
    """What one statement leaves, if it does not fail."""
    verb, second = words[0], words[1] if len(words) > 1 else ""
    kind = kind_of(words)
    if verb == "SET":
        if second == "PASSWORD":
            return Left.NOTHING
        # Switched on it commits, if it was off.
        is_switched = "AUTOCOMMIT" in words and not driver.get_autocommit()
        return Left.NOTHING if is_switched else None
    if (verb == "XA" and second == "PREPARE") or verb == "END":
        return None
    if kind is Kind.BEGIN:
        return Left.TRANSACTION
    if kind in (Kind.COMMIT, Kind.ROLLBACK):
        return Left.TRANSACTION if chains(words) else Left.NOTHING
    if kind is Kind.SCHEMA and (verb in _ENDS or (verb == "LOCK" and second.startswith("TABLE"))):
        return Left.NOTHING
    return None
