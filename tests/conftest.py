"""The fixtures of every test: one noun a file in ``tests/plugins``."""

from __future__ import annotations

import pytest

# First of all, because the plugins import each other.
pytest.register_assert_rewrite("tests.plugins")

pytest_plugins = [
    "tests.plugins.databases",
    "tests.plugins.ecosystem",
    "tests.plugins.header",
    "tests.plugins.over_invalidation",
    "tests.plugins.redis_server",
    "tests.plugins.seed",
    "tests.plugins.store",
    "tests.plugins.thorough",
    "tests.plugins.wire",
]
