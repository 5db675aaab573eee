"""Writes in every kind of transaction: what readers see before, at and after its end."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.core.management import call_command
from django.db import connection, models, transaction

import ormcache
from ormcache.stats import counters
from tests.integration.aliases import sql
from tests.integration.authors import seen, stored
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def author() -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"]) == seen(author)
    return author


def test_a_reader_sees_the_old_row_until_the_commit(author: Author) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a writer holds the whole database")
    with transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="new")
        assert ("new", ["new"]) == seen(author)
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))
    assert ("new", ["new"]) == seen(author)


def test_rollback_leaves_the_old_row(author: Author) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        author.name = "new"
        author.save()
        assert ("new", ["new"]) == seen(author)
        raise RuntimeError
    assert ("old", ["old"]) == seen(author)
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))


def test_a_savepoint_that_is_rolled_back(author: Author) -> None:
    with transaction.atomic():
        author.name = "outer"
        author.save()
        with pytest.raises(RuntimeError), transaction.atomic():
            author.name = "old"
            author.save()
            raise RuntimeError
        assert ("outer", ["outer"]) == seen(author)
    assert ("outer", ["outer"]) == seen(author)


def test_low_level_savepoints(author: Author) -> None:
    # Renamed in Django 6.1.
    savepoint = getattr(transaction, "savepoint_create", None) or transaction.savepoint
    with transaction.atomic():
        kept = savepoint()
        Author.objects.filter(pk=author.pk).update(name="undone")
        transaction.savepoint_rollback(kept)
        kept = savepoint()
        Author.objects.filter(pk=author.pk).update(name="new")
        transaction.savepoint_commit(kept)
    assert ("new", ["new"]) == seen(author)


def test_hooks_on_commit_see_the_new_row(author: Author) -> None:
    saw: list[Any] = []
    with transaction.atomic():
        transaction.on_commit(lambda: saw.append(elsewhere(lambda: seen(author))))
        Author.objects.filter(pk=author.pk).update(name="new")
    assert [("new", ["new"])] == saw


def test_without_autocommit(author: Author) -> None:
    transaction.set_autocommit(False)
    try:
        author.name = "new"
        author.save()
        assert ("new", ["new"]) == seen(author)
        transaction.commit()
        assert ("new", ["new"]) == seen(author)
        author.name = "undone"
        author.save()
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert ("new", ["new"]) == seen(author)


def test_a_savepoint_without_autocommit(author: Author) -> None:
    """On SQLite it begins a transaction of its own there, and its end commits."""

    def stored() -> Any:
        with ormcache.bypass():
            return seen(author)

    transaction.set_autocommit(False)
    try:
        with transaction.atomic():
            Author.objects.filter(pk=author.pk).update(name="new")
        assert elsewhere(stored) == elsewhere(lambda: seen(author))
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


def test_a_transaction_through_a_cursor(author: Author) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE testapp_author SET name = 'new'")
        cursor.execute("COMMIT")
        assert ("new", ["new"]) == seen(author)
        cursor.execute("BEGIN")
        cursor.execute("UPDATE testapp_author SET name = 'undone'")
        cursor.execute("ROLLBACK")
    assert ("new", ["new"]) == seen(author)


def name_new(author: Author) -> str:
    return f"UPDATE testapp_author SET name = 'new' WHERE id = {author.pk}"


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_transaction_through_a_cursor_around_the_orm(author: Author, end: str) -> None:
    """The write must not begin, and end, a transaction of its own in it."""
    sql("BEGIN")
    Author.objects.filter(pk=author.pk).update(name="new")
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))
    sql(end)
    assert stored(author) == elsewhere(lambda: seen(author))
    assert (["new"] if end == "COMMIT" else ["old"]) == stored(author)[1]


@pytest.mark.parametrize("end", [transaction.commit, transaction.rollback, connection.close])
def test_a_transaction_through_a_cursor_that_django_ends(author: Author, end: Any) -> None:
    """The next write is none of that transaction's."""
    sql("BEGIN", name_new(author))
    end()
    assert stored(author) == seen(author)
    assert stored(author) == elsewhere(lambda: seen(author))
    sql(f"UPDATE testapp_author SET name = 'newer' WHERE id = {author.pk}")
    assert ("newer", ["newer"]) == elsewhere(lambda: seen(author))


def test_raw_sql_without_autocommit(author: Author) -> None:
    transaction.set_autocommit(False)
    try:
        sql(name_new(author))
        assert ("old", ["old"]) == elsewhere(lambda: seen(author))
        transaction.commit()
        assert ("new", ["new"]) == elsewhere(lambda: seen(author))
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_raw_sql_commits_by_itself(author: Author) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'new' WHERE id = %s", [author.pk])
    assert ("new", ["new"]) == seen(author)
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


