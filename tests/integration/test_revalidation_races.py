"""Writes that come in between the steps of a reader that fills an entry, or keeps an invalid one.

What is wrong shows in the next reader: the entry is invalid, and the logs tell of some of the
writes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

import ormcache
from ormcache.stats import counters
from ormcache.store.channel import Channel, Command
from tests.integration.interleave import elsewhere, once
from tests.integration.test_revalidation import delete_alone
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def rows(ormcache_redis: RedisServer) -> list[Article]:
    """Articles t0 to t2, published, seen 20 times."""
    ann = Author.objects.create(name="Ann", slug="ann")
    return [
        Article.objects.create(title=f"t{i}", author=ann, published=True, views=20)
        for i in range(3)
    ]


@contextmanager
def just_before(word: str, write: Callable[[], Any]) -> Iterator[None]:
    """Somebody else commits just before the first statement with this word."""
    step, done = once(write), list[str]()

    def wait(execute: Any, sql: str, *rest: Any) -> Any:
        if word in sql and not done:
            done.append(sql)
            step()
        return execute(sql, *rest)

    with connection.execute_wrapper(wait):
        yield
    assert done


def change(pk: int, **values: Any) -> None:
    """With the old row in the cache: what changes is known exactly."""
    Article.objects.get(pk=pk)
    Article.objects.filter(pk=pk).update(**values)


def create(**values: Any) -> Article:
    author = Author.nocache.get()
    return Article.objects.create(title="new", author=author, published=True, **values)


def check(read: Callable[[], Any]) -> Any:
    """What is read, which has to be right."""
    with ormcache.bypass():
        expected = read()
    assert expected == read()
    return expected


def read_often() -> int:
    return Article.objects.filter(published=True, views__gt=5).count()


def test_a_write_while_it_is_asked_about_another(rows: list[Article]) -> None:
    """It answers the question, but the stamps are of before."""
    assert 3 == read_often()
    change(rows[0].pk, views=0)
    kept = counters["list_revalidated"]
    with just_before("SELECT", lambda: change(rows[0].pk, published=False)):
        assert 2 == read_often()
    assert kept == counters["list_revalidated"]
    assert 2 == check(read_often)


def test_another_reader_stores_it_meanwhile(rows: list[Article]) -> None:
    change(rows[0].pk, published=False)
    assert 2 == read_often()
    change(rows[0].pk, views=30)

    def write_and_read() -> None:
        change(rows[1].pk, views=0)
        assert 1 == read_often()

    kept = counters["list_revalidated"]
    with just_before("SELECT", write_and_read):
        assert 1 == read_often()
    assert kept == counters["list_revalidated"]
    hits = counters["list_hit"]
    assert 1 == check(read_often)
    assert hits + 1 == counters["list_hit"]


def test_a_row_that_came_while_the_result_was_made(rows: list[Article]) -> None:
    """It is in the result, though it is younger than its stamps."""
    new: list[Article] = []
    with just_before("COUNT", lambda: new.append(create(views=20))):
        assert 4 == read_often()
    change(new[0].pk, views=0)
    assert 3 == check(read_often)


def test_the_last_of_a_slice_came_while_it_was_made(rows: list[Article]) -> None:
    def read() -> list[int]:
        often = Article.objects.filter(published=True, views__gt=5)
        return [each.pk for each in often.order_by("views", "pk")[:3]]

    rows[2].delete()
    new: list[Article] = []
    with just_before("SELECT", lambda: new.append(create(views=30))):
        assert 3 == len(read())
    change(new[0].pk, views=0)
    assert 2 == len(check(read))


@pytest.mark.parametrize("leave", ["link", "row"])
def test_a_linked_row_came_while_the_result_was_made(rows: list[Article], leave: str) -> None:
    tag = Tag.objects.create(name="a")
    rows[0].tags.add(tag)
    new: list[Article] = []

    def read() -> int:
        return Article.objects.filter(tags=tag).count()

    def write() -> None:
        new.append(create())
        new[0].tags.add(tag)

    with just_before("COUNT", write):
        assert 2 == read()
    if leave == "link":
        new[0].tags.remove(tag)
    else:
        new[0].delete()
    assert 1 == check(read)


def test_the_link_of_a_row_that_is_gone_goes_while_it_is_asked_about(rows: list[Article]) -> None:
    tag = Tag.objects.create(name="a")
    rows[0].tags.add(tag)

    def read() -> int:
        return Article.objects.filter(tags=tag).count()

    assert 1 == read()
    for each in rows:
        Article.objects.get(pk=each.pk)
    delete_alone(0)()
    links = Article.tags.through._default_manager.filter(article_id=rows[0].pk)
    with just_before(links.model._meta.db_table, links.delete):
        assert 0 == read()
    assert 0 == check(read)


def test_the_server_has_lost_its_scripts(
    rows: list[Article], ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamps are made by a second call then, and the logs have to be read after that."""
    change(rows[2].pk, published=False)
    assert 2 == read_often()
    change(rows[2].pk, views=30)
    Article.objects.get(pk=rows[0].pk)
    step = once(lambda: Article.objects.filter(pk=rows[0].pk).update(views=0))
    pipeline = Channel.pipeline

    def send(self: Channel, commands: Sequence[Command]) -> list[Any]:
        if commands[0][:2] == (b"SCRIPT", b"LOAD"):
            step()
        return pipeline(self, commands)

    with ormcache_redis.client() as client:
        client.script_flush()
    monkeypatch.setattr(Channel, "pipeline", send)
    read_often()
    assert 1 == check(read_often)


def test_what_is_kept_is_stored(rows: list[Article]) -> None:
    assert 3 == read_often()
    new = create(views=0)
    kept = counters["list_revalidated"]
    elsewhere(lambda: check(read_often))
    assert kept + 1 == counters["list_revalidated"]
    change(new.pk, title="t")
    hits = counters["list_hit"]
    assert 3 == check(read_often)
    assert hits + 1 == counters["list_hit"]
