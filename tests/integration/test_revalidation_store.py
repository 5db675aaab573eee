"""What is in the store when a result is asked whether it still holds, and what comes between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.db import connection, transaction
from django.db.models import BooleanField, Expression
from django.test.utils import CaptureQueriesContext

import ormcache
from ormcache import cells, runtime
from ormcache.codec.records import pack_record
from ormcache.codec.values import pack
from ormcache.coherence import flight
from ormcache.coherence.log import MOST_RECORDS
from ormcache.coherence.reader import Reader
from ormcache.query import lists, pointers, revalidation
from ormcache.query.fingerprint import stable
from ormcache.stats import counters
from tests.integration.interleave import after, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def authors(ormcache_redis: RedisServer) -> list[Author]:
    return [Author.objects.create(name=f"name {i}", slug=f"s{i}") for i in range(6)]


@pytest.fixture
def raw(ormcache_redis: RedisServer) -> Iterator[redis.Redis]:
    with ormcache_redis.client() as client:
        yield client


def rename(author: Author, name: str) -> None:
    Author.objects.filter(pk=author.pk).update(name=name)


def early() -> Any:
    return Author.objects.filter(name__lt="name 3").order_by("name")


def ids(queryset: Any) -> list[int]:
    return [each.pk for each in queryset]


def read(make: Callable[[], Any] = early) -> int:
    """How many results were kept by a read whose answer has to be right."""
    before = counters["list_revalidated"]
    found = make()
    found = found if isinstance(found, int) else ids(found)
    with ormcache.bypass():
        expected = make()
        assert found == (expected if isinstance(expected, int) else ids(expected))
    return counters["list_revalidated"] - before


def named(raw: redis.Redis, pattern: str) -> list[bytes]:
    return sorted(raw.scan_iter(match=pattern, count=1000))


def entry(raw: redis.Redis) -> bytes:
    (found,) = named(raw, "*:testapp_author:list:*")
    return found


def value_of(raw: redis.Redis) -> cells.Value:
    cell: Any = raw.get(entry(raw))
    for stamps in range(1, 20):
        value = cells.unpack_value(cell, stamps)
        if value is not None and value.payload == pack([ids(early()), []]):
            return value
    raise AssertionError("no entry of pointers")


# What is not asked


def test_a_result_under_a_key_of_the_developers(authors: list[Author]) -> None:
    """It may be that of other values."""
    wanted = ["name 2"]

    def make() -> Any:
        return Author.objects.filter(name__lt=wanted[0]).order_by("name").cache(key="early")

    ids(make())
    wanted[0] = "name 3"
    rename(authors[5], "name 7")
    assert 0 == read(make)


def test_a_result_that_is_to_be_made_anew(authors: list[Author]) -> None:
    ids(early())
    rename(authors[5], "name 7")
    with CaptureQueriesContext(connection) as captured:
        assert 0 == read(lambda: early().reset())
    assert " IN (" not in captured.captured_queries[0]["sql"]


def test_a_result_with_declared_dependencies(authors: list[Author]) -> None:
    def make() -> Any:
        return early().cache(depends_on=[Author])

    ids(make())
    rename(authors[5], "name 7")
    assert 0 == read(make)


def test_an_expression_that_may_read_other_rows(authors: list[Author]) -> None:
    @stable
    class IsLast(Expression):
        output_field = BooleanField()

        def __init__(self) -> None:
            super().__init__(BooleanField())

        def as_sql(self, compiler: Any, connection: Any) -> Any:
            return "(testapp_author.name = (SELECT MAX(U.name) FROM testapp_author U))", ()

    def make() -> Any:
        return Author.objects.annotate(last=IsLast()).filter(last=True, active=True)

    Author.objects.filter(pk=authors[5].pk).update(active=False)
    assert [] == ids(make())
    ids(make())
    rename(authors[5], "name 1")
    assert 0 == read(make)


def test_raw_sql_names_no_rows(authors: list[Author]) -> None:
    ids(early())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'name 7' WHERE name = 'name 5'")
    assert 0 == read()


def test_a_new_row_whose_key_nobody_knows(authors: list[Author]) -> None:
    ids(early())
    Author.objects.bulk_create([Author(name="name 0", slug="x")], ignore_conflicts=True)
    assert 0 == read()


def test_a_row_that_comes_back_under_its_key(authors: list[Author]) -> None:
    ids(early())
    with transaction.atomic():
        authors[5].delete()
        Author.objects.create(pk=authors[4].pk + 1, name="name 0", slug="x")
    assert 0 == read()


@pytest.mark.parametrize("count", [64, 65])
def test_as_many_rows_of_one_transaction_as_a_record_holds(
    authors: list[Author], count: int
) -> None:
    ids(early())
    with transaction.atomic():
        for i in range(count):
            Author.objects.create(name=f"new {i}", slug=f"new-{i}")
    assert (count == 64) == read()


@pytest.mark.parametrize("count", [MOST_RECORDS, MOST_RECORDS + 1])
def test_as_many_writes_between_two_reads_as_a_log_holds(
    authors: list[Author], count: int
) -> None:
    ids(early())
    for i in range(count):
        Author.objects.filter(pk=authors[5].pk).update(name=f"other {i}")
    assert (count == MOST_RECORDS) == read()


def test_more_rows_than_the_query_is_dear(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revalidation, "MOST_ROWS", 4)
    ids(early())
    rename(authors[5], "name 7")
    assert 1 == read()
    # Three are in the list.
    rename(authors[5], "name 8")
    rename(authors[4], "name 6")
    assert 0 == read()


def test_more_rows_than_a_count_is_dear(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revalidation, "MOST_ROWS", 4)

    def make() -> int:
        return Author.objects.filter(name="?").count()

    make()
    for count, kept in ((4, 1), (5, 0)):
        for i in range(count):
            Author.objects.create(name=f"new {i}", slug=f"{count}-{i}")
        assert kept == read(make)


def test_the_head_of_a_list_of_no_order(authors: list[Author]) -> None:
    def make() -> Any:
        return Author.objects.filter(active=True, name__gt="a")[:2]

    ids(make())
    rename(authors[5], "name 7")
    assert 0 == read(make)


def test_a_slice_of_nothing(authors: list[Author]) -> None:
    assert [] == ids(early()[:0])
    rename(authors[5], "name 7")
    assert 0 == read(lambda: early()[:0])


# What comes between


def test_a_write_after_the_stamps_were_captured(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database shows it already, or else the stamps do."""
    # However busy the machine is, the list is cheap enough to be made anew without an election.
    monkeypatch.setattr(flight, "CHEAP", float("inf"))
    ids(early())
    rename(authors[5], "name 7")
    after(monkeypatch, Reader, "capture", once(lambda: rename(authors[4], "name 00")))
    assert 0 == read()
    assert 0 == read()
    rename(authors[5], "name 8")
    assert 1 == read()


