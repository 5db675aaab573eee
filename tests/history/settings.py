"""Settings of a run of the history checker: those of the tests, with its own app alone."""

from __future__ import annotations

import os
from typing import Any

from tests.settings import ENGINES, TEST_DB

ISOLATION = os.environ.get("ORMCACHE_HISTORY_ISOLATION", "read committed")
LOCK_SECONDS = 3
"""A writer that waits longer for a row gives up, so that no fault ends in a long silence."""


def _options() -> dict[str, Any]:
    if TEST_DB == "postgres":
        import psycopg

        level = psycopg.IsolationLevel[ISOLATION.replace(" ", "_").upper()]
        # The server is not killed here, so its disk need not be waited for.
        settings = f"-c synchronous_commit=off -c lock_timeout={LOCK_SECONDS}s"
        return {"isolation_level": level, "options": settings, "connect_timeout": 3}
    seconds = f"innodb_lock_wait_timeout={LOCK_SECONDS}"
    return {
        **ENGINES["mariadb"]["OPTIONS"],
        "isolation_level": ISOLATION,
        "init_command": f"SET SESSION {seconds}",
        "connect_timeout": 3,
        "read_timeout": 10,
        "write_timeout": 10,
    }


def _database() -> dict[str, Any]:
    config = {**ENGINES[TEST_DB], "NAME": os.environ.get("ORMCACHE_HISTORY_NAME", "history")}
    for option in ("HOST", "PORT", "USER", "PASSWORD"):
        config[option] = os.environ.get(f"ORMCACHE_TEST_DB_{option}", config.get(option, ""))
    return {**config, "OPTIONS": _options() if TEST_DB != "sqlite" else {}}


DATABASES = {"default": _database()}
INSTALLED_APPS = ["ormcache", "tests.history"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "only for tests"
TIME_ZONE = "UTC"
USE_TZ = True
ORMCACHE = {"URL": "memory://", "NAMESPACE": "history", "TIMEOUT": 3600}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"none": {"class": "logging.NullHandler"}},
    # What it would say of every fault is what was to be expected.
    "loggers": {"ormcache": {"handlers": ["none"], "propagate": False}},
}
