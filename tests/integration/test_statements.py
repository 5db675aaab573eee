"""Statements that are over later than they return, reach further than they say, or are sent
around Django's cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as project
from django.db import DatabaseError, IntegrityError, connection, transaction

from ormcache import cells, runtime
from ormcache.stats import counters
from tests.commands import execute_unseen, keys_of
from tests.integration.aliases import another_alias, sql
from tests.integration.authors import seen
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

on_servers = pytest.mark.skipif(
    project.TEST_DB == "sqlite", reason="a writer holds the whole database"
)
OLD, NEW = ("old", ["old"]), ("new", ["new"])


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert OLD == seen(author) == seen(author)
    return author


def name_new(author: Author, table: str = "testapp_author") -> str:
    return f"UPDATE {table} SET name = 'new' WHERE id = {author.pk}"


def is_marked() -> bool:
    keys = keys_of(Author)
    found = runtime.current().store.mget([keys.generation, keys.lists])[1]
    return any(map(cells.is_mark, found))


def driver() -> Any:
    connection.ensure_connection()
    return connection.connection


def on_driver(statement: str) -> None:
    cursor = driver().cursor()
    cursor.execute(statement)
    cursor.close()


# A transaction begun on the driver


def test_a_transaction_begun_on_the_driver(author: Author) -> None:
    """Its writes passed for committed, and others filled the old row again."""
    on_driver("BEGIN")
    sql(name_new(author))
    if project.TEST_DB != "sqlite":
        assert OLD == elsewhere(lambda: seen(author)) == elsewhere(lambda: seen(author))
    on_driver("COMMIT")
    assert NEW == elsewhere(lambda: seen(author))
    assert NEW == seen(author)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_it_ends_through_djangos_cursor(author: Author, end: str) -> None:
    on_driver("BEGIN")
    Author.objects.filter(pk=author.pk).update(name="new")
    author.name = "new"
    author.save()
    sql(end)
    assert (NEW if end == "COMMIT" else OLD) == elsewhere(lambda: seen(author)) == seen(author)


@on_servers
def test_a_driver_without_autocommit(author: Author) -> None:
    if connection.vendor == "postgresql":
        driver().autocommit = False
    else:
        driver().autocommit(False)
    sql(name_new(author))
    assert OLD == elsewhere(lambda: seen(author)) == elsewhere(lambda: seen(author))
    driver().commit()
    assert NEW == elsewhere(lambda: seen(author))
    connection.close()


@pytest.mark.postgres
def test_marks_that_expire_before_the_end_is_seen(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ormcache.writes.invalidation.STATEMENT_MARK_MS", 1)
    with driver().transaction():
        author.name = "new"
        author.save()
        assert OLD == elsewhere(lambda: seen(author)) == elsewhere(lambda: seen(author))
    sql("SELECT 1")
    assert NEW == elsewhere(lambda: seen(author))


@pytest.mark.postgres
def test_an_old_snapshot_of_a_transaction_begun_on_the_driver(author: Author) -> None:
    """What was read in it was stored for all."""
    on_driver("BEGIN ISOLATION LEVEL REPEATABLE READ")
    on_driver("SELECT 1 FROM testapp_author")
    elsewhere(lambda: Author.objects.filter(pk=author.pk).update(name="new"))
    seen(author)
    on_driver("COMMIT")
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


@pytest.mark.postgres
def test_an_isolation_level_set_on_the_driver(author: Author) -> None:
    """Within the minute for which the answer was remembered."""
    with transaction.atomic():
        Author.objects.exclude(slug="x").count()
    driver().isolation_level = 2  # REPEATABLE READ
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM testapp_author")
            elsewhere(lambda: Author.objects.filter(pk=author.pk).update(name="new"))
            seen(author)
    finally:
        connection.close()
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


@pytest.mark.mariadb
def test_an_isolation_level_set_in_a_session_by_the_driver(author: Author) -> None:
    with transaction.atomic():
        Author.objects.exclude(slug="x").count()
    on_driver("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM testapp_author")
            elsewhere(lambda: Author.objects.filter(pk=author.pk).update(name="new"))
            seen(author)
    finally:
        connection.close()
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


# Statements that are over later than they return


@pytest.mark.postgres
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_pipeline(author: Author, in_transaction: bool) -> None:
    """A statement returns before the server has it."""
    with driver().pipeline():
        if in_transaction:
            with transaction.atomic():
                sql(name_new(author))
        else:
            sql(name_new(author))
        assert elsewhere(lambda: seen(author)) in (OLD, NEW)
        elsewhere(lambda: seen(author))
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)
    assert not is_marked(), "once the pipeline has ended the marks are taken off"


@pytest.fixture
def several(author: Author) -> Iterator[Any]:
    """A connection that takes several statements in one text."""
    from MySQLdb.constants import CLIENT

    options = {
        **connection.settings_dict["OPTIONS"],
        "client_flag": CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
    }
    with another_alias("several", OPTIONS=options) as other:
        yield other


@pytest.mark.mariadb
def test_several_statements_in_one_text(author: Author, several: Any) -> None:
    """The second one runs on while the result of the first is read."""
    with several.cursor() as cursor:
        cursor.execute(f"SELECT 1; {name_new(author)}")
        # MariaDB happens to send the results of a text together; MySQL does not.
        assert is_marked()
        elsewhere(lambda: seen(author))
    assert NEW == elsewhere(lambda: seen(author))
    assert not is_marked()


@pytest.mark.mariadb
def test_the_last_of_several_results_is_read(author: Author, several: Any) -> None:
    cursor = several.cursor()
    cursor.execute(f"SELECT 1; {name_new(author)}; SELECT 2")
    while cursor.nextset():
        pass
    assert NEW == elsewhere(lambda: seen(author))
    assert not is_marked()
    cursor.close()


@pytest.mark.mariadb
def test_an_error_undoes_only_its_own_statement(author: Author, several: Any) -> None:
    with pytest.raises(IntegrityError), several.cursor() as cursor:
        cursor.execute(f"{name_new(author)}; UPDATE testapp_author SET slug = NULL")
        cursor.nextset()
    assert NEW == elsewhere(lambda: seen(author))


@pytest.mark.sqlite
@pytest.mark.parametrize("place", ["autocommit", "raw", "atomic"])
def test_a_script(author: Author, place: str) -> None:
    """``executescript`` passes no execute wrapper, and commits what was open."""
    with connection.cursor() as cursor:
        if place == "raw":
            cursor.execute("BEGIN")
            cursor.execute(name_new(author))
            cursor.executescript("SELECT 1;")
        elif place == "atomic":
            with transaction.atomic():
                cursor.execute("UPDATE testapp_author SET name = 'newer'")
                cursor.executescript(name_new(author))
        else:
            cursor.executescript(f"BEGIN; {name_new(author)}; COMMIT;")
    assert NEW == seen(author) == seen(author)


@pytest.mark.sqlite
@pytest.mark.parametrize("quotes", ["''", "[]", "``", '""'])
def test_names_in_the_quotes_that_sqlite_takes(author: Author, quotes: str) -> None:
    sql(name_new(author, f"{quotes[0]}testapp_author{quotes[1]}"))
    assert NEW == seen(author) == seen(author)


# Statements that reach further than they say


@pytest.mark.mariadb
@pytest.mark.parametrize(
    "statement",
    [
        "SET PASSWORD = PASSWORD('')",
        "FLUSH STATUS",
        "RESET QUERY CACHE",
        "ANALYZE TABLE testapp_comment",
        "CACHE INDEX testapp_comment IN default",
        "CREATE TABLE commits (a INT)",
        "START TRANSACTION",
    ],
)
def test_a_statement_that_commits_what_is_open(author: Author, statement: str) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(name_new(author))
            try:
                cursor.execute(statement)
                cursor.fetchall()
            except DatabaseError as error:
                pytest.skip(str(error))
            found = elsewhere(lambda: seen(author))
            cursor.execute("ROLLBACK")
        # If the server has not committed, it was right to read the old row.
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM testapp_author")
            assert [(found[0],)] == list(cursor.fetchall())
    finally:
        sql("DROP TABLE IF EXISTS commits")


@pytest.fixture
def untransactional(author: Author) -> Iterator[None]:
    sql(
        "SET FOREIGN_KEY_CHECKS = 0",
        "CREATE TABLE copy_of_author LIKE testapp_author",
        "ALTER TABLE copy_of_author ENGINE = MyISAM",
        "INSERT INTO copy_of_author SELECT * FROM testapp_author",
        "RENAME TABLE testapp_author TO real_author, copy_of_author TO testapp_author",
    )
    assert OLD == seen(author) == seen(author)
    try:
        yield
    finally:
        sql(
            "DROP TABLE testapp_author",
            "RENAME TABLE real_author TO testapp_author",
            "SET FOREIGN_KEY_CHECKS = 1",
        )


@pytest.mark.mariadb
@pytest.mark.parametrize("is_announced", [False, True])
def test_a_table_without_transactions(
    author: Author, untransactional: None, is_announced: bool
) -> None:
    """Others see it at once, and a rollback undoes nothing."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        if is_announced:
            Author.objects.filter(pk=author.pk).update(name="new")
        else:
            sql(name_new(author))
        assert NEW == elsewhere(lambda: seen(author))
        raise ZeroDivisionError
    assert NEW == elsewhere(lambda: seen(author)) == seen(author)


