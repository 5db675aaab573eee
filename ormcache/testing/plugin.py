"""A plugin of pytest: every test has a cache of its own.

Nothing loads it by itself. Ask for it in the topmost ``conftest.py``::

    pytest_plugins = ["ormcache.testing.plugin"]
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_MARKER = "ormcache(enabled=True): switch the cache of this test on or off"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "ormcache_enabled", "Whether tests without a marker are cached.", type="bool", default=True
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(autouse=True)
def _ormcache(request: pytest.FixtureRequest) -> Iterator[None]:
    from django.conf import settings

    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        yield
        return
    from ormcache.testing import isolated

    with isolated(enabled=_enabled(request)):
        yield


def _enabled(request: pytest.FixtureRequest) -> bool | None:
    marker = request.node.get_closest_marker("ormcache")
    if marker is None:
        # As the settings say, unless the project says no for all its tests.
        return None if request.config.getini("ormcache_enabled") else False
    given = {**dict(zip(["enabled"], marker.args, strict=False)), **marker.kwargs}
    if len(marker.args) > 1 or given.keys() - {"enabled"}:
        raise pytest.UsageError(f"@pytest.mark.ormcache takes enabled=True or False, not {given}.")
    return bool(given.get("enabled", True))
