"""A PostgreSQL server and a hot standby that follows it, both of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, models
from pytest_django import Settings

from ormcache.reads import entries
from tests.integration.aliases import another_alias
from tests.plugins.redis_server import RedisServer, free_port
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
WAIT_SECONDS = 30


def program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([*map(str, PROGRAMS), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"no program {name}")
    return found


def user() -> str | None:
    """The user to run the servers as: they refuse to run as root."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("no user postgres")


def run(name: str, *arguments: Any) -> None:
    command = [program(name), *map(str, arguments)]
    subprocess.run(command, check=True, user=user(), stdout=subprocess.DEVNULL, cwd="/")


class Server:
    """One server on the data of ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()

    def start(self) -> None:
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.directory / "log"
        run("pg_ctl", "start", "-w", "-s", "-D", self.directory, "-l", log, "-o", options)

    def stop(self) -> None:
        run("pg_ctl", "stop", "-s", "-D", self.directory, "-m", "immediate")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """The primary and its standby."""
    for name in ("initdb", "pg_ctl", "pg_basebackup"):
        program(name)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ormcache-pg-")))
        if (owner := user()) is not None:
            shutil.chown(home, owner)
        primary, standby = Server(home / "primary"), Server(home / "standby")
        trust = ("-A", "trust", "-U", "postgres", "-N")
        run("initdb", "-D", primary.directory, *trust)
        primary.start()
        stack.callback(primary.stop)
        source = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres", "-R", "-N")
        run("pg_basebackup", "-D", standby.directory, *source, "-c", "fast")
        standby.start()
        stack.callback(standby.stop)
        yield primary, standby


@pytest.fixture
def author(
    ormcache_redis: RedisServer, servers: tuple[Server, Server], settings: Settings
) -> Iterator[Author]:
    """On the primary as ``old``, and read by nobody. The standby follows no further."""
    # A test may not look into an outbox of databases that it does not name.
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}
    primary, standby = servers
    there = {"HOST": "127.0.0.1", "NAME": "postgres", "USER": "postgres", "PASSWORD": ""}
    with (
        another_alias("primary", PORT=str(primary.port), **there) as source,
        another_alias("standby", PORT=str(standby.port), **there) as copy,
    ):
        with source.schema_editor() as editor:
            editor.create_model(Author)
        try:
            author = Author.objects.using("primary").create(name="old", slug="a")
            catch_up()
            with copy.cursor() as cursor:
                cursor.execute("SELECT pg_wal_replay_pause()")
            yield author
        finally:
            follow()
            with source.schema_editor() as editor:
                editor.delete_model(Author)


def catch_up() -> None:
    """Wait until the standby has what the primary has."""
    with connections["primary"].cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        (written,) = cursor.fetchone()
    deadline = time.monotonic() + WAIT_SECONDS
    with connections["standby"].cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written])
            if cursor.fetchone() == (True,):
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)


def follow() -> None:
    with connections["standby"].cursor() as cursor:
        cursor.execute("SELECT pg_wal_replay_resume()")


def seen(author: Author, alias: str | None = None) -> tuple[str, list[str], int]:
    authors = Author.objects.using(alias)
    return (
        authors.get(pk=author.pk).name,
        [each.name for each in authors.order_by("name")],
        authors.filter(name="new").count(),
    )


OLD, NEW = ("old", ["old"], 0), ("new", ["new"], 1)


def rename(author: Author) -> None:
    """On the primary; the standby is proved to lag behind."""
    Author.objects.using("primary").filter(pk=author.pk).update(name="new")
    assert "old" == Author.nocache.using("standby").get(pk=author.pk).name


def test_a_standby_fills_nothing(author: Author) -> None:
    rename(author)
    assert OLD == seen(author, "standby")
    follow()
    catch_up()
    assert NEW == seen(author, "standby")


class ReadsStandby:
    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return "standby"

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "primary"


def test_reads_that_are_routed_to_a_standby(author: Author, settings: Settings) -> None:
    """What is not cached is read where it is newest."""
    settings.DATABASE_ROUTERS = [ReadsStandby()]
    rename(author)
    assert NEW == seen(author) == seen(author)
    Author.objects.update(name="old")
    assert OLD == seen(author) == seen(author)


def test_a_list_that_another_reader_fills(
    author: Author, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that was granted no lease was answered by the standby."""
    settings.DATABASE_ROUTERS = [ReadsStandby()]
    rename(author)
    monkeypatch.setattr(entries.ListEntry, "_await_turn", lambda *args: entries.MISSING)
    assert NEW == seen(author)


def test_an_address_that_leads_to_a_standby_at_last(author: Author) -> None:
    """After a fail-over the next connection to an address may reach another server."""
    with another_alias("moving", **dict(connections.settings["primary"])) as moving:
        assert OLD == seen(author, "moving") == seen(author, "primary")
        rename(author)
        moving.close()
        moving.settings_dict["PORT"] = connections.settings["standby"]["PORT"]
        moving.connect()
        assert OLD == seen(author, "moving")
    assert NEW == seen(author, "primary")
