"""Several processes, several versions of the code, several stores."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.cache.backends.redis import RedisCache
from django.db import connections
from pytest_django import Settings

import ormcache
from ormcache import runtime
from ormcache.checks import check_models, check_setting
from ormcache.database import labels
from ormcache.exceptions import ConfigError
from ormcache.schema import options, tables
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author, Category, Film, Photo, Tag

ROOT = Path(__file__).resolve().parent.parent.parent


def python(code: str, **environment: str) -> str:
    """Run ``code`` in a process of its own, on the databases of this run."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


DJANGO = """
    import os
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    django.setup()
    from tests.testapp.models import *
"""


def test_importing_reads_no_settings_and_opens_no_socket() -> None:
    code = """
        import socket
        def refuse(*args, **kwargs): raise AssertionError("a socket")
        socket.socket.connect = refuse
        import ormcache
        from ormcache import conf, keys, cells, stats
        import ormcache.coherence.reader, ormcache.store.connect
        from django.conf import settings
        assert not settings.configured
        print(ormcache.__version__)
    """
    assert ormcache.__version__ == python(code, DJANGO_SETTINGS_MODULE="no.such.module")


@pytest.mark.processes
def test_a_forgotten_app_is_named() -> None:
    """Without the app's receivers some writes would not be seen: nothing is cached in silence."""
    code = """
        import django
        from django.conf import settings
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        settings.configure(DATABASES={"default": database})
        django.setup()
        from django.db import models
        from ormcache.exceptions import ConfigError
        from ormcache.models import CachedModel
        class Thing(CachedModel):
            class Meta:
                app_label = "things"
        try:
            Thing.objects.get(pk=1)
        except ConfigError as error:
            print(error)
    """
    assert 'Add "ormcache" to INSTALLED_APPS.' == python(code)


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_write_in_another_process_is_seen_at_once(ormcache_redis: RedisServer) -> None:
    author = Author.objects.create(name="old", slug="a")
    for _ in range(2):
        assert "old" == Author.objects.get(pk=author.pk).name
        assert ["old"] == [each.name for each in Author.objects.order_by("name")]
    out = python(
        DJANGO
        + """
    author = Author.objects.get(slug="a")
    assert "old" == author.name
    author.name = "new"
    author.save()
    from ormcache import get_stats
    print(get_stats()["mark"] > 0)
    """,
        ORMCACHE_TEST_REDIS=ormcache_redis.url,
    )
    assert "True" == out
    assert "new" == Author.objects.get(pk=author.pk).name
    assert ["new"] == [each.name for each in Author.objects.order_by("name")]


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_fork_makes_connections_of_its_own(ormcache_redis: RedisServer) -> None:
    tag = Tag.objects.create(name="a")
    Tag.objects.get(pk=tag.pk)
    connections.close_all()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ok = all(Tag.objects.get(pk=tag.pk).name == "a" for _ in range(50))
            os.write(write, b"1" if ok and runtime.current().store.round_trips else b"0")
        finally:
            os._exit(0)
    for _ in range(50):
        assert "a" == Tag.objects.get(pk=tag.pk).name
    os.waitpid(child, 0)
    assert b"1" == os.read(read, 1)
    with ormcache_redis.client() as client:
        assert len(client.client_list()) >= 2


