"""The question asked of a server when a connection is set up: what does this connection see?

What a statement or a function has changed since the session began is told by the server itself,
whoever did it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ormcache.database import dbviews
from ormcache.schema.watched import watched_tables

_BROKEN = 3
"""The status of a PostgreSQL transaction in which a statement has failed."""

_VIEW_SETTINGS = ["search_path", "row_security"]
"""Which tables and rows are seen: a view can name that."""
_ANSWER_SETTINGS = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "array_nulls",
    "bytea_output",
    "case_sensitive_like",
    "client_encoding",
    "default_text_search_config",
    "extra_float_digits",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
]
"""The same rows, but other answers."""
_EVERYBODYS = frozenset(
    {
        "default",
        "environment variable",
        "configuration file",
        "command line",
        "global",
        "database",
        "override",
    }
)
"""Where a setting comes from that all sessions of a database have alike."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a connection sees. Reasons are for people, and empty where there is none."""

    always: str = ""
    """Why the cache may not speak for the connection, whatever the project says it sees."""
    unless_viewed: str = ""
    """Why it may not unless the project names the view."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """The same for single tables."""
    secured: frozenset[str] = frozenset()
    """Tables whose rows the database picks out by role and setting, perhaps not for this one."""
    schemas: str | None = None
    """The schemas in which it looks for tables, where several have one of the same name: sessions
    that began at other times may have another order of them."""


def may_ask(connection: Any) -> bool:
    """Whether a question can be answered in the transaction that the connection is in."""
    if connection.needs_rollback:
        return False
    if connection.vendor != "postgresql":
        return True
    return bool(connection.connection.info.transaction_status != _BROKEN)


def ask(connection: Any, cursor: Any, custom: Iterable[str], *, is_new: bool) -> Answer:
    """Ask what the connection sees, with a cursor made the way Django makes it.

    ``custom``: settings of the application's own that were seen in statements. ``is_new``: no
    statement has changed the view of the session yet.
    """
    asking = _QUESTIONS.get(connection.vendor)
    if asking is None:
        # Nothing can be told of what a statement has changed.
        return Answer() if is_new else Answer(always="a statement may have changed what it sees")
    return asking(connection, cursor, sorted(custom), is_new)


# PostgreSQL. No setting stands in the text: the watch would take it for a statement that sets it.
_POSTGRESQL = """SELECT current_user::text, session_user::text, current_schemas(false)::text[],
  (SELECT source FROM pg_catalog.pg_settings WHERE name = %s),
  (SELECT array_agg(ARRAY[name, setting]) FROM pg_catalog.pg_settings
   WHERE name = ANY(%s::text[]) AND setting IS DISTINCT FROM reset_val),
  (SELECT array_agg(name) FROM unnest(%s::text[]) AS name
   WHERE coalesce(current_setting(name, true), '') <> ''),
  (SELECT array_agg(DISTINCT ARRAY[c.relname::text, CASE
     WHEN c.relnamespace = pg_my_temp_schema() THEN 'temporary'
     WHEN c.relrowsecurity AND row_security_active(c.oid) THEN 'active'
     WHEN c.relrowsecurity THEN 'secured'
     ELSE c.relnamespace::text END, CASE WHEN c.relkind = 'v' THEN c.oid::text END])
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relname = ANY(%s::text[]) AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
   AND n.nspname <> 'information_schema'
   AND (n.oid = pg_my_temp_schema() OR n.nspname NOT LIKE 'pg\\_%%'))
