"""Readers and writers interleaved at the worst moments; a step in between is run by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from ormcache import runtime
from ormcache.database import servers
from ormcache.reads import asked, entries, rows
from ormcache.stats import counters
from ormcache.writes import invalidation
from tests.integration.interleave import after, elsewhere, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, CachedVisitor, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

# With the methods that type stubs leave out.
database: Any = connection


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    return Author.objects.create(name="old", slug="a")


def rename(author: Author, name: str = "new") -> int:
    return Author.objects.filter(pk=author.pk).update(name=name)


def names() -> list[str]:
    return [each.name for each in Author.objects.filter(name__lt="p").order_by("name")]


def before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, step: Callable[[], None]
) -> None:
    """Run ``step`` just before each call of ``owner.name``."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        step()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def test_a_write_between_a_rows_select_and_its_fill(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, rows, "select", once(lambda: rename(author)))
    refused = counters["row_fill_refused"]
    assert "old" == Author.objects.get(pk=author.pk).name
    assert refused < counters["row_fill_refused"]
    assert "new" == Author.objects.get(pk=author.pk).name


def test_a_raw_write_between_a_rows_select_and_its_fill(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw SQL marks no row: the generation captured before the SELECT makes the fill a miss."""

    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE testapp_author SET name = 'new' WHERE name = 'old'")

    after(monkeypatch, rows, "select", once(write))
    assert "old" == Author.objects.get(pk=author.pk).name
    assert "new" == Author.objects.get(pk=author.pk).name


def test_a_lease_that_arrives_again_after_a_write(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command sent twice may arrive late once: a write that came and went in between has ended
    the lease, and its twin must not admit the fill."""
    store = runtime.current().store
    asked: list[Any] = []
    send = store.run

    def run(commands: Any) -> Any:
        asked.extend(command for command in commands if command[0] == "LEASE")
        return send(commands)

    def write() -> None:
        rename(author)
        send(asked)

    monkeypatch.setattr(store, "run", run)
    after(monkeypatch, rows, "select", once(write))
    assert "old" == Author.objects.get(pk=author.pk).name
    assert 1 == len(asked)
    assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.parametrize("warm", [True, False], ids=["stamps there", "stamps absent"])
def test_a_write_between_a_lists_select_and_its_storing(
    author: Author, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    if warm:
        Author.objects.filter(name__lt="o").order_by("name").exists()
    after(monkeypatch, asked.Asked, "instances", once(lambda: rename(author, "zoe")))
    names()
    assert [] == names()
    assert [] == names()


def test_a_write_between_a_counts_query_and_its_storing(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(
        monkeypatch,
        entries.ListEntry,
        "store",
        once(lambda: Author.objects.create(name="other", slug="b")),
    )
    assert 1 == Author.objects.count()
    assert 2 == Author.objects.count()


def test_reads_around_a_commit(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads between the marks and the release neither hits nor fills."""
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    assert ["old"] == names()
    Author.objects.get(pk=author.pk)
    saw: list[Any] = []

    def look() -> None:
        saw.append(elsewhere(lambda: (names(), Author.objects.get(pk=author.pk).name)))

    original = database._commit

    def commit() -> None:
        look()
        original()
        look()

    monkeypatch.setattr(database, "_commit", commit)
    rename(author, "new")
    assert [(["old"], "old"), (["new"], "new")] == saw
    assert ["new"] == names()
    assert "new" == Author.objects.get(pk=author.pk).name


def test_a_reader_filling_between_mark_and_commit_cannot(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    step = once(lambda: (names(), Author.objects.get(pk=author.pk)))
    after(monkeypatch, runtime.current().writer, "mark", step)
    rename(author, "new")
    assert ["new"] == names()
    assert "new" == Author.objects.get(pk=author.pk).name


def test_a_writer_killed_before_its_release(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marks keep readers off the cells until they expire; then the cells fill again."""
    assert ["old"] == names()
    Author.objects.get(pk=author.pk)
    with monkeypatch.context() as patch:
        patch.setattr(invalidation.Invalidation, "release", lambda self, **known: None)
        patch.setattr(invalidation, "MARK_MS", 150)
        rename(author, "new")
    hits = counters["row_hit"]
    assert ["new"] == names()
    assert "new" == Author.objects.get(pk=author.pk).name
    assert hits == counters["row_hit"]
    time.sleep(0.2)
    for _ in range(2):
        assert ["new"] == names()
        assert "new" == Author.objects.get(pk=author.pk).name
    assert hits < counters["row_hit"]


def test_marks_lost_before_the_release(author: Author, ormcache_redis: RedisServer) -> None:
    """A flush takes the marks and a reader fills the old row: the release drops it again."""
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    lost = counters["release_mark_lost"]
    original = database._commit

    def commit() -> None:
        ormcache_redis.flush()
        elsewhere(lambda: (names(), Author.objects.get(pk=author.pk)))
        original()

    database._commit = commit
    try:
        rename(author, "new")
    finally:
        del database._commit
    assert lost < counters["release_mark_lost"]
    assert ["new"] == names()
    assert "new" == Author.objects.get(pk=author.pk).name


def test_an_unknown_outcome_is_not_released(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT goes through, but its answer is lost."""
    from django.db import OperationalError

    if connection.vendor == "sqlite":
        pytest.skip("there is no connection to lose")
    Author.objects.get(pk=author.pk)
    original = database._commit

    def commit() -> None:
        original()
        connection.connection.close()
        raise OperationalError("server closed the connection unexpectedly")

    released: list[Any] = []
    monkeypatch.setattr(database, "_commit", commit)
    monkeypatch.setattr(runtime.current().writer, "release", lambda *a, **k: released.append(a))
    with pytest.raises(OperationalError):
        rename(author, "new")
    monkeypatch.undo()
    connection.close()
    assert [] == released
    assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_old_snapshot_fills_nothing(author: Author, level: str) -> None:
    """The snapshot was taken before the write, the lease after it."""
    if connection.vendor == "sqlite":
        pytest.skip("its transactions are refused as a whole")
    if connection.vendor == "mysql" and level == "serializable":
        pytest.skip("its reads lock the writer out")
    statement = f"SET TRANSACTION ISOLATION LEVEL {level.upper()}"

    def read_old() -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute(statement)
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    cursor.execute(statement)
                assert 1 == Author.nocache.count()
                elsewhere(lambda: rename(author, "new"))
                assert "old" == Author.objects.get(pk=author.pk).name
                assert ["old"] == names()

    elsewhere(read_old)
    assert "new" == Author.objects.get(pk=author.pk).name
    assert ["new"] == names()


def test_the_isolation_level_of_the_settings_is_found(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("its transactions are refused as a whole")
    level: Any = "repeatable read"
    if connection.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        level = IsolationLevel.REPEATABLE_READ

    def read_old() -> None:
        options = {**connection.settings_dict.get("OPTIONS", {}), "isolation_level": level}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        servers.forget_answers()
        with transaction.atomic():
            assert 1 == Author.nocache.count()
            elsewhere(lambda: rename(author, "new"))
            assert "old" == Author.objects.get(pk=author.pk).name
            assert ["old"] == names()

    elsewhere(read_old)
    monkeypatch.undo()
    servers.forget_answers()
    assert "new" == Author.objects.get(pk=author.pk).name
    assert ["new"] == names()


def test_a_sqlite_transaction_fills_nothing(author: Author) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    fills = counters["row_fill"]
    with transaction.atomic():
        Author.objects.get(pk=author.pk)
    assert fills == counters["row_fill"]


def test_a_replica_fills_nothing(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "is_replica", lambda connection: True)

    def read() -> None:
        Author.objects.get(pk=author.pk)
        names()

    fills = counters["row_fill"], counters["list_fill"]
    elsewhere(read)
    assert fills == (counters["row_fill"], counters["list_fill"])


def test_a_connection_that_sees_otherwise_neither_hits_nor_fills(author: Author) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("about search_path")
    assert "old" == Author.objects.get(pk=author.pk).name

    def read() -> str:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS tenant")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS tenant.testapp_author "
                "(LIKE public.testapp_author INCLUDING ALL)"
            )
            cursor.execute(
                "INSERT INTO tenant.testapp_author (id, name, slug, active, created) "
                "VALUES (%s, 'tenant', 't', true, now())",
                [author.pk],
            )
            cursor.execute("SET search_path TO tenant, public")
            name = Author.objects.get(pk=author.pk).name
            cursor.execute("DROP SCHEMA tenant CASCADE")
            return name

    assert "tenant" == elsewhere(read)
    assert "old" == Author.objects.get(pk=author.pk).name


def test_a_vanished_row_expires_its_list(author: Author, ormcache_redis: RedisServer) -> None:
    """A row deleted behind Django's back: its pointer leads nowhere, the list is read again."""
    article = Article.objects.create(title="gone", author=author)
    Article.objects.create(title="there", author=author)
    for _ in range(2):
        assert 2 == len(Article.objects.order_by("pk"))
    execute = connection.execute_wrappers
    connection.execute_wrappers = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM testapp_article WHERE id = %s", [article.pk])
    finally:
        connection.execute_wrappers = execute
    with ormcache_redis.client() as client:
        for key in client.keys("*testapp_article:row:*"):
            client.delete(key)
    vanished = counters["list_vanished"]
    assert ["there"] == [each.title for each in Article.objects.order_by("pk")]
    assert vanished + 1 == counters["list_vanished"]
    assert ["there"] == [each.title for each in Article.objects.order_by("pk")]
    assert vanished + 1 == counters["list_vanished"]


def test_stamps_of_two_runs_of_the_server_make_no_entry(
    author: Author, monkeypatch: pytest.MonkeyPatch, ormcache_redis: RedisServer
) -> None:
    """The server is replaced after some stamps were read and before the others are made."""
    assert 1 == Author.objects.count()
    after(monkeypatch, entries.ListEntry, "read", once(ormcache_redis.restart))
    fills, refused = counters["list_fill"], counters["list_fill_refused"]
    assert ["old"] == names()
    assert (fills, refused + 1) == (counters["list_fill"], counters["list_fill_refused"])
    with ormcache_redis.client() as client:
        assert [] == client.keys("*:list:*")
    assert ["old"] == names()
    assert fills + 1 == counters["list_fill"]


def test_a_row_that_moves_before_a_statement_that_commits_by_itself(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marks are set before it holds the row's lock: what the cell held then tells nothing."""
    if connection.vendor == "mysql":
        pytest.skip("its UPDATE returns nothing")
    other = Author.objects.create(name="other", slug="b")
    article = Article.objects.create(title="moves", author=author)
    Article.objects.get(pk=article.pk)

    def not_viewed() -> list[Article]:
        return list(Article.objects.filter(author=other, views=0))

    def move() -> None:
        Article.objects.filter(pk=article.pk).update(author=other)
        assert [article] == not_viewed()

    # The stamp of the table's lists has to be there, or every list is invalidated.
    assert [] == not_viewed()
    after(monkeypatch, invalidation.Invalidation, "mark", once(move))
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE "testapp_article" SET "views" = %s WHERE "testapp_article"."id" = %s '
            'RETURNING "testapp_article"."id"',
            [1, article.pk],
        )
        assert [(article.pk,)] == cursor.fetchall()
    assert [] == not_viewed()


def test_a_statement_of_sqlite_commits_when_its_rows_are_fetched(author: Author) -> None:
    """``RETURNING`` outside a transaction: others see the old row until the cursor is done."""
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")

    def name() -> str:
        return Author.objects.get(pk=author.pk).name

    assert "old" == name()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE testapp_author SET name = 'new' WHERE id = %s RETURNING id", [author.pk]
        )
        # The proof that it is not committed yet.
        assert "old" == elsewhere(name)
        assert [(author.pk,)] == cursor.fetchall()
        released = counters["release"]
    assert released < counters["release"]
    assert "new" == name()


def test_a_plain_model_of_sqlite_is_inserted_when_its_key_is_fetched(
    ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django asks for the key with ``RETURNING``, and outside a transaction."""
    count = CachedVisitor.objects.count
    assert 0 == count()
    fetch = "fetch_returned_insert_columns"
    if not hasattr(database.ops, fetch):
        fetch = "fetch_returned_rows"  # Django 6.0
    before(monkeypatch, database.ops, fetch, once(count))
    Visitor.objects.create(name="somebody")
    assert 1 == count()
