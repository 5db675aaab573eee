"""What MySQL does to a transaction with a text, and mysqlclient does not say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from django.db import Error, OperationalError, connection, transaction

from ormcache.database import drivers
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from tests.integration.aliases import sql
from tests.integration.authors import seen
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb]

OLD, NEW = ("old", ["old"]), ("new", ["new"])


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Iterator[Author]:
    sql(
        "CREATE TABLE begun (a INT PRIMARY KEY)",
        "CREATE PROCEDURE opens() BEGIN START TRANSACTION; END",
        "CREATE PROCEDURE ends() BEGIN COMMIT; END",
    )
    author = Author.objects.create(name="old", slug="a")
    assert OLD == seen(author) == seen(author)
    yield author
    connection.close()
    sql(
        "DROP TABLE IF EXISTS begun, made",
        "DROP PROCEDURE opens",
        "DROP PROCEDURE ends",
    )


def by_django(*texts: str) -> None:
    for text in texts:
        with connection.cursor() as cursor:
            cursor.execute(text)
            while cursor.nextset():
                pass


def by_driver(*texts: str) -> None:
    connection.ensure_connection()
    for text in texts:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text)
            while cursor.nextset():
                pass
        finally:
            cursor.close()


both = pytest.mark.parametrize("send", [by_django, by_driver])


def errors() -> tuple[type[Exception], ...]:
    """Django's, and the driver's own."""
    import MySQLdb

    return Error, MySQLdb.Error


def is_open() -> bool:
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute("SELECT @@in_transaction OR NOT @@autocommit")
    (found,) = cursor.fetchone()
    cursor.close()
    return bool(found)


def is_cached(author: Author) -> bool:
    seen(author)
    hits = counters["row_hit"], counters["list_hit"]
    seen(author)
    return hits[0] < counters["row_hit"] and hits[1] < counters["list_hit"]


@both
@pytest.mark.parametrize("end", ["COMMIT -- back to normal", "SELECT 1; COMMIT"])
@pytest.mark.parametrize(
    "texts",
    [
        ["SET @a = 1; BEGIN"],
        ["SET @a = 'it\\'s'; BEGIN"],
        ["COMMIT; BEGIN"],
        ["/*!50000 BEGIN */"],
        ["START TRANSACTION WITH CONSISTENT SNAPSHOT"],
        ["BEGIN", "COMMIT AND CHAIN"],
        ["BEGIN", "SAVEPOINT a", "ROLLBACK TO a"],
        ["BEGIN", "ROLLBACK WORK TO SAVEPOINT a -- unknown"],
        ["BEGIN", "SET autocommit = 1"],
        ["BEGIN", "SET @autocommit = 1"],
        ["BEGIN; UPDATE testapp_tag SET nosuch = 1; COMMIT"],
        ["BEGIN NOT ATOMIC START TRANSACTION; END"],
        ["EXECUTE IMMEDIATE 'BEGIN'"],
        ["CALL opens()"],
    ],
    ids="; ".join,
)
def test_what_begins_a_transaction(
    author: Author, send: Callable[..., None], texts: list[str], end: str
) -> None:
    """What was written in it passed for committed, and others filled the old row for good."""
    for text in texts:
        with suppress(*errors()):
            send(text)
    assert is_open()
    by_django(f"UPDATE testapp_author SET name = 'new' WHERE id = {author.pk}")
    assert OLD == elsewhere(lambda: seen(author)) == elsewhere(lambda: seen(author))
    by_django(end)
    assert not is_open()
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)
    assert is_cached(author)


@both
@pytest.mark.parametrize(
    "texts",
    [
        ["BEGIN; UPDATE testapp_author SET name = 'new'; COMMIT"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "COMMIT -- back to normal"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "COMMIT AND NO CHAIN"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "CREATE TABLE made (a INT)"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "ALTER TABLE begun COMMENT 'x'"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "LOCK TABLES begun READ"],
        ["BEGIN", "UPDATE testapp_author SET name = 'new'", "TRUNCATE begun"],
        ["BEGIN NOT ATOMIC UPDATE testapp_author SET name = 'new'; END"],
        ["BEGIN", "ROLLBACK /* to */", "UPDATE testapp_author SET name = 'new'"],
        ["SET autocommit = 0", "UPDATE testapp_author SET name = 'new'", "SET autocommit = 1"],
        ["CALL ends()", "UPDATE testapp_author SET name = 'new'"],
        ["BEGIN frobnicate", "UPDATE testapp_author SET name = 'new'"],
        ["UPDATE testapp_author SET name = 'new'", "UPDATE testapp_tag SET name = '; BEGIN'"],
    ],
    ids="; ".join,
)
def test_what_ends_a_transaction(
    author: Author, send: Callable[..., None], texts: list[str]
) -> None:
    """It passed for one that goes on: no read of the process was cached any more."""
    for text in texts:
        # What the driver's own cursor writes is not watched.
        by = by_django if text.startswith(("UPDATE", "BEGIN;", "BEGIN NOT")) else send
        with suppress(*errors()):
            by(text)
    assert not is_open()
    by_django("UNLOCK TABLES")
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)
    assert is_cached(author)
    assert Author.objects.all().explain_cache().not_stored == ()


def answer(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server be asked in the way of another one, or not at all."""
    if way == "MySQL":
        asked = partial(drivers._of_mysql, setting=b"tx_read_only")
        monkeypatch.setattr(drivers, "_asked", asked)
    elif way == "none":
        monkeypatch.setattr(drivers, "_asked", lambda driver: drivers.Left.PERHAPS)