def test_a_transaction_fills_nothing_it_may_see_alone(author: Author) -> None:
    """What a transaction reads of its own writes must not become everybody's."""
    with transaction.atomic():
        created = Author.objects.create(name="zoe", slug="z")
        Author.objects.filter(pk=author.pk).update(name="mine")
        seen(author)
        Author.objects.get(pk=created.pk)
        transaction.set_rollback(True)
    assert ("old", ["old"]) == seen(author)
    assert not Author.objects.filter(pk=created.pk).exists()
    with pytest.raises(Author.DoesNotExist):
        Author.objects.get(pk=created.pk)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_two_databases_in_one_request(author: Author) -> None:
    """One of them commits, the other rolls back; each has its own rows and marks."""
    other = Author.objects.using("other").create(pk=author.pk, name="old", slug="a")

    def names() -> tuple[str, str]:
        return (
            Author.objects.get(pk=author.pk).name,
            Author.objects.using("other").get(pk=other.pk).name,
        )

    assert ("old", "old") == names()
    with transaction.atomic(), transaction.atomic(using="other"):
        Author.objects.filter(pk=author.pk).update(name="new")
        Author.objects.using("other").filter(pk=other.pk).update(name="undone")
        assert ("new", "undone") == names()
        transaction.set_rollback(True, using="other")
    assert ("new", "old") == names()
    assert ("new", "old") == elsewhere(names)


def test_a_row_of_ones_own_key_is_not_filled_before_its_commit(author: Author) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("its transactions fill nothing at all")
    with transaction.atomic():
        Author.objects.create(pk=author.pk + 1000, name="mine", slug="m")
        assert "mine" == Author.objects.get(pk=author.pk + 1000).name
        transaction.set_rollback(True)
    with pytest.raises(Author.DoesNotExist):
        Author.objects.get(pk=author.pk + 1000)


def test_atomic_requests(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def view(request: Any, name: str, *, fails: bool) -> Any:
        assert connection.in_atomic_block
        author.name = name
        author.save()
        assert (name, [name]) == seen(author)
        if fails:
            raise RuntimeError
        return None

    atomic_view: Any = BaseHandler().make_view_atomic(view)
    with pytest.raises(RuntimeError):
        atomic_view(None, "undone", fails=True)
    assert ("old", ["old"]) == seen(author)
    atomic_view(None, "new", fails=False)
    assert ("new", ["new"]) == seen(author)
    assert ("new", ["new"]) == elsewhere(lambda: seen(author))


def test_a_flush_of_the_database(author: Author) -> None:
    assert 1 == Author.objects.count()
    call_command("flush", interactive=False, verbosity=0)
    assert 0 == Author.objects.count()
    assert [] == list(Author.objects.order_by("name"))
    with pytest.raises(Author.DoesNotExist):
        Author.objects.get(pk=author.pk)


def test_a_migration_that_changes_the_schema(author: Author) -> None:
    """A column comes with a value for every row: what was cached of the table goes."""
    misses = counters["row_miss"]
    field = models.IntegerField(default=7)
    field.set_attributes_from_name("rank")
    with connection.schema_editor() as editor:
        editor.add_field(Author, field)
    try:
        assert ("old", ["old"]) == seen(author)
        assert misses + 1 == counters["row_miss"]
    finally:
        with connection.schema_editor() as editor:
            editor.remove_field(Author, field)


def test_bypass_reads_nothing_and_still_invalidates(author: Author) -> None:
    before = counters["row_hit"]
    with ormcache.bypass():
        assert "old" == Author.objects.get(pk=author.pk).name
        Author.objects.filter(pk=author.pk).update(name="new")
    assert before == counters["row_hit"]
    assert ("new", ["new"]) == seen(author)


def test_deferred_constraints_fail_at_commit(author: Author) -> None:
    if connection.vendor == "mysql":
        pytest.skip("checks its constraints at once")
    from django.db import IntegrityError

    article = Article.objects.create(title="t", author=author)
    Article.objects.get(pk=article.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        Article.objects.filter(pk=article.pk).update(author_id=987654, title="undone")
    assert "t" == Article.objects.get(pk=article.pk).title
    # The outcome is known: the marks are gone, and the row can be cached again.
    before = counters["row_hit"]
    Article.objects.get(pk=article.pk)
    assert before + 1 == counters["row_hit"]


def test_lists_show_what_the_transaction_itself_wrote(author: Author) -> None:
    found = Author.objects.order_by("name")
    assert (1, ["old"]) == (found.count(), [each.name for each in found.all()])
    with transaction.atomic():
        Author.objects.create(name="young", slug="young")
        assert (2, ["old", "young"]) == (found.count(), [each.name for each in found.all()])
