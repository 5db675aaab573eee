"""Which views of a database show each connection rows of its own.

What a view shows may follow from the user who asks, or from a setting of the session. The text of
the view says so, or that of a view it reads; a function of the application's own, or a table with
row-level security behind the view, may decide alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_ASKERS = re.compile(
    r"""(?<!["`])\b(?:current_(?:user|role|setting|schemas?|catalog|database)|session_user|user
    |pg_backend_pid|inet_client_\w+|has_\w+_privilege|pg_has_role|row_security_active
    |connection_id|system_user|database|schema)\b(?!["`])""",
    re.IGNORECASE | re.VERBOSE,
)
"""What asks who asks: functions and words of PostgreSQL and MySQL."""
_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*+'")

# Everything a view reads, through other views too, with what decides about the rows.
_POSTGRESQL = """
WITH RECURSIVE behind(root, oid) AS (
  SELECT v.oid, v.oid FROM unnest(%s::oid[]) AS v(oid)
  UNION
  SELECT b.root, d.refobjid FROM behind b
  JOIN pg_catalog.pg_rewrite w ON w.ev_class = b.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
    AND d.refclassid = 'pg_catalog.pg_class'::regclass)
SELECT r.relname::text, bool_or(c.relrowsecurity), bool_or(EXISTS (
    SELECT FROM pg_catalog.pg_rewrite w
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
      AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_proc'::regclass
    WHERE w.ev_class = c.oid)),
  string_agg(CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END, ' ')
FROM behind b JOIN pg_catalog.pg_class c ON c.oid = b.oid
JOIN pg_catalog.pg_class r ON r.oid = b.root GROUP BY r.relname
"""


def of_postgresql(cursor: Any, oids: Iterable[int]) -> set[str]:
    """The names of those views whose rows follow from the connection."""
    found = sorted(oids)
    if not found:
        return set()
    cursor.execute(_POSTGRESQL, [found])
    return {
        name
        for name, is_secured, calls, text in cursor.fetchall()
        if is_secured or calls or _ASKERS.search(_STRING.sub("", text or ""))
    }


_MYSQL = """SELECT table_name, view_definition FROM information_schema.views
WHERE table_schema = DATABASE()"""
_QUOTED = re.compile(r"`([^`]++)`")
_CALL = re.compile(r"`\s*+\(")


def of_mysql(cursor: Any, names: Iterable[str]) -> set[str]:
    """The same of MySQL and MariaDB, given the names of what may be a view."""
    if not names:
        return set()
    cursor.execute(_MYSQL)
    texts = {_text(name): _STRING.sub("", _text(text)) for name, text in cursor.fetchall()}
    return {name for name in texts.keys() & set(names) if _asks(name, texts)}


def _asks(name: str, texts: Mapping[str, str]) -> bool:
    todo, seen = [name], set()
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        text = texts[each]
        # Empty where the user may not see it; variables begin with "@".
        if not text or "@" in text or _ASKERS.search(text) or _CALL.search(text):
            return True
        todo += [other for other in _QUOTED.findall(text) if other in texts]
    return False


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