@pytest.mark.parametrize("name", ["name 00", "name 9"])
def test_a_write_between_the_question_and_the_storing(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ids(early())
    rename(authors[5], "name 7")
    after(monkeypatch, pointers, "list_holds", once(lambda: rename(authors[4], name)))
    before = counters["list_revalidated"]
    with CaptureQueriesContext(connection) as captured:
        found = ids(early())
    # It asked anew, and saw what had come in between.
    with ormcache.bypass():
        assert found == ids(early())
    assert before == counters["list_revalidated"]
    assert 1 < len(captured.captured_queries)
    assert (name == "name 9") == read()


def test_a_write_between_the_question_of_a_count_and_the_storing(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Any:
        return Author.objects.filter(active=False, name__lt="z").count()

    assert 0 == make()
    rename(authors[5], "name 7")

    def write() -> None:
        Author.objects.filter(pk=authors[1].pk).update(active=False)

    after(monkeypatch, lists, "is_untouched", once(write))
    assert 0 == read(make)
    assert 1 == make()


def test_while_a_writer_is_at_work(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    (stamp,) = named(raw, "*:testapp_author:col:name")
    rename(authors[5], "name 7")
    runtime.current().writer.mark(bytes(16), [stamp])
    before = raw.get(entry(raw))
    assert 0 == read()
    assert before == raw.get(entry(raw))


def test_a_writer_that_begins_after_the_look(
    authors: list[Author], raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        number: int = early().filter(active=False).count()
        return number

    count()
    (stamp,) = named(raw, "*:testapp_author:col:name")
    rename(authors[5], "name 7")
    mark, record = runtime.current().writer.mark, pack_record([authors[5].pk], [], [])

    def begin() -> None:
        mark(bytes(16), [stamp], records={stamp: record})

    after(monkeypatch, Reader, "read_entry", once(begin))
    assert 0 == read(count)


# What is stored again


def test_the_lease_is_given_back(
    authors: list[Author], raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "CHEAP", 0.0)
    ids(early())
    rename(authors[5], "name 7")
    asked: list[bytes] = []
    after(monkeypatch, Reader, "elect", lambda: asked.extend(named(raw, "*:lease:*")))
    assert 1 == read()
    assert 1 == len(asked)
    assert [] == named(raw, "*:lease:*")


def test_the_expiry_stays(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    value, left = value_of(raw), raw.pttl(entry(raw))
    rename(authors[5], "name 7")
    assert 1 == read()
    again = value_of(raw)
    assert value.nonce != again.nonce
    assert (value.soft, value.cost) == (again.soft, again.cost)
    assert 0 < raw.pttl(entry(raw)) <= left


def test_no_expiry_stays_none(authors: list[Author], raw: redis.Redis) -> None:
    def make() -> Any:
        return early().cache(timeout=None)

    ids(make())
    rename(authors[5], "name 7")
    assert 1 == read(make)
    # For as long as a list is kept at all.
    assert 29 * 86_400 < raw.ttl(entry(raw)) <= 30 * 86_400


def test_an_entry_that_has_expired(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    cell, value = raw.get(entry(raw)), value_of(raw)
    assert cell is not None
    prefix = cells.value_prefix(value.epoch, value.fingerprint, value.stamps)
    late = cells.pack_value(prefix, value.nonce, time.time() - 1, value.cost, value.payload)
    assert len(late) == len(cell)
    raw.set(entry(raw), late)
    rename(authors[5], "name 7")
    assert 0 == read()


def test_an_entry_of_another_run_of_the_server(
    authors: list[Author], ormcache_redis: RedisServer, raw: redis.Redis
) -> None:
    """What the server lost when it went down, no log tells."""
    ids(early())
    raw.save()
    rename(authors[4], "name 0")
    ormcache_redis.restart()
    runtime.current().store.close()
    rename(authors[5], "name 7")
    assert 0 == read()


def test_an_entry_of_other_columns(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    value = value_of(raw)
    prefix = cells.value_prefix(value.epoch, bytes(8), value.stamps)
    raw.set(entry(raw), cells.pack_value(prefix, value.nonce, 0, value.cost, value.payload))
    rename(authors[5], "name 7")
    assert 0 == read()


# What nobody vouches for


def log(raw: redis.Redis) -> bytes:
    (found,) = (each for each in named(raw, "*:log:*") if b"col:name}" in each)
    return found


HOSTILE = {
    "garbage": b"garbage",
    "nothing": b"",
    "other types": pack([["1"], [None, 1.5], []]),
    "another shape": pack([[1]]),
    "a key beyond any column": pack([[2**70], [], []]),
    "booleans": pack([[True], [], []]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_is_none(authors: list[Author], raw: redis.Redis, name: str) -> None:
    ids(early())
    rename(authors[5], "name 7")
    raw.rpush(log(raw), bytes(8) + HOSTILE[name])
    assert 0 == read()


def test_keys_of_no_rows(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    rename(authors[5], "name 7")
    raw.rpush(log(raw), bytes(8) + pack([[-5, 2**62], [0], []]))
    assert 1 == read()


def test_a_log_without_the_stamp(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    rename(authors[5], "name 7")
    raw.rpush(log(raw), bytes(8) + pack([[authors[4].pk], [], []]))
    raw.lpop(log(raw))
    assert 0 == read()


def test_a_log_that_is_gone(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    rename(authors[5], "name 7")
    raw.delete(log(raw))
    assert 0 == read()


def test_one_log_of_two_that_is_gone(authors: list[Author], raw: redis.Redis) -> None:
    def make() -> Any:
        return early().filter(active=True)

    ids(make())
    rename(authors[4], "name 00")
    raw.delete(log(raw))
    Author.objects.filter(pk=authors[5].pk).update(active=False)
    assert 0 == read(make)


def test_a_log_of_another_type(authors: list[Author], raw: redis.Redis) -> None:
    """The database is asked, until the next write puts the log right."""
    ids(early())
    rename(authors[5], "name 7")
    key = log(raw)
    raw.delete(key)
    raw.set(key, b"text")
    before = counters["store_error"]
    assert 0 == read()
    assert before < counters["store_error"]
    rename(authors[5], "name 8")
    assert 0 == read()
    rename(authors[5], "name 9")
    assert 1 == read()


def test_a_log_of_a_million_records(authors: list[Author], raw: redis.Redis) -> None:
    """No more of it is asked for than a log has."""
    ids(early())
    rename(authors[5], "name 7")
    key = log(raw)
    raw.rpush(key, *[bytes(8) + pack([[], [], []])] * 50_000)
    assert 0 == read()


def test_an_entry_whose_payload_is_none(authors: list[Author], raw: redis.Redis) -> None:
    ids(early())
    value = value_of(raw)
    prefix = cells.value_prefix(value.epoch, value.fingerprint, value.stamps)
    raw.set(entry(raw), cells.pack_value(prefix, value.nonce, 0, 0, pack([["1"], []])))
    rename(authors[5], "name 7")
    before = counters["corrupt"]
    assert 0 == read()
    assert before + 1 == counters["corrupt"]


def test_a_mark_that_names_no_rows_ends_the_log(raw: redis.Redis, authors: list[Author]) -> None:
    read()
    rename(authors[5], "name 9")
    key = log(raw)
    stamp = key[key.index(b"{") + 1 : -1]
    runtime.current().writer.mark(cells.new_token(), [stamp])
    assert not raw.exists(key)