"""


def _of_postgresql(connection: Any, cursor: Any, custom: list[str], is_new: bool) -> Answer:
    tables = _names()
    cursor.execute(
        _POSTGRESQL,
        ["search_path", [*_VIEW_SETTINGS, *_ANSWER_SETTINGS], custom, sorted(tables)],
    )
    user, session_user, schemas, source, changed, set_customs, places = cursor.fetchone()
    settings = dict(changed or ())
    if settings.get("TimeZone") == connection.timezone_name:
        # Django's own doing.
        del settings["TimeZone"]
    if settings.get("client_encoding") == "UTF8":
        # What Django asks for; a pooler may have had to set it.
        del settings["client_encoding"]
    found: dict[str, set[str]] = {}
    for name, place, _ in places or ():
        found.setdefault(name, set()).add(place)
    own_rows = dbviews.of_postgresql(cursor, [int(oid) for *_, oid in places or () if oid])
    hidden = sorted(name for name in found if "temporary" in found[name])
    always = ""
    if hidden:
        always = f"a temporary table hides {hidden[0]}"
    for name in settings.keys() - set(_VIEW_SETTINGS):
        always = f"its setting {name} was changed to {settings[name]!r}"
    unless_viewed = ""
    for name in settings.keys() & set(_VIEW_SETTINGS):
        unless_viewed = f"its setting {name} was changed to {settings[name]!r}"
    for name in set_customs or ():
        unless_viewed = f"its setting {name} may decide what it sees"
    logged_in = getattr(connection.connection.info, "user", session_user)
    if not is_new and session_user != logged_in:
        unless_viewed = f"its session was given to {session_user}"
    role = connection.settings_dict["OPTIONS"].get("assume_role")
    if user != session_user and user != role:
        unless_viewed = f"its role was changed to {user}"
    is_own = source not in _EVERYBODYS or user in schemas
    refused = {tables[name]: _OWN_ROWS.format(name) for name in own_rows}
    secured = set(refused)
    is_ambiguous = False
    for name, where in found.items():
        is_ambiguous |= len(where) > 1
        if not where.isdisjoint({"active", "secured"}):
            secured.add(tables[name])
        if "active" in where:
            refused[tables[name]] = f"row-level security decides which rows of {name} it sees"
        elif len(where) > 1 and is_own:
            refused[tables[name]] = (
                f"several schemas have a table {name}, and its search_path is its own"
            )
    path = repr(schemas) if is_ambiguous else None
    return Answer(always, unless_viewed, refused, frozenset(secured), path)


_OWN_ROWS = "the database view {} may show each connection rows of its own"


def _names() -> dict[str, str]:
    """The watched tables by their bare names."""
    return {name.replace('"', "").rpartition(".")[2]: name for name in watched_tables()}


def _unmanaged() -> list[str]:
    """The watched tables that Django did not make: they may be views."""
    return [
        name
        for name, watched in watched_tables().items()
        if watched.model is not None and not watched.model._meta.managed
    ]


# MySQL and MariaDB
_VARIABLES = (
    "sql_mode time_zone character_set_client character_set_results collation_connection"
    " sql_select_limit div_precision_increment group_concat_max_len max_sort_length"
    " default_week_format lc_time_names"
).split()
_first: dict[str, tuple[Any, ...]] = {}
"""By the settings of an alias: what its first connection was like."""


def _of_mysql(connection: Any, cursor: Any, custom: list[str], is_new: bool) -> Answer:
    names = list(_VARIABLES)
    if connection.mysql_is_mariadb and connection.mysql_version >= (10, 3):
        names.append("system_versioning_asof")
    cursor.execute(f"SELECT {', '.join(f'@@SESSION.{name}' for name in names)}")
    answer = cursor.fetchone()
    options = connection.settings_dict
    alias = repr([options.get(name) for name in ("HOST", "PORT", "USER", "OPTIONS")])
    expected = _first.get(alias)
    if expected is None and is_new:
        expected = _first.setdefault(alias, answer)
    if answer == expected:
        own_rows = dbviews.of_mysql(cursor, _unmanaged())
        refused = {name: _OWN_ROWS.format(name) for name in own_rows}
        return Answer(tables=refused, secured=frozenset(refused))
    changed = [n for n, a, b in zip(names, answer, expected or answer, strict=True) if a != b]
    return Answer(always=f"its variable {', '.join(changed) or names[0]} may have been changed")


# SQLite
_SQLITE = """SELECT 'database', name FROM pragma_database_list
UNION ALL SELECT 'temporary', name FROM sqlite_temp_master WHERE type IN ('table', 'view')
"""


def _of_sqlite(connection: Any, cursor: Any, custom: list[str], is_new: bool) -> Answer:
    cursor.execute(_SQLITE)
    found = cursor.fetchall()
    tables = {name.casefold() for name in watched_tables()}
    for kind, name in found:
        if kind == "temporary" and name.casefold() in tables:
            return Answer(always=f"a temporary table hides {name}")
        if kind == "database" and name not in ("main", "temp"):
            return Answer(always=f"the database {name} is attached")
    return Answer()


_Question = Callable[[Any, Any, list[str], bool], Answer]
_QUESTIONS: dict[str, _Question] = {
    "postgresql": _of_postgresql,
    "mysql": _of_mysql,
    "sqlite": _of_sqlite,
}
