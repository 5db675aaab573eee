"""The words, names in quotes and signs of an SQL text, as PostgreSQL, MySQL and SQLite agree on.

From the first sign on that they read differently, every word may be anything: see ``all_words``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LETTER = r"A-Za-z_\x80-\U0010ffff"
_WORD = rf"[{_LETTER}0-9$]++"
_COMMENT = r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)?"

# Each alternative takes whatever it starts with, closed or not, so that no part of a text is
# scanned twice. Blanks match none.
_TOKEN = re.compile(
    rf"""
      --[^\n]*+
    | {_COMMENT}
    | '[^']*+(?:''[^']*+)*+'?
    | "[^"]*+(?:""[^"]*+)*+"?
    | `[^`'"]*+`?
    | \[(?:[^][\-/'"`]|-(?!-)|/(?!\*))*+(?:['"`]|--|/\*)
    | \$(?:[{_LETTER}][{_LETTER}0-9]*+)?\$
    | {_WORD}
    | \S
    """,
    re.VERBOSE | re.ASCII,
)
_PLAIN_WORD = re.compile(_WORD)
# Digits and the letters after them are two words in old versions of PostgreSQL.
_SPLIT_WORD = re.compile(rf"[0-9]++|[{_LETTER}$][{_LETTER}0-9$]*+")
_BRACKETED = re.compile(r"\[([^][]*+)]")
_ESCAPED = re.compile(r"[^\w\s]\+?([0-9A-Fa-f]{6}|[0-9A-Fa-f]{4})")

# What may stand before the first word of a statement, in one database or the other.
_LEAD = re.compile(
    rf"(?:[\s(]|(?:--|\#)[^\n]*+|/\*M?![0-9]*+|\*/|(?!/\*M?!){_COMMENT})*+", re.ASCII
)

# Longer than any name.
_NAME_CHARS = 256


def tokens(sql: str) -> list[str] | None:
    """The tokens of ``sql`` without comments; ``None`` if databases read it differently.

    Names in quotes and strings keep their quotes; every sign is a token.
    """
    found = _TOKEN.findall(sql)
    if any(map(_is_disputed, set(found))):
        return None
    return [token for token in found if token[:2] not in ("--", "/*")]


DISPUTED = "\0"


def tokens_in_turn(sql: str) -> Iterator[str]:
    """The tokens of ``sql`` one by one, as ``tokens`` gives them; from where databases read it
    differently only ``DISPUTED``."""
    for found in _TOKEN.finditer(sql):
        token = found[0]
        if _is_disputed(token):
            yield DISPUTED
            return
        if token[:2] not in ("--", "/*"):
            yield token


def _is_disputed(token: str) -> bool:
    first = token[0]
    if first == "'":
        return "\\'" in token or token.count("'") % 2 == 1
    if first == '"':
        # A backslash escapes in a string of MySQL, and in a name after U&.
        return "\\" in token or token.count('"') % 2 == 1
    if first == "`":
        return len(token) == 1 or token[-1] != "`"
    if first == "-":
        # Minus signs, unless a blank follows; for some the line ends at a carriage return.
        return token[2:3] not in ("", " ", "\t", "\n", "\r") or "\r" in token[:-1]
    if token[:2] == "/*":
        # Executed by MySQL, nested in PostgreSQL, or not closed.
        return token[2:4] == "M!" or token[2:3] == "!" or "/*" in token[2:] or token[-2:] != "*/"
    if first == "[":
        # A name of SQLite with a quote in it, or a subscript.
        return len(token) > 1
    if first == "$":
        # The quote of PostgreSQL.
        return token[-1] == "$"
    if "0" <= first <= "9":
        return not token.isdigit()
    return first == "#" or token.upper() == "UESCAPE"


def identifiers(found: Iterable[str], sql: str) -> frozenset[str]:
    """The names among the tokens of ``sql``, unquoted and case folded; of ``"a.b"`` also ``b``."""
    names: set[str] = set()
    for token in set(found):
        first = token[0]
        if first == '"':
            _add(names, token[1:-1].replace('""', '"'))
        elif first == "`":
            _add(names, token[1:-1])
        elif first == "'" and 2 < len(token) <= _NAME_CHARS:
            # SQLite takes a string for a name where only a name can be.
            _add(names, token[1:-1].replace("''", "'"))
        elif first.isalnum() or first in "_$" or first >= "\x80":
            names.add(token.casefold())
    for name in _BRACKETED.findall(sql):
        _add(names, name)
    return frozenset(names)


def all_words(sql: str) -> frozenset[str]:
    """Every word of ``sql``, and all that may be a name in quotes, case folded."""
    names = {word.casefold() for word in _PLAIN_WORD.findall(sql)}
    names.update(word.casefold() for word in _SPLIT_WORD.findall(sql))
    names_in_quotes = [*_BRACKETED.findall(sql)]
    for quote in "\"`'":
        names_in_quotes += sql.split(quote)
    if "u&" in sql.casefold():
        names_in_quotes += [_ESCAPED.sub(_character, name) for name in sql.split('"')]
    for name in set(names_in_quotes):
        if len(name) <= _NAME_CHARS:
            _add(names, name)
    return frozenset(names)


def words_of(statement: str) -> list[str]:
    """All words of a disputed text in upper case, from the verb of the statement on."""
    lead = _LEAD.match(statement)
    return _SPLIT_WORD.findall(statement[lead.end() if lead else 0 :].upper())


def _add(names: set[str], name: str) -> None:
    name = name.casefold()
    names.update((name, name.rpartition(".")[2]))


def _character(escape: re.Match[str]) -> str:
    code = int(escape[1], 16)
    return chr(code) if code < 0x110000 else ""