@both
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "atomic", "a schema"])
def test_a_text_of_which_nobody_knows(
    author: Author,
    send: Callable[..., None],
    end: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is stored, for a reason that is told, until a transaction has surely ended."""
    reason = "a statement may have begun a transaction that no COMMIT has ended yet"
    answer("none", monkeypatch)
    send("CALL ends()")
    assert not is_open()
    with caplog.at_level(logging.DEBUG, "ormcache"):
        Author.objects.filter(slug="b").count()
    assert f"ormcache.fill.refused: {reason}" in caplog.messages
    assert Author.objects.all().explain_cache().not_stored == (reason,)
    author.name = "new"
    author.save()
    assert NEW == elsewhere(lambda: seen(author))
    if end == "atomic":
        with transaction.atomic():
            pass
    else:
        by_django("ALTER TABLE begun COMMENT 'x'" if end == "a schema" else end)
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)
    assert is_cached(author)
    assert Author.objects.all().explain_cache().not_stored == ()


@pytest.mark.parametrize("way", ["MariaDB", "MySQL"])
@pytest.mark.parametrize("text", ["CALL ends()", "/*!99999 BEGIN */", "BEGIN; SELECT nosuch"])
def test_the_server_is_asked(
    author: Author, way: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(way, monkeypatch)
    with suppress(*errors()):
        by_django(text)
    assert state_of(connection).in_transaction is is_open() is text.startswith("BEGIN")
    # And the next transaction is what it would have been.
    by_django("ROLLBACK", "UPDATE testapp_author SET name = 'new'")
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)
    assert is_cached(author)


def test_the_server_is_not_asked_in_between(author: Author) -> None:
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute("BEGIN; SELECT 1; SELECT 2")
    assert state_of(connection).in_transaction
    assert drivers.has_perhaps_begun(connection)
    assert cursor.nextset()
    assert state_of(connection).in_transaction
    assert [(1,)] == list(cursor.fetchall())
    cursor.close()
    assert state_of(connection).in_transaction
    assert not drivers.has_perhaps_begun(connection)


def test_a_procedure_that_ends_what_was_begun(author: Author) -> None:
    """What was written after it waited for a COMMIT that nobody needed any more."""
    by_django("BEGIN", "CALL ends()")
    by_django("UPDATE testapp_author SET name = 'new'")
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


def test_a_procedure_that_commits_in_an_atomic_block(author: Author) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        by_django("UPDATE testapp_author SET name = 'new'", "CALL ends()")
        assert NEW == elsewhere(lambda: seen(author))
        raise ZeroDivisionError
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


def test_a_transaction_that_the_server_has_rolled_back(author: Author) -> None:
    """After a deadlock it is over, and what is written then is committed at once."""
    locks = "SELECT a FROM begun WHERE a = {} FOR UPDATE".format
    by_django("INSERT INTO begun VALUES (1), (2)", "BEGIN", locks(1))
    holds = threading.Event()

    def other() -> None:
        # Of two the server rolls back the one that has written less.
        by_django("BEGIN", f"INSERT INTO begun VALUES {', '.join(f'({n})' for n in range(9, 99))}")
        by_django(locks(2))
        holds.set()
        by_django(locks(1), "COMMIT")
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    assert holds.wait(10)
    with pytest.raises(OperationalError, match="1213"):
        by_django(locks(2))
    thread.join(10)
    by_django("UPDATE testapp_author SET name = 'new'")
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


TEXTS = """
SELECT 1
SELECT 'it\\'s; BEGIN'
SELECT 1; COMMIT
SELECT 1; BEGIN
SELECT 'it\\'s'; COMMIT
SELECT 'it\\'s'; BEGIN
DO 1
BEGIN
BEGIN; COMMIT
BEGIN; UPDATE nosuch SET a = 1; COMMIT
BEGIN frobnicate
COMMIT; BEGIN
COMMIT
COMMIT AND CHAIN
COMMIT AND NO CHAIN
COMMIT /*!50000 AND CHAIN */
ROLLBACK
ROLLBACK AND CHAIN
ROLLBACK TO nosuch
START TRANSACTION READ ONLY
SET autocommit = 1
SET autocommit = 0
SET autocommit = 0; SET autocommit = 1
SET @autocommit = 0
SET PASSWORD = PASSWORD('')
SET STATEMENT max_statement_time = 1 FOR COMMIT
SET STATEMENT max_statement_time = 1 FOR BEGIN
/*!50000 BEGIN */
/*!99999 BEGIN */
/*!99999 COMMIT */
/*M!100000 COMMIT */
CREATE TABLE made (a INT)
CREATE TABLE begun (a INT)
CREATE TEMPORARY TABLE made (a INT)
CREATE OR REPLACE VIEW made AS SELECT 1
CREATE OR REPLACE PROCEDURE made() BEGIN COMMIT; START TRANSACTION; END
CREATE OR REPLACE PROCEDURE made() SELECT 1; BEGIN
ALTER TABLE begun COMMENT 'y'
ALTER TABLE nosuch COMMENT 'y'
DROP TABLE IF EXISTS made
DROP TEMPORARY TABLE IF EXISTS made
RENAME TABLE nosuch TO nosuch2
TRUNCATE begun
LOCK TABLES begun READ
UNLOCK TABLES
FLUSH STATUS
ANALYZE TABLE begun
OPTIMIZE TABLE begun
CHECK TABLE begun
BACKUP LOCK begun
BACKUP UNLOCK
CALL opens()
CALL ends()
EXECUTE IMMEDIATE 'BEGIN'
EXECUTE IMMEDIATE 'COMMIT'
BEGIN NOT ATOMIC SELECT 1; END
BEGIN NOT ATOMIC START TRANSACTION; END
IF 1 THEN START TRANSACTION; END IF
IF 1 THEN COMMIT; END IF
IF 1 THEN COMMIT AND CHAIN; END IF
BEGIN; IF 1 THEN SELECT 1; END IF
XA START 'begun'; XA END 'begun'; XA ROLLBACK 'begun'
XA START 'begun'
""".strip().split("\n")


@pytest.mark.parametrize(
    ("send", "way"),
    [(by_django, "none"), (by_driver, "none"), (by_django, "MariaDB"), (by_driver, "MySQL")],
)
@pytest.mark.parametrize("before", ["", "BEGIN", "SET autocommit = 0"])
def test_no_transaction_passes_for_none(
    author: Author,
    send: Callable[..., None],
    before: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the words say."""
    answer(way, monkeypatch)
    for text in TEXTS:
        if before:
            send(before)
        with suppress(*errors()):
            send(text)
        was_open, state = is_open(), state_of(connection)
        assert state.in_transaction or not was_open, text
        # And what is seen to go on does so.
        assert state.in_transaction is was_open or state.is_begun_unseen, text
        connection.close()
        by_django("DROP VIEW IF EXISTS made", "DROP PROCEDURE IF EXISTS made")
