"""What the database committed, told by the database itself: triggers write every version of every
row into a table that is only ever appended to, in the same transaction.

The operation that made a version is named by a setting of the session. Both are beyond the reach
of the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management import call_command
from django.db import connection

BOOK, SHELF = "book", "shelf"
SEEDING = 1
"""The operation that put in what was there before the run."""


class Version(NamedTuple):
    """One committed state of a row. ``shelf`` is ``None`` where the row was deleted."""

    table: str
    pk: int
    version: int
    shelf: int | None
    operation: int
    shown: bool = True
    """This and ``stars`` are a book's; where it was deleted they say nothing."""
    stars: int = 0


_POSTGRES = """
CREATE TABLE journal (id bigserial PRIMARY KEY, kind text NOT NULL, pk bigint NOT NULL,
    version bigint NOT NULL, operation bigint NOT NULL,
    shelf bigint, shown boolean NOT NULL, stars bigint NOT NULL);
CREATE FUNCTION journal_{kind}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO journal (kind, pk, version, operation, shelf, shown, stars) VALUES
            ('{kind}', OLD.id, OLD.version, current_setting('history.operation')::bigint, {gone});
    ELSE
        INSERT INTO journal (kind, pk, version, operation, shelf, shown, stars) VALUES
            ('{kind}', NEW.id, NEW.version, current_setting('history.operation')::bigint, {there});
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER journal AFTER INSERT OR UPDATE OR DELETE ON history_{kind}
    FOR EACH ROW EXECUTE FUNCTION journal_{kind}();
"""
_MARIADB = """
CREATE TABLE journal (id bigint AUTO_INCREMENT PRIMARY KEY, kind varchar(5) NOT NULL,
    pk bigint NOT NULL, version bigint NOT NULL, operation bigint NOT NULL,
    shelf bigint, shown boolean NOT NULL, stars bigint NOT NULL);
CREATE TRIGGER {kind}_insert AFTER INSERT ON history_{kind} FOR EACH ROW
    INSERT INTO journal VALUES (NULL, '{kind}', NEW.id, NEW.version, @operation, {there});
CREATE TRIGGER {kind}_update AFTER UPDATE ON history_{kind} FOR EACH ROW
    INSERT INTO journal VALUES (NULL, '{kind}', NEW.id, NEW.version, @operation, {there});
CREATE TRIGGER {kind}_delete AFTER DELETE ON history_{kind} FOR EACH ROW
    INSERT INTO journal VALUES (NULL, '{kind}', OLD.id, OLD.version, @operation, {gone});
"""
# A shelf stands on no shelf; it only has to tell that it exists.
_THERE = {BOOK: "NEW.shelf_id, NEW.shown, NEW.stars", SHELF: "0, TRUE, 0"}
_GONE = "NULL, TRUE, 0"
_NAME_OPERATION = {
    "postgresql": "SELECT set_config('history.operation', '%d', false)",
    "mysql": "SET @operation = %d",
}


def name_operation(operation: int) -> None:
    """What this connection writes from now on is journalled as that operation's.

    Through the driver, which nothing watches.
    """
    connection.ensure_connection()
    _run(_NAME_OPERATION[connection.vendor] % operation)


def versions() -> Iterator[Version]:
    """Everything committed, in the order of its commits as far as one row is concerned: the
    journal is written while the row is locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, pk, version, shelf, operation, shown, stars FROM journal ORDER BY id"
        )
        for row in cursor:
            yield Version(*row)


@contextmanager
def database(books: int, shelves: int) -> Iterator[None]:
    """A database of this run's own with tables, triggers and rows; dropped afterwards."""
    name = settings.DATABASES["default"]["NAME"]
    with administrator() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        call_command("migrate", run_syncdb=True, verbosity=0)
        _create_journal()
        name_operation(SEEDING)
        for pk in range(1, shelves + 1):
            _run(f"INSERT INTO history_shelf (id, version) VALUES ({pk}, 0)")
        for pk in range(1, books + 1):
            values = f"({pk}, 0, {1 + pk % shelves}, TRUE, {pk % 10})"
            columns = "id, version, shelf_id, shown, stars"
            _run(f"INSERT INTO history_book ({columns}) VALUES {values}")
        connection.close()
        yield
    finally:
        connection.close()
        force = " WITH (FORCE)" if connection.vendor == "postgresql" else ""
        with administrator() as cursor:
            cursor.execute(f"DROP DATABASE {name}{force}")


def _create_journal() -> None:
    text = {"postgresql": _POSTGRES, "mysql": _MARIADB}[connection.vendor]
    separator = "\nCREATE "
    table, *triggers = text.split(separator)[1:]
    _run(f"CREATE {table}")
    for kind, there in _THERE.items():
        for trigger in triggers:
            _run(f"CREATE {trigger.format(kind=kind, there=there, gone=_GONE)}")
    if connection.vendor == "postgresql":
        # Rows are put in with their keys; what the sequence gives later must not meet these.
        _run("ALTER SEQUENCE history_book_id_seq RESTART WITH 1000001")
    else:
        _run("ALTER TABLE history_book AUTO_INCREMENT = 1000001")


def _run(statement: str) -> None:
    cursor: Any = connection.connection.cursor()
    try:
        with connection.wrap_database_errors:
            cursor.execute(statement)
    finally:
        cursor.close()


@contextmanager
def administrator() -> Iterator[Any]:
    """A cursor outside the run's database, for the supervisor: it creates, drops and kills."""
    config = settings.DATABASES["default"]
    who = {key: config[name] for key, name in (("host", "HOST"), ("user", "USER"))}
    driver: Any
    if connection.vendor == "postgresql":
        import psycopg

        driver = psycopg.connect(
            **who,
            port=config["PORT"],
            password=config["PASSWORD"],
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )
    else:
        import MySQLdb

        driver = MySQLdb.connect(
            **who,
            port=int(config["PORT"]),
            password=config["PASSWORD"],
            connect_timeout=5,
            autocommit=True,
        )
    try:
        yield driver.cursor()
    finally:
        driver.close()
