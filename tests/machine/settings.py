"""The tests' settings with the machine's models, and connections that never wait for a lock."""

from __future__ import annotations

from typing import Any

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, TEST_DB

INSTALLED_APPS = ["ormcache", "tests.machine"]

# Two connections of one thread's making would wait for each other for ever.
_NO_WAIT: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 0},
    "postgres": {"options": "-c lock_timeout=20ms"},
    "mariadb": {"init_command": "SET SESSION innodb_lock_wait_timeout=0, lock_wait_timeout=1"},
}
DATABASES = {"default": DATABASES["default"]}
DATABASES["default"]["OPTIONS"] = {**DATABASES["default"].get("OPTIONS", {}), **_NO_WAIT[TEST_DB]}
