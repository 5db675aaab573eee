"""Connections, transactions and statements that are not the ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.conf import settings as project
from django.db import IntegrityError, OperationalError, connection, models, transaction
from django.test.utils import isolate_apps
from pytest_django import Settings

from ormcache import invalidate
from ormcache.stats import counters
from tests.commands import execute_unseen
from tests.integration.aliases import another_alias, sql
from tests.integration.authors import seen, stored
from tests.integration.interleave import elsewhere, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, CachedVisitor, Category, Comment, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

not_on_sqlite = pytest.mark.skipif(
    project.TEST_DB == "sqlite", reason="a writer holds the whole database"
)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def author() -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"]) == seen(author)
    return author


def name_new(author: Author, *, table: str = "testapp_author") -> str:
    return f"UPDATE {table} SET name = 'new' WHERE id = {author.pk}"


# Statements that commit by themselves


@contextmanager
def around(step: Callable[[], None], place: str) -> Iterator[None]:
    """Run ``step`` once, before the transaction of the next UPDATE or DELETE of this connection,
    in it before the statement, or after the statement."""

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_write = sql.startswith(("UPDATE", "DELETE"))
        if is_write and place != "after":
            step()
        result = execute(sql, params, many, context)
        if is_write and place == "after":
            step()
        return result

    wrappers = connection.execute_wrappers
    wrappers.insert(0 if place == "outside" else len(wrappers), wrapper)
    try:
        yield
    finally:
        wrappers.remove(wrapper)


@pytest.mark.parametrize("place", ["outside", "inside", "after"])
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_a_row_that_moves_before_a_statement_of_its_own(verb: str, place: str) -> None:
    """The partition of an old row was taken from its cell before the statement held its lock: a
    row moved by another in between left the lists of its new partition as they were."""
    if connection.vendor == "sqlite" and place != "outside":
        pytest.skip("a writer holds the whole database")
    author = Author.objects.create(name="x", slug="x")
    one, other = (Article.objects.create(title=f"t{i}", author=author) for i in range(2))
    comment = Comment.objects.create(article=one, text="old")

    def texts() -> list[list[str]]:
        return [
            list(Comment.objects.filter(article=each).values_list("text", flat=True))
            for each in (one, other)
        ]

    def move() -> None:
        if place == "after":
            # The statement holds the lock; readers see what was there before it.
            assert [["old"], []] == texts()
        else:
            Comment.objects.filter(pk=comment.pk).update(article=other)
            assert [[], ["old"]] == texts()
        assert "old" == Comment.objects.get(pk=comment.pk).text

    Comment.objects.get(pk=comment.pk)
    assert [["old"], []] == texts()
    with around(once(move), place):
        if verb == "update":
            assert 1 == Comment.nocache.filter(pk=comment.pk).update(text="new")
        else:
            comment.delete()
    expected = [["new"] if verb == "update" else [], []]
    assert (expected if place == "after" else expected[::-1]) == texts()
    assert ["new"] * (verb == "update") == [each.text for each in Comment.objects.all()]


@pytest.mark.parametrize("warm", [True, False], ids=["cell there", "cell absent"])
def test_columns_in_another_case(author: Author, warm: bool) -> None:
    """A column that raw SQL named in capitals was none of the table's, and nothing changed."""
    if connection.vendor == "postgresql":
        pytest.skip("quoted names are told apart by case")

    def count() -> int:
        return Author.objects.filter(name="new").count()

    if not warm:
        Author.objects.filter(pk=author.pk).update(active=False)
    assert [0, 0] == [count(), count()]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {quote('testapp_author')} SET {quote('NAME')} = %s "
            f"WHERE {quote('testapp_author')}.{quote('id')} = %s",
            ["new", author.pk],
        )
    assert 1 == count()
    assert ("new", ["new"]) == seen(author)


