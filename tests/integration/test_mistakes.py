"""Mistakes of a new user: each is named where it is made, with what mends it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import CommandError
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps
from pytest_django import Settings

from ormcache import runtime
from ormcache.checks import _check_model, check_models, check_setting
from ormcache.exceptions import ConfigError
from ormcache.models import CachedModel, _check_installed
from ormcache.schema.options import options_of
from ormcache.store.mistakes import on_silence
from tests.commands import run
from tests.integration.test_processes import python
from tests.plugins.redis_server import RedisServer, Sentinel
from tests.testapp.models import Author, Film


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://x?socket_timout=1", "option 'socket_timout'. Did you mean \"socket_timeout\"?"),
        ("redis://x?max_conections=1", 'Did you mean "max_connections"?'),
        ("redis://x?ssl_ca_certs=1", "one of rediss:// URLs"),
        ("redis://x?zzzz=1", "The options are those of redis-py"),
        ("unix:///tmp/x?socket_timout=1", 'Did you mean "socket_timeout"?'),
        ("redis+sentinel://x/main/0?socket_timout=1", 'Did you mean "socket_timeout"?'),
        ("redis+sentinel://x/main?sentinel_pasword=1", 'Did you mean "sentinel_password"?'),
        ("redis://x/abc", "'abc' is no database number; write one after the host and port"),
        ("rediss://x:5/1/2", "'1/2' is no database number"),
        ("redis://x/-1", "'-1' is no database number"),
        ("redis+sentinel://x/main/abc", "write redis+sentinel://host:26379"),
        ("redis://x?db=zwei", "option 'db' is 'zwei'; write a whole number, as in ?db=1"),
        ("redis://x?socket_timeout=a", "option 'socket_timeout' is 'a'; write seconds, as in ?"),
        ("redis+sentinel://x/main?sentinel_socket_timeout=a", "'sentinel_socket_timeout' is 'a'"),
        ("redis://127.0.0.1:zz/0", "redis://127.0.0.1:…/0: its port is none"),
        ("redis://u:pw@x:99999", "redis://x:…: its port is none"),
        ("rediss://x:0/0", "its port is none"),
        ("redis+sentinel://x:zz,y/main/0", "its port is none"),
        ("redis:/127.0.0.1:6379", "redis:…: two slashes follow the colon: write redis://host:"),
        ("redis:/:pw@127.0.0.1:6379/0", "two slashes follow the colon: write redis://host:"),
        ("unix:/tmp/x.sock", "write unix:///path/to/socket"),
        ("redis+sentinel:x/main", "write redis+sentinel://host:26379/service/0"),
    ],
)
def test_a_url_that_cannot_work_is_found_by_the_checks(
    settings: Settings, url: str, said: str
) -> None:
    settings.ORMCACHE = {"URL": url}
    (found,) = check_setting()
    assert "ormcache.E002" == found.id
    assert said in found.msg
    assert "reference/settings.html#setting-url" in str(found.hint)


@pytest.mark.parametrize(
    "url",
    [
        "redis://x",
        "redis://x/",
        "redis://x/15?socket_timeout=1&max_connections=5&client_name=a",
        "rediss://x/1?ssl_cert_reqs=none",
        "unix:///tmp/x.sock?db=3",
        "redis+sentinel://x,y/main?sentinel_username=a&sentinel_password=b&socket_timeout=1",
    ],
)
def test_a_url_that_can_work_is_not_complained_of(settings: Settings, url: str) -> None:
    settings.ORMCACHE = {"URL": url}
    assert [] == check_setting()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa?geheim=5@x",
        "redis://:pa/geheim@x/0",
        "redis://:geheim",
        "redis://:geheim@x:zz",
        "redis:/:geheim@x",
    ],
)
def test_what_may_be_a_password_is_not_quoted(settings: Settings, url: str) -> None:
    settings.ORMCACHE = {"URL": url}
    assert "geheim" not in str(check_setting())


@pytest.mark.parametrize("backend", ["django.core.cache.backends.redis.RedisCache"])
@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("redis://:pw@x/zero", "LOCATION redis://x/zero: 'zero' is no database number"),
        (["redis://x/0", "redis://y:zz/0"], "LOCATION redis://y:…/0: its port is none"),
        ("redis://x/0;redis:/y", "two slashes follow the colon"),
    ],
)
def test_an_alias_that_cannot_work(
    settings: Settings, backend: str, location: Any, said: str
) -> None:
    """What redis-py would take for another database is an error, as it is in a URL."""
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": location}}
    settings.ORMCACHE = {"CACHE": "default"}
    (found,) = check_setting()
    assert "ormcache.E004" == found.id
    assert said in found.msg
    assert "#setting-url" in str(found.hint)
    with pytest.raises(ConfigError, match="cannot be used"):
        runtime.current()


@pytest.fixture
def pinged(settings: Settings) -> Any:
    def ping(url: str) -> str:
        settings.ORMCACHE = {"URL": url}
        with pytest.raises(CommandError) as caught:
            run("ping")
        return str(caught.value)

    return ping


@pytest.mark.faults
def test_a_database_the_server_has_not(redis_server: RedisServer, pinged: Any) -> None:
    said = pinged(f"redis://127.0.0.1:{redis_server.port}/99")
    assert "has no database of that number" in said


@pytest.mark.faults
def test_tls_with_a_server_that_speaks_none(redis_server: RedisServer, pinged: Any) -> None:
    """The handshake is not answered in time."""
    said = pinged(f"rediss://127.0.0.1:{redis_server.port}/0?ssl_cert_reqs=none")
    assert "does the server speak TLS on this port? For one that does not write redis://" in said


def test_what_else_fails_in_a_handshake() -> None:
    refused, expired = ConnectionError("refused"), ConnectionError("expired")
    refused.__cause__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    expired.__cause__ = ssl.SSLCertVerificationError(1, "certificate has expired")
    assert "does the server speak TLS" in on_silence(refused)
    assert "expired" == on_silence(expired)


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_a_database_the_server_has_not_stops_no_read(
    redis_server: RedisServer, settings: Settings
) -> None:
    settings.ORMCACHE = {**settings.ORMCACHE, "URL": f"redis://127.0.0.1:{redis_server.port}/99"}
    assert not Author.objects.filter(slug="a").exists()


@pytest.fixture
def sentinel(redis_server: RedisServer, tmp_path: Any) -> Iterator[Sentinel]:
    """It knows the server, which has no replica."""
    made = Sentinel(tmp_path, redis_server)
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {made.port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor main 127.0.0.1 {redis_server.port} 1\n"
    )
    made._launch(str(config), "--sentinel")
    try:
        yield made
    finally:
        made.kill()


@pytest.mark.faults
def test_a_sentinel_and_a_server_taken_for_each_other(
    redis_server: RedisServer, sentinel: Sentinel, pinged: Any
) -> None:
    plain, asked = f"127.0.0.1:{redis_server.port}", f"127.0.0.1:{sentinel.port}"
    assert "it is no Sentinel" in pinged(f"redis+sentinel://{plain}/main/0")
    for database in ("", "/0", "/1"):
        said = pinged(f"redis://{asked}{database}")
        assert "it is a Sentinel and holds no data. Write redis+sentinel://" in said
    assert "No master found for 'other'" in pinged(f"redis+sentinel://{asked}/other/0")


def complaints(**attributes: Any) -> list[str]:
    with isolate_apps("tests.testapp"):
        meta = type("Meta", (), {"app_label": "testapp"})
        body = {"Meta": meta, "__module__": __name__, **attributes}
        model: Any = type("Thing", (CachedModel,), body)
        # It counts as not given.
        assert options_of(model).lists
        return [f"{each.id} {each.msg}" for each in _check_model(model)]


@pytest.mark.parametrize("name", "cachemeta Cachemeta CachedMeta Cache_Meta CacheMata".split())
@pytest.mark.parametrize("made", [lambda: type("Any", (), {"timeout": 5}), lambda: {"timeout": 5}])
def test_a_misspelt_cachemeta_is_named(name: str, made: Any) -> None:
    (said,) = complaints(**{name: made()})
    assert f"ormcache.E005 testapp.Thing.{name} has no effect. Did you mean CacheMeta?" == said


def test_what_only_resembles_cachemeta_is_left_alone() -> None:
    assert [] == complaints(CacheMetadata=type("X", (), {}), metacache=dict, cachemeta_on=True)


@pytest.mark.parametrize("given", [{"timeout": 5}, ["timeout"], "timeout", 5])
def test_a_cachemeta_that_is_no_class_is_named(given: Any) -> None:
    (said,) = complaints(CacheMeta=given)
    kind = type(given).__name__
    assert f"testapp.Thing.CacheMeta is a {kind}. Make it an inner class, as Meta is" in said


def test_a_cachemeta_without_effect_is_named() -> None:
    with isolate_apps("tests.testapp"):

        class Plain(models.Model):
            class CacheMeta:
                timeout = 5

            class Meta:
                app_label = "testapp"

        config = type("Config", (), {"get_models": lambda: [Plain]})
        (found,) = check_models([config])
        assert ("ormcache.W007", checks.WARNING) == (found.id, found.level)
        assert "testapp.Plain.CacheMeta has no effect" in found.msg


def test_a_forgotten_application_is_found_by_the_checks() -> None:
    assert [] == _check_installed()
    installed = [each.name for each in apps.get_app_configs() if each.name != "ormcache"]
    with override_settings(INSTALLED_APPS=installed):
        (found,) = _check_installed()
    assert ("ormcache.E009", 'Add "ormcache" to INSTALLED_APPS.') == (
        found.id,
        str(found.hint).partition(" See ")[0],
    )


@pytest.mark.processes
def test_a_forgotten_application_is_found_by_manage_py(tmp_path: Any) -> None:
    (tmp_path / "forgetful").mkdir()
    (tmp_path / "forgetful" / "__init__.py").touch()
    (tmp_path / "forgetful" / "models.py").write_text(
        "from ormcache.models import CachedModel\n\nclass Thing(CachedModel):\n    pass\n"
    )
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from django.conf import settings
        auto = "django.db.models.AutoField"
        settings.configure(INSTALLED_APPS=["forgetful"], DEFAULT_AUTO_FIELD=auto)
        import django
        django.setup()
        from django.core import checks
        print([each.id for each in checks.run_checks()])
    """
    assert "['ormcache.E009']" == python(code, DJANGO_SETTINGS_MODULE="")


@pytest.mark.django_db(transaction=True)
def test_the_line_of_an_uncached_read_names_model_and_reason(
    ormcache_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    reason = "testapp.Film.CacheMeta.lists is False"
    with caplog.at_level(logging.DEBUG, "ormcache"):
        for read in (Film.objects.all().count, lambda: list(Film.objects.all())):
            caplog.clear()
            read()
            lines = [each for each in caplog.records if "uncached" in each.msg]
            assert [f"ormcache.uncached: testapp.Film: {reason}"] == [
                each.getMessage() for each in lines
            ]
            assert ("testapp.Film", reason) == (
                lines[0].__dict__["model"],
                lines[0].__dict__["reason"],
            )