@pytest.mark.django_db(transaction=True)
def test_two_versions_of_a_model_share_one_redis(
    ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new code has a column less: each version misses what the other wrote, none misreads."""
    tag = Tag.objects.create(name="old")
    new = tables.schema_of(Tag)
    older = tables.Table(
        **{
            **{name: getattr(new.table, name) for name in new.table.__slots__},
            "fingerprint": b"older!!!",
        }
    )

    def read(table: tables.Table) -> str:
        monkeypatch.setattr(
            "ormcache.queryset.schema_on",
            lambda model, vendor: tables.Schema(
                **{
                    **{name: getattr(new, name) for name in new.__slots__},
                    "tables": (table,),
                }
            ),
        )
        return Tag.objects.get(pk=tag.pk).name

    for name in ("old", "newer", "newest"):
        Tag.objects.filter(pk=tag.pk).update(name=name)
        misses = counters["row_miss"]
        assert name == read(older)
        assert name == read(older)
        assert misses + 1 == counters["row_miss"]
        assert name == read(new.table)
        assert misses + 2 == counters["row_miss"]
        assert name == read(older)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_databases_do_not_mix(ormcache_redis: RedisServer) -> None:
    Tag.objects.create(pk=1, name="here")
    Tag.objects.using("other").create(pk=1, name="there")
    for _ in range(2):
        assert "here" == Tag.objects.get(pk=1).name
        assert "there" == Tag.objects.using("other").get(pk=1).name
        assert ["there"] == [tag.name for tag in Tag.objects.using("other").all()]
        assert "other" == Tag.objects.using("other").get(pk=1)._state.db
    Tag.objects.using("other").update(name="changed")
    assert "here" == Tag.objects.get(pk=1).name
    assert "changed" == Tag.objects.using("other").get(pk=1).name


@pytest.mark.django_db(transaction=True)
def test_a_django_redis_alias(ormcache_redis: RedisServer, settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": ormcache_redis.url,
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
        "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }
    settings.ORMCACHE = {"CACHE": "default", "NAMESPACE": "alias"}
    assert [] == check_setting()
    tag = Tag.objects.create(name="a")
    hits = counters["row_hit"]
    for _ in range(2):
        assert "a" == Tag.objects.get(pk=tag.pk).name
    assert hits + 1 == counters["row_hit"]
    with ormcache_redis.client() as client:
        assert [] != client.keys("alias:*")
    settings.ORMCACHE = {"CACHE": "local"}
    assert ["ormcache.E004"] == [each.id for each in check_setting()]
    with pytest.raises(ConfigError, match="is not one of Redis"):
        runtime.current()


BUILT_IN = "django.core.cache.backends.redis.RedisCache"


class OwnCache(RedisCache):
    """A project's own subclass of Django's backend."""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("own", [False, True], ids=["Django's", "a subclass"])
def test_an_alias_of_djangos_own_backend(
    ormcache_redis: RedisServer, settings: Settings, own: bool
) -> None:
    """Its first server is the primary, and its options are those of the connection."""
    settings.CACHES = {
        "default": {
            "BACKEND": f"{__name__}.OwnCache" if own else BUILT_IN,
            "LOCATION": [ormcache_redis.url.removesuffix("/0"), "redis://127.0.0.1:1"],
            "OPTIONS": {"db": 3, "username": "hans", "password": "geheim"},
        },
    }
    settings.ORMCACHE = {"CACHE": "default", "NAMESPACE": "alias"}
    assert [] == check_setting()
    with ormcache_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "hans", "on", ">geheim", "~*", "+@all")
        tag = Tag.objects.create(name="a")
        hits = counters["row_hit"]
        for _ in range(2):
            assert "a" == Tag.objects.get(pk=tag.pk).name
        assert hits + 1 == counters["row_hit"]
        assert {"db0", "db3"} & client.info("keyspace").keys() == {"db3"}


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("django.core.cache.backends.locmem.LocMemCache", "is not one of Redis"),
        ("django.core.cache.backends.reddis.RedisCache", "cannot be imported"),
        ("django.core.cache.backends.redis.RedisCash", "cannot be imported"),
    ],
)
def test_an_alias_of_another_backend_is_named(settings: Settings, backend: str, text: str) -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "redis://u:geheim@x"}}
    settings.ORMCACHE = {"CACHE": "default"}
    (found,) = check_setting()
    assert "ormcache.E004" == found.id
    assert text in found.msg
    with pytest.raises(ConfigError, match=text):
        runtime.current()


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("redis://:geheim@x:y", "its port is none"),
        ("redis://:pa/geheim@x", "cannot be made"),
    ],
)
def test_what_is_wrong_with_an_alias_is_said_without_its_password(
    settings: Settings, location: str, said: str
) -> None:
    settings.CACHES = {"default": {"BACKEND": BUILT_IN, "LOCATION": location}}
    settings.ORMCACHE = {"CACHE": "default"}
    with pytest.raises(ConfigError, match=said) as caught:
        runtime.current()
    assert "geheim" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_no_setting_at_all_works(settings: Settings) -> None:
    del settings.ORMCACHE
    assert ["ormcache.W001"] == [each.id for each in check_setting()]
    tag = Tag.objects.create(name="a")
    hits = counters["row_hit"]
    for _ in range(2):
        assert "a" == Tag.objects.get(pk=tag.pk).name
    assert hits + 1 == counters["row_hit"]


def test_changed_settings_are_honoured(settings: Settings) -> None:
    settings.ORMCACHE = {"URL": "memory://", "NAMESPACE": "one"}
    first = runtime.current()
    assert "one" == first.config.namespace
    settings.ORMCACHE = {"URL": "memory://", "NAMESPACE": "two"}
    assert "two" == runtime.current().config.namespace
    assert first is not runtime.current()


@pytest.mark.parametrize(
    ("setting", "ids", "text"),
    [
        ({"URL": "memory://", "TIMEOT": 5}, ["E001", "W001"], 'Did you mean "TIMEOUT"?'),
        ({"URL": "http://u:secret@x"}, ["E002"], "has the scheme 'http'"),
        ({"URL": 5}, ["E002"], "must be a string, not int"),
        ({"TIMEOT": 5}, ["E001", "W001"], 'Did you mean "TIMEOUT"?'),
        ({"URL": "redis://x", "TIMEOUT": "5"}, ["E002"], "must be seconds, a timedelta or None"),
        ({"URL": "redis://x", "TIMEOUT": -5}, ["E002"], "must be above 0 and at most"),
        ({"URL": "redis://x", "ENABLED": "no"}, ["E002"], "must be True or False, not 'no'."),
        ({"url": "redis://x"}, ["E001"], 'Did you mean "URL"?'),
        ({"URL": "redis://x", "NAMESPACE": "a b"}, ["E002"], "may hold up to 64 letters"),
        ({"URL": "redis://x", "CACHE": "default"}, ["E003", "E004"], "both"),
        ({"CACHE": "nowhere"}, ["E004"], "CACHES has no such alias"),
        ("redis://x", ["E002"], "must be a dictionary, not str"),
    ],
)
def test_mistakes_in_the_setting(
    settings: Settings, setting: Any, ids: list[str], text: str
) -> None:
    settings.ORMCACHE = setting
    found = check_setting()
    assert [f"ormcache.{each}" for each in ids] == [each.id for each in found]
    assert text in " ".join(f"{each.msg} {each.hint}" for each in found)
    assert "secret" not in str(found)
    assert all(
        each.msg.count("Did you mean") + str(each.hint).count("Did you mean") < 2 for each in found
    )


def test_every_model_of_the_tests_passes_its_checks() -> None:
    found = [each for each in check_models() if each.level >= checks.ERROR]
    assert [] == found


def test_options_are_inherited() -> None:
    assert 600.0 == options.options_of(Photo).timeout
    film = options.options_of(Film)
    assert (600.0, False, "films") == (film.timeout, film.lists, film.namespace)
    assert "testapp.Category" == options.options_of(Category).namespace


@pytest.mark.django_db(databases=["default", "other"])
def test_databases_have_names_of_their_own() -> None:
    names = {alias: labels.identify(connections[alias]) for alias in ("default", "other")}
    assert names == {alias: labels.identify(connections[alias]) for alias in names}
    assert 2 == len(set(names.values()) - {None})