def test_a_write_hidden_in_an_insert(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that updates other rows of the table while one is inserted, as those that keep
    positions do, passed as a part of the INSERT."""

    def pre_save(instance: Author, add: bool) -> str:
        if add:
            Author.nocache.filter(name="old").update(name="new")
        return instance.slug

    monkeypatch.setattr(Author._meta.get_field("slug"), "pre_save", pre_save)
    Author.objects.create(name="other", slug="b")
    assert ("new", ["new", "other"]) == seen(author)


def test_a_plain_model_and_a_cached_one_share_a_table() -> None:
    """Writes through the plain model, whose table counted as one without cells, left the rows of
    its cached mirror as they were."""
    visitor = Visitor.objects.create(name="old")

    def read() -> tuple[str, list[str], int]:
        return (
            CachedVisitor.objects.get(pk=visitor.pk).name,
            [each.name for each in CachedVisitor.objects.order_by("name")],
            CachedVisitor.objects.filter(name="new").count(),
        )

    def rename(name: str) -> None:
        mirrored = CachedVisitor.objects.get(pk=visitor.pk)
        mirrored.name = name
        mirrored.save()

    writes: list[Callable[[str], Any]] = [
        lambda name: Visitor.objects.filter(pk=visitor.pk).update(name=name),
        lambda name: Visitor.objects.update(name=name),
        lambda name: CachedVisitor.objects.filter(pk=visitor.pk).update(name=name),
        rename,
    ]
    for write in writes:
        for name, count in (("old", 0), ("new", 1)):
            write(name)
            assert [(name, [name], count)] * 2 == [read(), read()]
    visitor.delete()
    assert not CachedVisitor.objects.exists()
    with pytest.raises(CachedVisitor.DoesNotExist):
        CachedVisitor.objects.get(pk=visitor.pk or 1)


class TimeLimit(Exception):
    """Of a job, say: raised wherever the program is."""


@pytest.mark.parametrize("error", [OperationalError, IntegrityError, TimeLimit, ValueError])
def test_a_statement_of_unknown_outcome(author: Author, error: type[Exception]) -> None:
    """Only what the driver reports is known to have failed: else the cells stay marked."""

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise error
        return execute(sql, *rest)

    with connection.execute_wrapper(fail), pytest.raises(error):
        sql(name_new(author))
    hits = counters["row_hit"]
    for _ in range(2):
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    assert hits == counters["row_hit"]
    # The server makes it after all.
    execute_unseen(name_new(author))
    assert ("new", ["new"]) == seen(author)


def test_a_statement_that_the_server_refuses(author: Author) -> None:
    with pytest.raises(IntegrityError):
        sql(f"UPDATE testapp_author SET slug = NULL WHERE id = {author.pk}")
    hits = counters["row_hit"]
    for _ in range(2):
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    assert hits < counters["row_hit"]


# Transactions that Django does not know


def test_a_temporary_table_of_the_same_name(author: Author) -> None:
    """It hides the real one from this connection alone."""

    def read() -> tuple[str, list[str]]:
        columns = "id, 'hidden' AS name, slug, active, created"
        sql(f"CREATE TEMPORARY TABLE testapp_author AS SELECT {columns} FROM testapp_author")
        assert stored(author) == seen(author)
        return seen(author)

    assert ("hidden", ["hidden"]) == elsewhere(read)
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))


@not_on_sqlite
def test_a_transaction_begun_in_one_text_with_its_write(author: Author) -> None:
    """BEGIN is seen in front of another statement: that one is not over until COMMIT."""
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {name_new(author)}")
        while cursor.nextset():
            pass
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
        cursor.execute("COMMIT")
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


@pytest.mark.parametrize("writes", ["SQL", "Django"])
@pytest.mark.parametrize("text", ["CREATE TABLE own (start int)", "a body"])
def test_a_word_that_begins_no_transaction(author: Author, text: str, writes: str) -> None:
    """A column named ``start``, or the BEGIN of a trigger, passed for the begin of a transaction:
    whatever the connection wrote afterwards waited for a COMMIT that never came."""
    update = "UPDATE testapp_tag SET name = 'x'"
    made, drop = {
        "sqlite": (f"TRIGGER own AFTER INSERT ON testapp_tag BEGIN {update}; END", "TRIGGER"),
        "postgresql": (f"PROCEDURE own() LANGUAGE sql BEGIN ATOMIC {update}; END", "PROCEDURE"),
        "mysql": (f"PROCEDURE own() BEGIN {update}; END", "PROCEDURE"),
    }[connection.vendor]
    is_table = text != "a body"
    sql(text if is_table else f"CREATE {made}")
    try:
        if writes == "SQL":
            sql(name_new(author))
        else:
            author.name = "new"
            author.save()
        assert ("new", ["new"]) == elsewhere(lambda: seen(author))
    finally:
        sql(f"DROP {'TABLE' if is_table else drop} own")


@not_on_sqlite
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_chained_transaction(author: Author, end: str) -> None:
    """After COMMIT AND CHAIN the next transaction passed for none: its write was released at once
    and readers filled in what it replaced."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"{end} AND CHAIN")
        cursor.execute(name_new(author))
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
        cursor.execute("COMMIT")
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))
    assert ("new", ["new"]) == seen(author)


