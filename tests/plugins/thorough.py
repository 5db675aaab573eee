"""Tests that search for long: they run where ``ORMCACHE_TEST_THOROUGH`` is set, as in CI."""

from __future__ import annotations

import os

import pytest

VARIABLE = "ORMCACHE_TEST_THOROUGH"
IS_THOROUGH = bool(os.environ.get(VARIABLE))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IS_THOROUGH:
        return
    long = [item for item in items if item.get_closest_marker("thorough")]
    if long and len(long) < len(items):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
