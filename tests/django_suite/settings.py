"""Settings of the suite: SQLite in memory, the embedded store, every model cached."""

from __future__ import annotations

from typing import Any

DATABASES: dict[str, Any] = {
    name: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
    for name in ("default", "other")
}
ORMCACHE = {"URL": "memory://", "NAMESPACE": "suite", "MODELS": {"*.*": {}}}
TEST_RUNNER = "tests.django_suite.runner.Runner"

SECRET_KEY = "only for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
