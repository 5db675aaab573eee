"""Savepoints that are rolled back: what is read inside the transaction, and by others after it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

import ormcache
from ormcache.writes.hooks import state_of
from ormcache.writes.savepoints import Savepoints
from tests.integration.authors import seen
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)

# Renamed in Django 6.1.
set_savepoint = getattr(transaction, "savepoint_create", None) or transaction.savepoint

is_mysql = connection.vendor == "mysql"
puts_back = pytest.mark.skipif(is_mysql, reason="a table of MySQL may know no transactions")


class Undo(Exception):
    """Rolls a block back."""


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def author() -> Author:
    author = Author.objects.create(name="old", slug="a")
    Article.objects.create(title="t", author=author)
    for _ in range(2):
        assert ("old", ["old"]) == seen(author)
        assert 1 == Article.objects.filter(author=author).count()
    return author


@contextmanager
def undone() -> Iterator[None]:
    """A savepoint that is rolled back."""
    with suppress(Undo), transaction.atomic():
        yield
        raise Undo


def rename(author: Author, name: str) -> None:
    Author.objects.filter(pk=author.pk).update(name=name)


def asked(read: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        read()
    return sum((each["sql"] or "").startswith("SELECT") for each in captured)


def everybody_sees(author: Author, *names: str) -> None:
    expected = names[0], list(names)
    assert expected == seen(author)
    assert expected == elsewhere(lambda: seen(author))


# What is cached again


@puts_back
@pytest.mark.parametrize(
    "write",
    [
        lambda author: rename(author, "new"),
        lambda author: Author.objects.create(name="b", slug="b"),
        lambda author: Author.objects.update(name="all"),
        lambda author: author.delete(),
        lambda author: connection.cursor().execute("UPDATE testapp_author SET name = 'raw'"),
        lambda author: Author.objects.bulk_create([Author(name="b", slug="b")]),
        lambda author: Author.objects.get_or_create(slug="b"),
        lambda author: transaction.savepoint_commit(set_savepoint() or ""),
    ],
)
def test_its_tables_are_cached_again(author: Author, write: Callable[[Author], Any]) -> None:
    pk = author.pk
    with transaction.atomic():
        with undone():
            write(author)
        author.pk = pk
        assert 0 == asked(lambda: seen(author))
        assert 0 == asked(lambda: Article.objects.filter(author=author).count())
        assert ("old", ["old"]) == seen(author)
    everybody_sees(author, "old")


@puts_back
def test_a_statement_the_database_refuses(author: Author) -> None:
    with transaction.atomic():
        with suppress(IntegrityError), transaction.atomic():
            Author.objects.create(name="b", slug="a")
        assert 0 == asked(lambda: seen(author))


@puts_back
def test_one_test_after_another(author: Author) -> None:
    """As in a ``TestCase``: the counts of a test do not hang on those before it."""

    def test() -> list[int]:
        with undone():
            counts = [asked(lambda: seen(author))]
            rename(author, "new")
            return [*counts, asked(lambda: seen(author))]
        raise AssertionError

    with transaction.atomic(), transaction.atomic():
        first = test()
        assert [first] * 2 == [test() for _ in range(2)]
        assert 0 == first[0] < first[1]


@puts_back
def test_what_was_written_before_it_stays_uncached(author: Author) -> None:
    with transaction.atomic():
        Tag.objects.create(name="t")
        rename(author, "outer")
        with undone():
            rename(author, "inner")
            Article.objects.update(title="new")
        assert asked(lambda: seen(author))
        assert 0 == asked(lambda: Article.objects.filter(author=author).count())
    everybody_sees(author, "outer")


# What others read


def test_written_before_and_inside(author: Author) -> None:
    with transaction.atomic():
        rename(author, "outer")
        with undone():
            rename(author, "inner")
            assert ("inner", ["inner"]) == seen(author)
        assert ("outer", ["outer"]) == seen(author)
    everybody_sees(author, "outer")


def test_written_inside_and_after(author: Author) -> None:
    with transaction.atomic():
        with undone():
            rename(author, "inner")
        rename(author, "outer")
        assert ("outer", ["outer"]) == seen(author)
    everybody_sees(author, "outer")


def test_released_inside_of_one_that_is_rolled_back(author: Author) -> None:
    with transaction.atomic():
        with undone():
            with transaction.atomic():
                rename(author, "inner")
            assert ("inner", ["inner"]) == seen(author)
        assert ("old", ["old"]) == seen(author)
    everybody_sees(author, "old")


def test_rolled_back_inside_of_one_that_is_released(author: Author) -> None:
    with transaction.atomic():
        with transaction.atomic():
            rename(author, "kept")
            with undone():
                rename(author, "inner")
                Author.objects.create(name="b", slug="b")
            assert ("kept", ["kept"]) == seen(author)
        assert ("kept", ["kept"]) == seen(author)
    everybody_sees(author, "kept")


def test_a_block_without_a_savepoint(author: Author) -> None:
    """The next one outside of it is rolled back."""
    with transaction.atomic():
        rename(author, "outer")
        with suppress(Undo), transaction.atomic():
            rename(author, "middle")
            with transaction.atomic(savepoint=False):
                rename(author, "inner")
                raise Undo
        assert ("outer", ["outer"]) == seen(author)
    everybody_sees(author, "outer")


def test_gone_back_to_twice(author: Author) -> None:
    with transaction.atomic():
        kept = set_savepoint()
        for name in ("one", "two"):
            rename(author, name)
            transaction.savepoint_rollback(kept)
            assert ("old", ["old"]) == seen(author)
        rename(author, "three")
        transaction.savepoint_commit(kept)
        assert ("three", ["three"]) == seen(author)
    everybody_sees(author, "three")


def test_names_that_come_again(author: Author) -> None:
    """The younger of one name is meant, here as in the database."""
    transaction.clean_savepoints()
    with transaction.atomic():
        first = set_savepoint()
        rename(author, "kept")
        transaction.clean_savepoints()
        assert first == set_savepoint()
        rename(author, "undone")
        transaction.savepoint_rollback(first)
        assert ("kept", ["kept"]) == seen(author)
    everybody_sees(author, "kept")


def test_a_savepoint_through_a_cursor(author: Author) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SAVEPOINT own")
        rename(author, "undone")
        cursor.execute("ROLLBACK TO SAVEPOINT own")
        rename(author, "kept")
        with undone():
            cursor.execute("SAVEPOINT own")
            rename(author, "inner")
            cursor.execute("RELEASE SAVEPOINT own")
    everybody_sees(author, "kept")


def past_the_watch(statement: str) -> None:
    """Run a statement that nobody sees."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute(statement)
    cursor.close()


