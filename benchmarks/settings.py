"""Settings of the benchmarks: PostgreSQL and Redis of this machine, or as the environment says."""

from __future__ import annotations

import os

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "ormcache_benchmarks"),
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
}
INSTALLED_APPS = ["ormcache", "benchmarks"]
ORMCACHE = {
    "URL": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/14"),
    "NAMESPACE": "benchmarks",
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "only for benchmarks"
USE_TZ = True
