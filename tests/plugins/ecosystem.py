"""Tests beside other people's packages: they run where ``ORMCACHE_TEST_ECOSYSTEM`` is set, as in
a stage of CI, and then a package or a PostgreSQL that is missing is a failure."""

from __future__ import annotations

import os

import pytest

VARIABLE = "ORMCACHE_TEST_ECOSYSTEM"
IS_ASKED = bool(os.environ.get(VARIABLE))
_FOLDER = "tests/ecosystem/"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IS_ASKED:
        return
    beside = [item for item in items if item.nodeid.startswith(_FOLDER)]
    # Who names nothing else asks for them, too.
    if beside and len(beside) < len(items):
        config.hook.pytest_deselected(items=beside)
        items[:] = [item for item in items if not item.nodeid.startswith(_FOLDER)]