def test_what_was_announced_stays(author: Author) -> None:
    """``invalidate()`` inside of the savepoint speaks of a write before it."""
    with transaction.atomic():
        past_the_watch("UPDATE testapp_author SET name = 'new'")
        with undone():
            rename(author, "inner")
            ormcache.invalidate(author)
        if connection.vendor != "sqlite":  # There a writer holds the whole database.
            assert [("old", ["old"])] * 2 == [elsewhere(lambda: seen(author)) for _ in range(2)]
    everybody_sees(author, "new")


def test_a_model_that_appears_stays(author: Author) -> None:
    table = Author._meta.db_table
    with transaction.atomic():
        with undone():
            Author.objects.create(name="b", slug="b")
            past_the_watch("UPDATE testapp_author SET name = 'inner'")
            with undone():
                for writes in state_of(connection).writes().lasting(table, None):
                    writes.write_all()
        assert state_of(connection).writes().tables[table].whole


@pytest.mark.parametrize("place", ["inside", "unbalanced", "before"])
def test_a_savepoint_while_a_write_runs(author: Author, place: str) -> None:
    """The write is noted after it: it may be older than the savepoint, and younger."""
    left: list[Any] = []

    def meddle(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if not left and "UPDATE" in sql:
            left.append(None)
            if place == "before":
                transaction.savepoint_rollback(outer)
                return execute(sql, params, many, context)
            sid = set_savepoint()
            Author.objects.create(name="b", slug="b")
            if place == "inside":
                transaction.savepoint_rollback(sid)
            else:
                left.append(sid)
        return result

    with transaction.atomic():
        outer = set_savepoint()
        Author.objects.create(name="c", slug="c")
        with connection.execute_wrapper(meddle):
            rename(author, "new")
        for sid in left[1:]:
            transaction.savepoint_rollback(sid)
        if place != "before":
            Author.objects.filter(slug="c").delete()
    assert not is_mysql or left
    everybody_sees(author, "new")


@pytest.mark.parametrize("step", ["begun", "released", "returned", "settled"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_between(
    author: Author, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has done it, and the cache has not noticed, or the other way round."""
    real = getattr(Savepoints, step)
    hits: list[int] = []

    def interrupted(self: Savepoints, *args: Any) -> Any:
        hits.append(1)
        if len(hits) != 2:
            return real(self, *args)
        if when == "after":
            real(self, *args)
        raise KeyboardInterrupt

    def work() -> None:
        with transaction.atomic():
            rename(author, "undone")
            if step != "begun":
                with undone():
                    rename(author, "inner")
                raise Undo

    monkeypatch.setattr(Savepoints, step, interrupted)
    with transaction.atomic():
        rename(author, "kept")
        for _ in range(3):
            with suppress(KeyboardInterrupt, Undo):
                work()
            if step == "begun":
                rename(author, "kept")
        with suppress(KeyboardInterrupt), transaction.atomic():
            Article.objects.update(title="new")
        expected = Author.nocache.get(pk=author.pk).name
        assert (expected, [expected]) == seen(author)
    expected = Author.nocache.get(pk=author.pk).name
    everybody_sees(author, expected)
    assert list(Article.nocache.values_list("title")) == list(Article.objects.values_list("title"))


# Any order of them


def world() -> Any:
    """All that is read, from whichever side."""
    return (
        [(each.pk, each.name, each.slug) for each in Author.objects.order_by("pk")],
        [(each.pk, each.title, each.author_id) for each in Article.objects.order_by("pk")],
        [
            (Article.objects.filter(author=pk).count(), name_of(pk))
            for pk in Author.nocache.order_by("pk").values_list("pk", flat=True)
        ],
    )


def name_of(pk: int) -> str:
    return Author.objects.get(pk=pk).name


class Walk:
    """One transaction of random writes and savepoints."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.choose = random.Random(seed)
        self.number = 0
        self.savepoints: list[Any] = []

    def step(self) -> None:
        self.number += 1
        self.choose.choice(
            [self.write, self.write, self.write, self.begin, self.begin, self.end, self.block]
        )()

    def write(self) -> None:
        text = f"w{self.seed}-{self.number}"
        rows = list(Author.nocache.order_by("pk"))
        author = self.choose.choice(rows)
        kind = self.choose.randrange(6)
        if kind == 0:
            Author.objects.create(name=text, slug=text)
        elif kind == 1:
            rename(author, text)
        elif kind == 2:
            author.name = text
            author.save()
        elif kind == 3:
            Article.objects.create(title=text, author=author)
        elif kind == 4:
            Article.objects.update(author=author)
        elif len(rows) > 1:
            author.delete()

    def begin(self) -> None:
        self.savepoints.append(set_savepoint())

    def end(self) -> None:
        if self.savepoints:
            # Those after it go with it.
            place = self.choose.randrange(len(self.savepoints))
            if self.choose.random() < 0.6:
                transaction.savepoint_rollback(self.savepoints[place])
                del self.savepoints[place + 1 :]
            else:
                transaction.savepoint_commit(self.savepoints[place])
                del self.savepoints[place:]

    def block(self) -> None:
        with suppress(Undo), transaction.atomic():
            self.write()
            if self.choose.random() < 0.6:
                raise Undo


@pytest.mark.parametrize("seed", range(6))
def test_any_order(author: Author, seed: int) -> None:
    """Whoever reads what, inside or after it, reads what the database says."""
    for number in range(4):
        walk = Walk(seed * 100 + number)
        with suppress(Undo), transaction.atomic():
            for _ in range(12):
                walk.step()
                with ormcache.bypass():
                    expected = world()
                assert expected == world()
            if number == 3:
                raise Undo
        with ormcache.bypass():
            expected = world()
        assert expected == world()
        assert expected == elsewhere(world)
