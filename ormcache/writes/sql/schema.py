"""Changes of a schema that reach further than the names in their text.

``ALTER TYPE … RENAME VALUE`` changes what rows of any table hold, ``DROP … CASCADE`` which there
are, ``CREATE OR REPLACE VIEW`` what a view shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_VERBS = frozenset("ALTER DROP CREATE RENAME REASSIGN".split())
# Words between the verb and what it is about.
_BETWEEN = frozenset(
    "OR REPLACE GLOBAL LOCAL TEMP TEMPORARY UNLOGGED UNIQUE FULLTEXT SPATIAL CLUSTERED"
    " CONSTRAINT ONLINE OFFLINE IGNORE VIRTUAL RECURSIVE FOREIGN BITMAP NONCLUSTERED".split()
)
# What is changed in one of these is in the rows of the tables that the text names.
_NAMING = frozenset("TABLE TABLES INDEX TRIGGER RULE POLICY SEQUENCE STATISTICS PREPARE".split())
# What is new under one of these names changes nothing that was there.
_NEW = _NAMING | frozenset(
    "TYPE DOMAIN SCHEMA EXTENSION DATABASE ROLE USER GROUP TABLESPACE PUBLICATION SERVER EVENT"
    " MATERIALIZED PROCEDURE LANGUAGE".split()
)
# What lies outside of the database that the connection is to, or holds no rows.
_OUTSIDE = frozenset("DATABASE ROLE USER GROUP TABLESPACE PUBLICATION SERVER EVENT".split())
_OBJECTS = frozenset(
    "TYPE DOMAIN SCHEMA FUNCTION EXTENSION VIEW CASCADE OPERATOR CAST COLLATION AGGREGATE OWNED"
    " ROLE USER DATABASE ROUTINE PROCEDURE SYSTEM".split()
)


def changes_everything(
    parts: Iterable[Sequence[str]], names: frozenset[str], *, is_code: bool
) -> bool:
    """Whether a text of these statements may change tables that it does not name.

    ``parts`` are the statements as upper-case words. ``names``: all words of the text, in small
    letters. ``is_code``: databases read it differently, or strings in it may be statements.
    """
    if any(map(_reaches_far, parts)):
        return True
    if not is_code:
        return False
    words = {name.upper() for name in names}
    return not _VERBS.isdisjoint(words) and not _OBJECTS.isdisjoint(words)


def _reaches_far(words: Sequence[str]) -> bool:
    verb = words[0]
    if verb not in _VERBS:
        return False
    if verb == "DROP" and "CASCADE" in words:
        return True
    after = [word for word in words[1:6] if word not in _BETWEEN]
    about = after[0] if after else ""
    if verb == "CREATE" and "REPLACE" not in words[1:3]:
        return about not in _NEW
    return about not in (_NAMING | _OUTSIDE if verb == "DROP" else _NAMING)