@pytest.mark.mariadb
@pytest.mark.parametrize("phases", [1, 2])
def test_a_distributed_transaction(author: Author, phases: int) -> None:
    """The statements of an XA transaction counted as committed one by one."""
    name = f"'{project.RUN_NAME}'"
    with connection.cursor() as cursor:
        cursor.execute(f"XA START {name}")
        cursor.execute(name_new(author))
        cursor.execute(f"XA END {name}")
        if phases == 2:
            cursor.execute(f"XA PREPARE {name}")
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
        cursor.execute(f"XA COMMIT {name}" + " ONE PHASE" * (phases == 1))
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))
    assert ("new", ["new"]) == seen(author)


@pytest.mark.postgres
@pytest.mark.parametrize("who", ["the same connection", "another"])
def test_a_prepared_transaction(author: Author, who: str) -> None:
    """COMMIT PREPARED made changes visible that nobody invalidated any more."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_prepared_transactions")
        if cursor.fetchone() == ("0",):
            pytest.skip("max_prepared_transactions is 0")
    name = f"'{project.RUN_NAME}'"
    sql("BEGIN", name_new(author), f"PREPARE TRANSACTION {name}")
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    if who == "another":
        elsewhere(lambda: sql(f"COMMIT PREPARED {name}"))
    else:
        sql(f"COMMIT PREPARED {name}")
    assert ("new", ["new"]) == seen(author)
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


def test_a_savepoint_outside_a_transaction(author: Author) -> None:
    """SQLite begins a transaction with it: the writes counted as committed one by one."""
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        cursor.execute(name_new(author))
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
        cursor.execute("RELEASE a")
        assert ("new", ["new"]) == elsewhere(lambda: seen(author))
        cursor.execute("SAVEPOINT a")
        cursor.execute(f"UPDATE testapp_author SET name = 'undone' WHERE id = {author.pk}")
        cursor.execute("ROLLBACK TO a")
        cursor.execute("RELEASE a")
    assert ("new", ["new"]) == seen(author)


@pytest.mark.postgres
def test_copy_into_a_table(author: Author) -> None:
    """Rows that came with COPY passed no hook: counts and lists went on without them."""
    assert 1 == Author.objects.count()
    command = "COPY testapp_author (name, slug, active, created) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        copy.write_row(("new", "b", True, "2020-01-01 00:00:00+00"))
    assert 2 == Author.objects.count()
    assert ("old", ["new", "old"]) == seen(author)
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(command) as copy:
            copy.write_row(("newer", "c", True, "2020-01-01 00:00:00+00"))
        assert ("old", ["new", "newer", "old"]) == seen(author)
        assert ["new", "old"] == elsewhere(lambda: seen(author))[1]
    assert ("old", ["new", "newer", "old"]) == elsewhere(lambda: seen(author))


@pytest.mark.postgres
def test_a_streamed_statement(author: Author) -> None:
    """The rows a statement writes and streams back passed no hook."""
    with connection.cursor() as cursor:
        returned = list(cursor.stream(f"{name_new(author)} RETURNING id"))
    assert [(author.pk,)] == returned
    assert ("new", ["new"]) == seen(author)
    with connection.cursor() as cursor:
        assert [("new",)] == list(cursor.stream("SELECT name FROM testapp_author"))


# What a connection sees


def test_a_cursor_half_read(author: Author) -> None:
    """A SQLite cursor that is neither read to its end nor closed keeps the snapshot of all later
    statements: what they read was filled in as the newest."""
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    Author.objects.bulk_create([Author(name="z", slug=f"z{i}") for i in range(300)])
    half_read: Any = Author.objects.order_by("pk").iterator(chunk_size=10)
    next(half_read)
    elsewhere(lambda: Author.objects.filter(pk=author.pk).update(name="new"))
    Author.objects.get(pk=author.pk)
    Author.objects.order_by("name").first()
    half_read.close()
    assert "new" == Author.objects.get(pk=author.pk).name
    assert "new" == elsewhere(lambda: Author.objects.get(pk=author.pk).name)
    assert "new" == getattr(Author.objects.order_by("name").first(), "name", None)


def test_closing_a_database_in_memory_closes_nothing() -> None:
    """The writes of a transaction were forgotten by a ``close()`` that left it open."""
    engine = "django.db.backends.sqlite3"
    with another_alias("memory", ENGINE=engine, NAME=":memory:", OPTIONS={}) as memory:
        with memory.schema_editor() as editor:
            editor.create_model(Category)
        category = Category.objects.using("memory").create(slug="a", title="old")

        def title() -> str:
            return Category.objects.using("memory").get(pk=category.pk).title

        assert ["old", "old"] == [title(), title()]
        with transaction.atomic(using="memory"):
            Category.objects.using("memory").filter(pk=category.pk).update(title="new")
            memory.close()
            assert "new" == title()
        assert ["new", "new"] == [title(), title()]


def other_port() -> str:
    """The same server by another spelling: the drivers read a number, SQLite nothing."""
    return "0" + str(connection.settings_dict["PORT"])


class ReadsElsewhere:
    def __init__(self, alias: str) -> None:
        self._alias = alias

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return self._alias if model is Author else None


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_router_that_reads_another_database(author: Author, settings: Settings) -> None:
    """A database that is only read was answered with the rows of the one that is written."""
    Author.objects.using("other").create(pk=author.pk, name="in other", slug="x")
    settings.DATABASE_ROUTERS = [ReadsElsewhere("other")]
    for _ in range(2):
        assert ("in other", ["in other"]) == seen(author)
        assert ("in other", ["in other"]) == stored(author)
    Author.objects.using("other").filter(pk=author.pk).update(name="newer")
    assert ("newer", ["newer"]) == seen(author)
    assert "old" == Author.objects.using("default").get(pk=author.pk).name


def test_a_router_that_reads_a_mirror(author: Author, settings: Settings) -> None:
    """A copy of another name is known by the settings of its tests."""
    if connection.vendor != "sqlite":
        pytest.skip("a database has one name there")
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}
    name = str(connection.settings_dict["NAME"]).replace("/", "//")
    with another_alias("mirror", NAME=name, TEST={"MIRROR": "default"}):
        settings.DATABASE_ROUTERS = [ReadsElsewhere("mirror")]
        assert ("old", ["old"]) == seen(author)
        Author.objects.using("default").filter(pk=author.pk).update(name="new")
        assert ("new", ["new"]) == seen(author)


def test_a_router_that_reads_a_copy(author: Author, settings: Settings) -> None:
    """A copy of the same name on another server has the cells of the database it follows, so that
    writes to that one invalidate what is read through the copy."""
    with another_alias("copy", PORT=other_port()):
        settings.DATABASE_ROUTERS = [ReadsElsewhere("copy")]
        Author.objects.get(pk=author.pk)
        hits = counters["row_hit"]
        read = Author.objects.get(pk=author.pk)
        assert ("old", "copy") == (read.name, read._state.db)
        assert hits + 1 == counters["row_hit"]
        Author.objects.using("default").filter(pk=author.pk).update(name="new")
        assert ("new", ["new"]) == seen(author)
        Author.objects.filter(pk=author.pk).update(name="newer")
        assert ("newer", ["newer"]) == seen(author)


def test_invalidating_what_was_read_from_a_copy(author: Author, settings: Settings) -> None:
    """The instance bears the alias of the copy, the cells are those of the database it follows."""
    with another_alias("copy", PORT=other_port()):
        settings.DATABASE_ROUTERS = [ReadsElsewhere("copy")]
        assert ("old", ["old"]) == seen(author)
        read = Author.objects.get(pk=author.pk)
        execute_unseen(f"UPDATE testapp_author SET name = 'new' WHERE id = {author.pk:d}")
        assert ("old", ["old"]) == seen(author)
        invalidate(read)
        assert ("new", ["new"]) == seen(author)


def test_two_aliases_of_one_database(author: Author) -> None:
    """They share their cells: a write through either is seen through both."""
    with another_alias("twin"):
        Author.objects.using("twin").filter(pk=author.pk).update(name="new")
        assert ("new", ["new"]) == seen(author)
        assert "new" == Author.objects.using("twin").get(pk=author.pk).name
        Author.objects.filter(pk=author.pk).update(name="newer")
        assert "newer" == Author.objects.using("twin").get(pk=author.pk).name


@pytest.mark.mariadb
@pytest.mark.parametrize("by", ["statement", "settings"])
def test_reading_what_is_not_committed(by: str, settings: Settings) -> None:
    """At READ UNCOMMITTED a reader filled in a row that was rolled back afterwards."""
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}
    author = Author.objects.create(name="old", slug="a")
    options = {**connection.settings_dict["OPTIONS"], "isolation_level": "read uncommitted"}

    def peek() -> tuple[str, list[str]]:
        if by == "statement":
            sql("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
            return seen(author)
        with another_alias("uncommitted", OPTIONS=options):
            authors = Author.objects.using("uncommitted")
            return authors.get(pk=author.pk).name, [a.name for a in authors.order_by("name")]

    with transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="ghost")
        assert ("ghost", ["ghost"]) == elsewhere(peek)
        transaction.set_rollback(True)
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    assert ("old", ["old"]) == seen(author)


@pytest.mark.postgres
def test_an_isolation_level_set_by_a_function(author: Author) -> None:
    """It is noticed, whatever is remembered of the server: an old snapshot fills in nothing."""

    def read_old() -> None:
        sql("SELECT set_config('default_transaction_isolation', 'repeatable read', false)")
        with transaction.atomic():
            assert 1 == Author.nocache.count()
            elsewhere(lambda: Author.objects.filter(pk=author.pk).update(name="new"))
            assert ("old", ["old"]) == seen(author)

    # Another transaction first, which misses and so asks the server for its level.
    Author.objects.filter(pk=author.pk).update(name="old")
    elsewhere(lambda: transaction.atomic()(seen)(author))
    elsewhere(read_old)
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


@pytest.mark.mariadb
def test_text_keys_that_differ_in_case() -> None:
    """A related row with a text key stayed as it was when it was updated under another spelling of
    its key."""
    author = Author.objects.create(name="x", slug="x")
    Category.objects.create(slug="news", title="old")
    Article.objects.create(title="t", author=author, category_id="news")

    def titles() -> list[str]:
        joined = Article.objects.select_related("category").get(title="t").category
        followed = Article.objects.get(title="t").category
        prefetched = Article.objects.prefetch_related("category").get(title="t").category
        found = (joined, followed, prefetched, Category.objects.get(pk="news"))
        return [each.title for each in found if each is not None]

    assert [["old"] * 4] * 2 == [titles(), titles()]
    assert 1 == Category.objects.filter(pk="NEWS").update(title="new")
    assert ["new"] * 4 == titles()


@isolate_apps("tests.testapp")
def test_a_driver_closed_without_django_is_no_hindrance_to_new_models() -> None:
    def work() -> str:
        author = Author.objects.get()
        connection.connection.close()

        class Shelf(models.Model):
            class Meta:
                app_label = "testapp"

        with suppress(OperationalError):  # Of mysqlclient: it is closed already.
            connection.close()
        return author.name

    Author.objects.create(name="kept", slug="a")
    assert "kept" == elsewhere(work)
