"""Writes while the store is away: they commit, and whoever reaches it first invalidates them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

import ormcache.reads.rows
from ormcache import runtime
from ormcache.exceptions import InvalidationFailed
from ormcache.models import OutboxEntry
from ormcache.outage import check, outbox, table
from ormcache.reads.select import select
from ormcache.stats import counters
from tests.integration.outage import recover
from tests.integration.test_processes import DJANGO, ROOT, python
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Article, Author, Category, PlainThing

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.faults,
    pytest.mark.usefixtures("brief_notice"),
]


@pytest.fixture
def author(ormcache_wire: Wire) -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"], 1) == read() == read()
    return author


@pytest.fixture
def cut(author: Author, ormcache_wire: Wire) -> Iterator[Wire]:
    """The connection is cut; the server behind it keeps what it holds."""
    ormcache_wire.cut()
    yield ormcache_wire
    ormcache_wire.mend()


def waiting() -> int:
    return OutboxEntry.objects.filter(waiting=True).count()


def read() -> tuple[str, list[str], int]:
    return (
        Author.objects.get(slug="a").name,
        [each.name for each in Author.objects.order_by("name")],
        Author.objects.filter(active=True).count(),
    )


def mend(wire: Wire) -> None:
    wire.mend()
    recover()


def rename(author: Author) -> None:
    author.name = "new"
    author.save()


def test_no_list_waits_for_the_marks_of_a_replay(author: Author, cut: Wire) -> None:
    rename(author)
    before = counters["outbox_replayed"], counters["list_wait"]
    mend(cut)
    assert ("new", ["new"], 1) == read() == read()
    assert (before[0] + 1, before[1]) == (counters["outbox_replayed"], counters["list_wait"])


def test_a_write_commits_and_is_fresh_afterwards(author: Author, cut: Wire) -> None:
    rename(author)
    assert ("new", ["new"], 1) == read()
    assert 1 == waiting()
    mend(cut)
    assert ("new", ["new"], 1) == read() == read()
    assert 0 == waiting()


def test_a_frozen_server_is_no_other(author: Author, ormcache_wire: Wire) -> None:
    """It wakes up in the same run, with the values of before, and is asked by a new connection."""
    ormcache_wire.pause()
    rename(author)
    ormcache_wire.resume()
    recover()
    assert ("new", ["new"], 1) == read()


def test_every_kind_of_write_is_noted(author: Author, cut: Wire) -> None:
    other = Author.objects.create(name="b", slug="b")
    Author.objects.filter(slug="a").update(name="new", active=False)
    Article.objects.bulk_create([Article(title="t", author=author) for _ in range(3)])
    PlainThing.objects.create(author=author, name="pen")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO testapp_category (slug, title) VALUES ('c', 'raw')")
    other.delete()
    mend(cut)
    assert ("new", ["new"], 0) == read()
    assert 3 == Article.objects.filter(author=author).count()
    assert ["raw"] == [each.title for each in Category.objects.all()]
    assert author == Author.objects.filter(things__name="pen").get()
    assert 0 == waiting()


def test_a_rolled_back_write_leaves_nothing(author: Author, cut: Wire) -> None:
    with transaction.atomic():
        rename(author)
        transaction.set_rollback(True)
    assert 0 == waiting()
    mend(cut)
    assert ("old", ["old"], 1) == read()


@pytest.mark.processes
def test_a_process_that_was_not_cut_off_finds_out(author: Author, cut: Wire) -> None:
    """It replays what others have noted, as soon as it looks again."""
    direct = f"redis://127.0.0.1:{cut._upstream_port}/0"
    code = (
        DJANGO
        + """
    import time
    from ormcache.stats import counters
    from ormcache.outage import outbox
    outbox.MARK_MS = 1
    print(Author.objects.get(slug="a").name)
    # The marks of the replay expire, and the next read fills.
    time.sleep(0.05)
    Author.objects.get(slug="a")
    hits = counters["list_hit"]
    print(Author.objects.get(slug="a").name, counters["list_hit"] - hits)
    """
    )
    rename(author)
    said = python(code, ORMCACHE_TEST_REDIS=direct)
    assert ["new", "new 1"] == said.splitlines()
    assert 0 == waiting()


def test_it_looks_again_after_a_while(
    author: Author, ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else notes something while this process reaches the store all the time."""
    keys = runtime.current().keys(_label(), Author._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'new'")
    assert ("new", ["new"], 1) == read()
    _write_unseen(author, "newer")
    outbox.put(connection, [keys.row(author.pk), keys.lists])
    found = runtime.current().outbox_checks[_label()]
    assert found.checked.until <= time.monotonic() + outbox.INTERVAL
    found.checked = replace(found.checked, renew_at=0.0)
    assert ("newer", ["newer"], 1) == read()


def _label() -> str:
    from ormcache.writes.hooks import state_of

    return state_of(connection).label


def _write_unseen(author: Author, name: str) -> None:
    """As another process would, cut off from the store."""
    with outbox.own_connection(connection) as other:
        other.ensure_connection()
        cursor = other.create_cursor()
        cursor.execute("UPDATE testapp_author SET name = %s WHERE id = %s", [name, author.pk])
        cursor.close()


def test_a_fill_under_way_is_dropped_by_the_replay(
    author: Author, ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader got its lease, and the old row, before a writer that could not mark."""
    keys = runtime.current().keys(_label(), Author._meta.db_table)
    Author.objects.filter(pk=author.pk).update(name="old")

    def select_slowly(*args: Any) -> Any:
        found = select(*args)
        _write_unseen(author, "new")
        outbox.put(connection, [keys.row(author.pk), keys.lists])
        with outbox.own_connection(connection) as other:
            outbox.replay(other)
        return found

    monkeypatch.setattr(ormcache.reads.rows, "select", select_slowly)
    assert "old" == Author.objects.get(pk=author.pk).name
    monkeypatch.undo()
    assert "new" == Author.objects.get(pk=author.pk).name


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_old_snapshot_does_not_hide_entries(author: Author, cut: Wire, level: str) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a transaction of SQLite is one always: see the next test")
    with transaction.atomic():
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            cursor.execute("SELECT COUNT(*) FROM testapp_author")
        with outbox.own_connection(connection) as other:
            other.ensure_connection()
            cursor = other.create_cursor()
            cursor.execute("UPDATE testapp_author SET name = 'new'")
            keys = runtime.current().keys(_label(), Author._meta.db_table)
            cursor.execute(
                "INSERT INTO ormcache_outbox (namespace, "
                + connection.ops.quote_name("keys")
                + ", waiting, running_until, kept_until, announced) VALUES (%s, %s, %s, 0, 0, 0)",
                [
                    runtime.current().config.namespace,
                    f'["{keys.row(author.pk).decode()}", "{keys.lists.decode()}"]',
                    True,
                ],
            )
            cursor.close()
        mend(cut)
        hits = counters["row_hit"]
        Author.objects.get(pk=author.pk)
        assert hits == counters["row_hit"]
    assert ("new", ["new"], 1) == read()


def test_within_a_transaction_nothing_is_believed_unseen(author: Author, cut: Wire) -> None:
    rename(author)
    cut.mend()
    with transaction.atomic():
        recover()
        assert ("new", ["new"], 1) == read()
    assert ("new", ["new"], 1) == read()


def test_a_statement_that_commits_by_itself_is_noted_before(author: Author, cut: Wire) -> None:
    """Should its process die after it, the entry is there, and stays long enough."""
    entries: list[float] = []

    def look(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE testapp_author"):
            entries.extend(OutboxEntry.objects.values_list("running_until", flat=True))
        return execute(sql, *rest)

    with connection.execute_wrapper(look), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'new'")
    (until,) = entries
    assert time.time() < until
    assert [0.0] == list(OutboxEntry.objects.values_list("running_until", flat=True))
    mend(cut)
    assert ("new", ["new"], 1) == read()
    assert 0 == waiting()


def test_a_statement_that_outlives_its_entry_is_noted_again(author: Author, cut: Wire) -> None:
    def outlive(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE testapp"):
            with outbox.own_connection(connection) as other:
                _forget_all(other)
        return execute(sql, *rest)

    with connection.execute_wrapper(outlive), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = 'new'")
    assert [0.0] == [entry.running_until for entry in OutboxEntry.objects.all()]
    mend(cut)
    assert ("new", ["new"], 1) == read()


def _forget_all(other: Any) -> None:
    """As if the entries had been replayed elsewhere, after their time."""
    with other.cursor() as cursor:
        cursor.execute("DELETE FROM ormcache_outbox")


def test_an_entry_that_may_come_too_early_stays(author: Author, ormcache_wire: Wire) -> None:
    keys = runtime.current().keys(_label(), Author._meta.db_table)
    outbox.put(connection, [keys.row(author.pk)], time.time() + 60)
    for _ in range(2):
        read()
        with outbox.own_connection(connection) as other:
            assert 1 == outbox.replay(other)
        assert 1 == waiting()


def test_invalidate_is_noted(author: Author, cut: Wire) -> None:
    _write_unseen(author, "new")
    ormcache.invalidate(author)
    mend(cut)
    assert ("new", ["new"], 1) == read()


def test_invalidate_within_a_transaction_is_refused(author: Author, cut: Wire) -> None:
    """A rollback would take the note away, but not what it is about."""
    with transaction.atomic(), pytest.raises(InvalidationFailed, match="inside a transaction"):
        ormcache.invalidate(author)


def test_the_entries_of_another_site_are_left_alone(author: Author, cut: Wire) -> None:
    OutboxEntry.objects.create(namespace="another", keys="[]", kept_until=0)
    rename(author)
    mend(cut)
    assert ("new", ["new"], 1) == read()
    left = OutboxEntry.objects.filter(waiting=True)
    assert ["another"] == list(left.values_list("namespace", flat=True))


def test_without_its_table_writes_are_refused(author: Author, ormcache_wire: Wire) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxEntry)
    ormcache_wire.cut()
    try:
        with pytest.raises(InvalidationFailed, match="migrate"):
            rename(author)
        assert "old" == Author.nocache.get(pk=author.pk).name
        mend(ormcache_wire)
        assert ("old", ["old"], 1) == read() == read()
    finally:
        ormcache_wire.mend()
        with connection.schema_editor() as editor:
            editor.create_model(OutboxEntry)


def test_a_database_in_memory_keeps_its_notes_in_the_process(
    author: Author, cut: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "is_private", lambda connection: True)
    rename(author)
    assert ("new", ["new"], 1) == read()
    mend(cut)
    assert ("new", ["new"], 1) == read() == read()
    assert not OutboxEntry.objects.exists()


def test_a_server_that_refuses_marks_is_believed_no_more(ormcache_redis: RedisServer) -> None:
    """It still answers reads, with values that could not be marked."""
    author = Author.objects.create(name="old", slug="a")
    read()
    with ormcache_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-eval")
        rename(author)
        assert ("new", ["new"], 1) == read()
        client.execute_command("ACL", "SETUSER", "default", "+evalsha", "+eval")
    deadline = time.monotonic() + 10
    hits = counters["row_hit"]
    while counters["row_hit"] == hits and time.monotonic() < deadline:
        assert ("new", ["new"], 1) == read()
    assert hits < counters["row_hit"]
    assert 0 == waiting()


def test_a_healthy_site_asks_the_database_rarely(
    author: Author, ormcache_wire: Wire, django_assert_num_queries: Any
) -> None:
    looks = []
    look = outbox.look

    def count(asked: Any) -> outbox.State:
        looks.append(asked)
        return look(asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "INTERVAL", 60.0)
        runtime.reset()
        read()
    with pytest.MonkeyPatch.context() as patch, django_assert_num_queries(0):
        patch.setattr(outbox, "look", count)
        for _ in range(50):
            read()
    assert [] == looks


READER = """
    import sys, threading, time
    from ormcache.stats import counters
    pk = int(sys.stdin.readline())
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    said = []
    while not stop.is_set():
        began, hits = time.monotonic_ns(), counters["row_hit"]
        name = Author.objects.get(pk=pk).name
        said.append((began, name, counters["row_hit"] - hits))
        if len(said) == 20:
            print("ready", flush=True)
    for each in said:
        print(*each, flush=True)
"""


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.whole_notice
def test_what_was_acknowledged_is_seen_by_all(author: Author, ormcache_wire: Wire) -> None:
    """One process reads all the time and is not cut off; the other one is, and writes.

    The first write has to wait for the reader to look again, the others find it alert.
    """
    direct = f"redis://127.0.0.1:{ormcache_wire._upstream_port}/0"
    reader = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(DJANGO + READER)],
        cwd=ROOT,
        env={**os.environ, "ORMCACHE_TEST_REDIS": direct},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        print(author.pk, file=reader.stdin, flush=True)
        assert "ready\n" == reader.stdout.readline()
        ormcache_wire.cut()
        acknowledged = []
        for number in range(5):
            Author.objects.filter(pk=author.pk).update(name=f"new {number}")
            acknowledged.append((time.monotonic_ns(), f"new {number}"))
            time.sleep(0.05)
        said, _ = reader.communicate("\n", timeout=30)
    finally:
        reader.kill()
        ormcache_wire.mend()
    reads = [line.split(" ", 1) for line in said.splitlines() if line != "ready"]
    hits = 0
    for began, rest in reads:
        name, hit = rest.rsplit(" ", 1)
        hits += int(hit)
        newest = [new for at, new in acknowledged if at < int(began)]
        assert not newest or name >= newest[-1], (name, newest)
    assert any(acknowledged[-1][0] < int(began) for began, _ in reads)
    assert hits > 20


def test_only_the_first_write_of_an_outage_waits(
    author: Author, cut: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("ormcache.writes.invalidation.time.sleep", waits.append)
    with transaction.atomic():
        rename(author)
        transaction.set_rollback(True)
    assert [] == waits
    for _ in range(3):
        rename(author)
    assert [outbox.INTERVAL] == waits
    # Long after it, nobody need be alert any more.
    OutboxEntry.objects.update(announced=time.time() - outbox.KEPT)
    rename(author)
    assert [outbox.INTERVAL] * 2 == waits


def test_while_an_entry_is_kept_everybody_looks_before_each_read(
    author: Author, cut: Wire
) -> None:
    rename(author)
    mend(cut)
    read()
    keys = runtime.current().keys(_label(), Author._meta.db_table)
    for number in range(3):
        _write_unseen(author, f"unseen {number}")
        outbox.put(connection, [keys.row(author.pk), keys.lists])
        assert f"unseen {number}" == read()[0]


def test_entries_are_deleted_in_the_end(
    author: Author, cut: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_CLEAR_EVERY", 0.0)
    rename(author)
    mend(cut)
    read()
    assert [False] == list(OutboxEntry.objects.values_list("waiting", flat=True))
    OutboxEntry.objects.update(kept_until=time.time() - 1)
    read()
    assert not OutboxEntry.objects.exists()
    found = runtime.current().outbox_checks[_label()]
    read()
    assert not found.checked.is_alert


@pytest.mark.processes
def test_the_migration_is_complete() -> None:
    said = python(
        DJANGO
        + """
    from django.core.management import call_command
    call_command("makemigrations", "ormcache", check_changes=True, dry_run=True)
    """
    )
    assert "No changes detected in app 'ormcache'" == said


def test_no_outbox_is_asked_when_writes_are_refused(
    author: Author, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}

    def never(*args: object) -> bool:
        raise AssertionError("it was asked")

    for owner, name in ((outbox, "look"), (table, "exists"), (outbox, "replay")):
        monkeypatch.setattr(owner, name, never)
    assert ("old", ["old"], 1) == read()
