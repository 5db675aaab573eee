"""Settings of the test project, chosen by environment variables.

``ORMCACHE_TEST_DB`` is ``sqlite`` (default), ``postgres`` or ``mariadb``;
``ORMCACHE_TEST_DB_HOST``, ``_PORT``, ``_USER`` and ``_PASSWORD`` say where that server is.
``ORMCACHE_TEST_REDIS`` is the URL of the store (default: the embedded one, ``memory://``).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

BASE = Path(__file__).resolve().parent

# Names are unique per run, so that several runs may share one server, and are inherited through
# the environment, so that the processes a test starts open the very databases of that test.
RUN = os.environ.setdefault("ORMCACHE_TEST_RUN", str(os.getpid()))
RUN_NAME = f"ormcache_test_{RUN}{os.environ.get('PYTEST_XDIST_WORKER', '')}"

# Inherited, too: an error of the cache's own work fails a test instead of being counted.
os.environ.setdefault("ORMCACHE_RAISE_FAULTS", "1")

TEST_DB = os.environ.get("ORMCACHE_TEST_DB", "sqlite")
TEST_REDIS = os.environ.get("ORMCACHE_TEST_REDIS", "memory://")

ENGINES: dict[str, dict[str, Any]] = {
    # A file, not :memory:, because tests with several processes open the same database. IMMEDIATE
    # keeps two writers from deadlocking on the upgrade of a read lock.
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    },
    "postgres": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": "5432",
        "USER": "postgres",
        "PASSWORD": "",
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "127.0.0.1",
        "PORT": "3306",
        "USER": "root",
        "PASSWORD": "",
        "OPTIONS": {"charset": "utf8mb4"},
    },
}


def database(suffix: str) -> dict[str, Any]:
    """One entry of DATABASES; the tests' database bears the very name a child process opens."""
    config = dict(ENGINES[TEST_DB])
    name = RUN_NAME + suffix
    if TEST_DB == "sqlite":
        name = str(Path(tempfile.gettempdir(), f"{name}.sqlite3"))
    else:
        for option in ("HOST", "PORT", "USER", "PASSWORD"):
            config[option] = os.environ.get(f"ORMCACHE_TEST_DB_{option}", config[option])
    return {**config, "NAME": name, "TEST": {"NAME": name}}


DATABASES = {"default": database(""), "other": database("_other")}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *(["django.contrib.postgres"] if TEST_DB == "postgres" else []),
    "ormcache",
    "tests.testapp",
    "benchmarks.workload",
    *(f"tests.{app}" for app in ("codecapp", "queryapp") if (BASE / app / "__init__.py").exists()),
    "tests.matrixapp",
]
MATRIXAPP_MEMBER_MODEL = "matrixapp.Guest"

ORMCACHE = {"URL": TEST_REDIS, "NAMESPACE": RUN_NAME}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "only for tests"
# MariaDB knows no named time zones unless somebody loaded them, so anything but UTC would fail.
TIME_ZONE = "UTC"
USE_TZ = True
