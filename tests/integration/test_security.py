"""A user with as few rights as the documentation grants, TLS, and keys made of what users type."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

import ormcache
from ormcache import runtime
from ormcache.keys import parse, site_prefix
from ormcache.models import OutboxEntry
from ormcache.stats import counters
from tests.commands import run
from tests.plugins.redis_server import RedisServer, free_port
from tests.testapp.models import Article, Author, Category, Tag

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("brief_notice"),
]

DOCS = Path(__file__).resolve().parents[2] / "docs"


def documented_rights() -> tuple[list[str], list[str]]:
    """The line of the documentation, and what it grants to the commands besides."""
    text = (DOCS / "how-to" / "redis.rst").read_text()
    line = re.search(r"ACL SETUSER mysite (.*)", text)
    more = re.search(r"needs besides ``([^`]*)``", text)
    assert line
    assert more
    return line[1].split(), more[1].split()


@pytest.fixture
def restricted(redis_server: RedisServer, settings: Settings) -> RedisServer:
    """ormcache is a user with exactly the documented rights."""
    rights, _ = documented_rights()
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "mysite", *rights)
    url = f"redis://mysite:password@127.0.0.1:{redis_server.port}/0"
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": url, "NAMESPACE": "mysite"}
    return redis_server


def exercise() -> None:
    """Every command of the store: hits, fills, lists, declared dependencies, writes, verbs."""
    author = Author.objects.create(name="old", slug="a")
    for name in ("new", "newer"):
        for _ in range(2):
            Author.objects.get(pk=author.pk)
            list(Author.objects.select_related("profile").filter(active=True))
            list(Tag.objects.cache(key="tags", depends_on=[author], timeout=60))
            list(Tag.objects.cache(key="for ever", timeout=None))
            Author.objects.count()
        list(Author.objects.filter(name="?"))
        Author.objects.filter(pk=author.pk).update(name=name)
        # What the write has invalidated is looked at once more.
        list(Author.objects.filter(name="?"))
        Tag.objects.bulk_create([Tag(name=f"{name}{i}") for i in range(3)])
        ormcache.invalidate(Author)
        assert name == Author.objects.get(pk=author.pk).name
    list(Author.objects.filter(active=True).reset())
    Author.objects.filter(active=True).clean()
    author.delete()
    assert not Author.objects.filter(active=True).exists()


def refusals(server: RedisServer) -> list[object]:
    with server.client() as client:
        return [
            (entry["username"], entry["reason"], entry["object"])
            for entry in client.acl_log()
            # By which redis-py says its name, to servers from 7.2 on; it does without.
            if entry["object"] != "client|setinfo"
        ]


def test_the_documented_rights_suffice(restricted: RedisServer) -> None:
    hits = counters["row_hit"], counters["list_hit"]
    exercise()
    assert [] == refusals(restricted)
    assert not OutboxEntry.objects.filter(waiting=True)
    assert hits[0] < counters["row_hit"]
    assert hits[1] < counters["list_hit"]


def test_the_documented_rights_are_needed(restricted: RedisServer) -> None:
    """None is granted in vain; those a script calls are asked of it like any other."""
    rights, _ = documented_rights()
    used = set()
    with restricted.client() as client:
        for right in rights:
            if not right.startswith("+") or right in ("+info", "+hincrby"):
                # Counted for the site now and then; missing, the epoch is unknown.
                continue
            client.execute_command("ACL", "SETUSER", "mysite", "-" + right[1:])
            client.execute_command("ACL", "LOG", "RESET")
            runtime.reset()
            client.script_flush()
            client.flushall()
            try:
                exercise()
            finally:
                Author.objects.all().delete()
                Tag.objects.all().delete()
                # The marks of a replay would keep the next one from filling lists.
                OutboxEntry.objects.all().delete()
            used |= {right} if refusals(restricted) else set()
            client.execute_command("ACL", "SETUSER", "mysite", right)
    granted = {right for right in rights if right.startswith("+")} - {"+info", "+hincrby"}
    assert granted == used


def test_the_commands_need_a_little_more(restricted: RedisServer) -> None:
    _, more = documented_rights()
    with restricted.client() as client:
        client.execute_command("ACL", "SETUSER", "mysite", *more)
    Author.objects.create(name="old", slug="a")
    list(Author.objects.all())
    for arguments in (
        ["stats", "--keys"],
        ["ping"],
        ["inspect", "testapp.Author", str(Author.nocache.get().pk), "--compare"],
        ["audit"],
        ["purge", "testapp"],
    ):
        run(*arguments)
    assert [] == refusals(restricted)


def test_a_user_without_rights_reads_the_database(
    redis_server: RedisServer, settings: Settings
) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "mysite", "on", ">password", "-@all", "~*")
    url = f"redis://mysite:password@127.0.0.1:{redis_server.port}/0"
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": url}
    exercise()


def test_a_server_that_hides_its_run_is_counted(restricted: RedisServer) -> None:
    with restricted.client() as client:
        client.execute_command("ACL", "SETUSER", "mysite", "-info")
    unknown = counters["epoch_unknown"]
    exercise()
    assert unknown < counters["epoch_unknown"]


@pytest.fixture
def tls(redis_server: RedisServer, tmp_path: Path) -> str:
    """A server that speaks TLS only, with a certificate of its own making."""
    redis_server.kill()
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem".split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    port = free_port()
    redis_server.arguments = (
        "--tls-port", str(port), "--tls-auth-clients", "no",
        "--tls-cert-file", f"{tmp_path}/cert.pem", "--tls-key-file", f"{tmp_path}/key.pem",
        "--tls-ca-cert-file", f"{tmp_path}/cert.pem",
    )  # fmt: skip
    redis_server.start()
    return f"rediss://127.0.0.1:{port}/0"


def test_tls(tls: str, tmp_path: Path, settings: Settings) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": f"{tls}?ssl_ca_certs={tmp_path}/cert.pem"}
    hits = counters["row_hit"]
    exercise()
    assert hits < counters["row_hit"]


def test_an_unknown_certificate_is_refused(tls: str, settings: Settings) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": tls}
    hits, errors = counters["row_hit"], counters["store_error"]
    exercise()
    assert hits == counters["row_hit"]
    assert errors < counters["store_error"]


HOSTILE = [
    "x:row:1", "../../gen", "*", "a\x00b", "\r\nFLUSHALL\r\n", "%3A", ":", "n" * 5000, "{slot}",
    "é\u2028", "row:1\" \"",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_users_type_stays_in_its_place(ormcache_redis: RedisServer, text: str) -> None:
    """In a key of cache(), in a text primary key and in a filter."""
    author = Author.objects.create(name="a", slug="a")
    Article.objects.create(author=author, title="t")
    list(Author.objects.cache(key=text))
    if "\x00" not in text or connection.vendor != "postgresql":
        list(Author.objects.filter(slug=text))
        list(Author.objects.filter(name=text).cache(key=f"{text}2"))
    if connection.vendor != "mysql" and "\x00" not in text and len(text) < 50:
        Category.objects.create(slug=text, title=text)
        assert text == Category.objects.get(pk=text).title
    prefix = site_prefix(runtime.current().config.namespace)
    with ormcache_redis.client() as client:
        for key in client.keys():
            assert key.startswith(prefix)
            found = parse(prefix, key)
            assert found is not None
            assert found.table.startswith("testapp_")
            assert b"\r" not in key or found.kind in ("named", "row", "reverse")
