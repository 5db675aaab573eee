"""The table of the outbox: whether it is there, and making it before all else.

The first ``migrate`` of a database writes to tables that matter (content types, permissions, data
migrations), perhaps while the store is away. Such a write needs the outbox, so its table is made
before the first migration runs.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from ormcache.outage.outbox import is_private
from ormcache.schema.watched import watched_tables

_VISIBLE = {
    "postgresql": "SELECT to_regclass(%s) IS NOT NULL",
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %s",
    "mysql": (
        "SELECT 1 FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name = %s"
    ),
}
_HERE = {
    **_VISIBLE,
    "postgresql": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = %s",
}


def exists(connection: Any) -> bool:
    """Whether the connection finds the table. Not counted as a query of the application."""
    quoted = connection.ops.quote_name(_name())
    is_quoted = connection.vendor == "postgresql"
    return _ask(connection, _VISIBLE, quoted if is_quoted else _name())


def is_made(connection: Any) -> bool:
    """Whether the table stands where a migration would make it: another schema of the search path
    may have one of its own."""
    return _ask(connection, _HERE, _name())


def is_wanted(alias: str) -> bool:
    """Whether the router lets a database have the table."""
    return bool(router.allow_migrate_model(alias, _model()))


def missing_from(alias: str) -> bool:
    """Whether a database that others share holds tables whose writes matter, and not this one.

    Raises the database's error.
    """
    connection = connections[alias]
    if is_private(connection):
        return False
    matter = (watched.model for watched in watched_tables().values())
    if not any(model and router.allow_migrate_model(alias, model) for model in matter):
        return False
    return not exists(connection)


def missing_text(alias: str) -> str:
    """What its absence means."""
    return (
        f"The database {alias!r} has no table {_name()}: while Redis is away, every write to the "
        "database fails."
    )


def missing_hint(alias: str) -> str:
    """How to mend it."""
    if is_wanted(alias):
        return f"Run manage.py migrate ormcache --database {alias}."
    return "Let the routers of DATABASE_ROUTERS allow the application ormcache there."


def make_first(using: str, plan: Any = (), **kwargs: Any) -> None:
    """On ``pre_migrate``: make the table if this run is going to make it anyway."""
    migration = next((each for each, back in plan if _makes_it(each) and not back), None)
    if migration is None and MigrationLoader.migrations_module("ormcache")[0] is not None:
        return
    connection = connections[using]
    if is_private(connection) or not is_wanted(using) or is_made(connection):
        return
    with connection.schema_editor() as editor:
        if migration is None:
            editor.create_model(_model())
        else:
            # As that migration has it: the model may have got columns that a later one adds.
            migration.apply(ProjectState(), editor)


def _makes_it(migration: Migration) -> bool:
    return (migration.app_label, migration.name) == ("ormcache", "0001_outbox")


def _ask(connection: Any, queries: dict[str, str], name: str) -> bool:
    connection.ensure_connection()
    query = queries.get(connection.vendor)
    # The connection's own cursor, without the wrapper that counts and logs.
    cursor: Any = connection.create_cursor()
    try:
        if query is None:
            return name in connection.introspection.table_names(cursor)
        cursor.execute(query, [name])
        found = cursor.fetchone()
    finally:
        cursor.close()
    return bool(found and found[0])


def _model() -> Any:
    return apps.get_model("ormcache", "OutboxEntry")


def _name() -> str:
    return str(_model()._meta.db_table)
