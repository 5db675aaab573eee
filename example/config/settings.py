"""Settings of the example site; the environment chooses the database and the cache server.

``EXAMPLE_DB``         ``sqlite`` (default, the file ``EXAMPLE_SQLITE``) or ``postgres`` (with the
                       usual ``PGHOST``, ``PGPORT``, ``PGUSER``, ``PGPASSWORD``, ``PGDATABASE``)
``REDIS_URL``          the cache server; without it the embedded store of this one process
``EXAMPLE_NAMESPACE``  prefix of the cache keys, when two copies of the site share one Redis
``EXAMPLE_HOSTS``      host names the site answers to, separated by commas
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent
ENGINE = os.environ.get("EXAMPLE_DB", "sqlite")

SECRET_KEY = os.environ.get("SECRET_KEY", "the example keeps no secrets")
ALLOWED_HOSTS = os.environ.get("EXAMPLE_HOSTS", "localhost,127.0.0.1").split(",")
DEBUG = False

INSTALLED_APPS = ["ormcache", "blog", "traffic"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True

ORMCACHE = {
    "URL": os.environ.get("REDIS_URL") or "memory://",
    "NAMESPACE": os.environ.get("EXAMPLE_NAMESPACE", f"example-{ENGINE}"),
    "TIMEOUT": 3600,
}

SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ.get("EXAMPLE_SQLITE", BASE_DIR / "db.sqlite3"),
    "OPTIONS": {
        # Readers do not block the writer, and writers queue up instead of failing half-way.
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
    },
}
POSTGRES: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ.get("PGDATABASE", "ormcache_example"),
    "HOST": os.environ.get("PGHOST", "127.0.0.1"),
    "PORT": os.environ.get("PGPORT", "5432"),
    "USER": os.environ.get("PGUSER", "postgres"),
    "PASSWORD": os.environ.get("PGPASSWORD", ""),
}
DATABASES = {"default": {"sqlite": SQLITE, "postgres": POSTGRES}[ENGINE] | {"CONN_MAX_AGE": None}}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["blog.context.navigation"]},
    }
]

# Failures of a page and what the cache has to say go to the console.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}
