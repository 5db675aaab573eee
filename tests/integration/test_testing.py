"""What ``ormcache.testing`` gives to the tests of projects."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest
from django.test import SimpleTestCase
from pytest_django import DjangoAssertNumQueries, Settings

from ormcache import runtime
from ormcache.stats import counters
from ormcache.testing import isolated
from tests.integration.test_processes import ROOT, python
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Tag


def namespace() -> str:
    return runtime.current().config.namespace


@pytest.mark.django_db(transaction=True)
def test_an_isolated_block_meets_nobody_and_leaves_nothing(
    ormcache_redis: RedisServer, settings: Settings
) -> None:
    tag = Tag.objects.create(name="a")

    def hits() -> int:
        before = counters["row_hit"]
        assert "a" == Tag.objects.get(pk=tag.pk).name
        return counters["row_hit"] - before

    assert [0, 1] == [hits(), hits()]
    with ormcache_redis.client() as client:
        before = set(client.keys())
        with isolated():
            assert [0, 1] == [hits(), hits()]
            assert before < set(client.keys())
        assert before == set(client.keys())
    assert 1 == hits()


@pytest.mark.django_db(transaction=True)
def test_isolated_switches_off_and_on(ormcache_redis: RedisServer, settings: Settings) -> None:
    with isolated(enabled=False):
        assert not runtime.current().config.enabled
        assert not Tag.objects.filter(name="a").exists()
        with isolated(enabled=True):
            assert runtime.current().config.enabled
        with isolated():
            assert not runtime.current().config.enabled
    with ormcache_redis.client() as client:
        assert [] == client.keys()


@pytest.mark.django_db(transaction=True)
@isolated(enabled=True)
def test_the_numbers_of_the_how_to(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    Tag.objects.create(name="first")
    list(Tag.objects.all())
    with django_assert_num_queries(0):
        list(Tag.objects.all())


def test_a_long_namespace_and_no_setting_at_all(settings: Settings) -> None:
    settings.ORMCACHE = {"URL": "memory://", "NAMESPACE": "n" * 64}
    with isolated():
        assert namespace().startswith("nnn")
    assert "n" * 64 == namespace()
    del settings.ORMCACHE
    with isolated():
        assert namespace().startswith("ormcache.test.")


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_a_server_that_went_away_disturbs_no_test(ormcache_redis: RedisServer) -> None:
    with isolated():
        Tag.objects.filter(name="a").exists()
        ormcache_redis.kill()


def test_functions_coroutines_and_test_cases() -> None:
    seen = [namespace()]

    @isolated()
    def function() -> None:
        seen.append(namespace())

    @isolated(enabled=False)
    async def coroutine() -> bool:
        seen.append(namespace())
        return runtime.current().config.enabled

    @isolated()
    class Case(SimpleTestCase):
        def test_one(self) -> None:
            seen.append(namespace())

        def test_two(self) -> None:
            seen.append(namespace())

    function()
    function()
    assert asyncio.run(coroutine()) is False
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
    result: Any = unittest.TestResult()
    tests.run(result)
    assert (2, []) == (result.testsRun, result.failures + result.errors)
    assert 6 == len(set(seen))
    assert namespace() == seen[0]


def test_a_decorator_without_parentheses() -> None:
    """A class was dropped without a word, and with it all its tests."""
    seen = [namespace()]

    @isolated
    def function() -> str:
        seen.append(namespace())
        return "its own"

    @isolated
    async def coroutine() -> None:
        seen.append(namespace())

    @isolated
    class Case(SimpleTestCase):
        def test_one(self) -> None:
            seen.append(namespace())

    class Method(SimpleTestCase):
        @isolated
        def test_two(self) -> None:
            seen.append(namespace())
            raise AssertionError("seen")

    assert ("its own", "function") == (function(), function.__name__)
    asyncio.run(coroutine())
    result: Any = unittest.TestResult()
    for case in (Case, Method):
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert (2, 1, []) == (result.testsRun, len(result.failures), result.errors)
    assert 5 == len(set(seen))
    assert namespace() == seen[0]


class Plain:
    pass


def steps() -> Any:
    yield


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((False,), "not False. To switch the cache write isolated(enabled=False)."),
        ((None,), "takes a function or a class of unittest.TestCase, not None"),
        (("name",), "isolated(enabled=False)"),
        ((Plain,), "takes a function or a class of unittest.TestCase, not <class"),
        ((steps,), "the generator steps. Write with isolated(): in it."),
        ((len, len), "takes one function or class, not 2 arguments"),
    ],
)
def test_what_it_cannot_decorate(given: Any, said: str) -> None:
    wrong: Any = isolated
    with pytest.raises(TypeError, match=re.escape(said)):
        wrong(*given)


TESTS = """
import pytest
from ormcache import runtime
from ormcache.testing import isolated

seen = set()

def enabled():
    config = runtime.current().config
    assert config.namespace not in seen
    assert ".test." in config.namespace
    seen.add(config.namespace)
    return config.enabled

def test_default(pytestconfig):
    assert enabled() is pytestconfig.getini("ormcache_enabled")

@pytest.mark.ormcache
def test_on():
    assert enabled()

@pytest.mark.ormcache(enabled=False)
def test_off():
    assert not enabled()

@pytest.mark.ormcache(False)
class TestClass:
    def test_off(self):
        assert not enabled()

    @pytest.mark.ormcache(enabled=True)
    def test_nearest(self):
        assert enabled()

def test_settings(settings):
    settings.ORMCACHE = {**settings.ORMCACHE, "ENABLED": True}
    assert runtime.current().config.enabled
"""


def pytest_of(directory: Path, tests: str, ini: str = "", **environment: str) -> str:
    """What pytest says of these tests."""
    (directory / "pytest.ini").write_text(f"[pytest]\n{ini}\naddopts = --strict-markers\n")
    (directory / "conftest.py").write_text('pytest_plugins = ["ormcache.testing.plugin"]\n')
    (directory / "test_it.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "--rootdir", ".", "."],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.processes
@pytest.mark.parametrize("ini", ["", "ormcache_enabled = false"])
def test_the_plugin_isolates_and_switches(tmp_path: Path, ini: str) -> None:
    said = pytest_of(tmp_path, TESTS, ini, DJANGO_SETTINGS_MODULE="tests.settings")
    assert "6 passed" in said, said


@pytest.mark.processes
def test_the_plugin_names_a_wrong_marker(tmp_path: Path) -> None:
    tests = "import pytest\n@pytest.mark.ormcache(on=True)\ndef test_it(): pass\n"
    said = pytest_of(tmp_path, tests, DJANGO_SETTINGS_MODULE="tests.settings")
    assert "takes enabled=True or False, not {'on': True}" in said, said


@pytest.mark.processes
def test_the_plugin_leaves_tests_without_django_alone(tmp_path: Path) -> None:
    tests = """
def test_it():
    from django.conf import settings
    assert not settings.configured
"""
    said = pytest_of(tmp_path, tests, DJANGO_SETTINGS_MODULE="")
    assert "1 passed" in said, said


def test_nothing_loads_the_plugin_by_itself() -> None:
    code = """
        import sys
        import ormcache.testing.plugin
        assert "django.test" not in sys.modules
        from importlib.metadata import entry_points
        print([each.name for each in entry_points(group="pytest11") if "ormcache" in each.value])
    """
    assert "[]" == python(code, DJANGO_SETTINGS_MODULE="")