@pytest.mark.postgres
def test_a_type_whose_value_is_renamed(author: Author) -> None:
    """No table is named, and rows of any may have changed."""
    hits = counters["row_hit"]
    sql("CREATE TYPE mood AS ENUM ('sad', 'testapp_comment')")
    try:
        seen(author)
        assert hits < counters["row_hit"], "a new type changes nothing that was there"
        execute_unseen(name_new(author))
        sql("ALTER TYPE mood RENAME VALUE 'testapp_comment' TO 'happy'")
        assert NEW == seen(author)
    finally:
        sql("DROP TYPE mood")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("before", "statement"),
    [
        ("CREATE SCHEMA other", "DROP SCHEMA other CASCADE"),
        ("CREATE DOMAIN short AS text", "ALTER DOMAIN short SET DEFAULT 'a'"),
        (
            "SELECT 1",
            "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        ("CREATE TYPE mood AS ENUM ('sad')", "DO $$ BEGIN DROP TYPE mood CASCADE; END $$"),
    ],
)
def test_a_change_of_the_schema_that_names_no_table(
    author: Author, before: str, statement: str
) -> None:
    sql(before)
    seen(author)
    execute_unseen(name_new(author))
    assert "old" == seen(author)[0]
    try:
        sql(statement)
        assert NEW == seen(author)
    finally:
        sql("DROP DOMAIN IF EXISTS short")
