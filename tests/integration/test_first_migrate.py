"""The first ``migrate``, the databases of tests, and those that have no outbox yet."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.db import connection
from pytest_django import Settings

from ormcache import runtime
from ormcache.checks import check_outbox
from ormcache.models import OutboxEntry
from ormcache.outage import outbox, table
from tests.commands import run_json
from tests.integration.test_outbox import _label, _write_unseen, author, read
from tests.integration.test_processes import python
from tests.plugins.redis_server import RedisServer, free_port
from tests.testapp.models import Author

__all__ = ["author"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.faults,
    pytest.mark.usefixtures("brief_notice"),
]

SITE = """
    import json, os
    from django.conf import settings
    settings.configure(
        DATABASES={"default": json.loads(os.environ["DATABASE"])},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "ormcache"],
        ORMCACHE={"URL": os.environ["URL"], "NAMESPACE": "first"},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        MIGRATION_MODULES=json.loads(os.environ.get("MODULES", "{}")),
    )
    import django
    django.setup()
    from django.core.management import call_command, execute_from_command_line
    from django.db import connection
    from ormcache.outage import outbox
    outbox.INTERVAL = 0.1
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process with a database that holds nothing, and no Redis."""
    config = {key: settings.DATABASES["default"].get(key, "") for key in _CONFIG}
    config = {key: value for key, value in config.items() if value}
    config["NAME"] = f"{settings.RUN_NAME}_first"
    is_file = connection.vendor == "sqlite"
    if is_file:
        config["NAME"] = str(tmp_path / "first.sqlite3")
    environment = {
        "DATABASE": json.dumps(config),
        "URL": f"redis://127.0.0.1:{free_port()}/0",
        "DJANGO_SETTINGS_MODULE": "",
    }
    try:
        if not is_file:
            _execute(f"CREATE DATABASE {config['NAME']}")
        yield environment
    finally:
        if not is_file:
            _execute(f"DROP DATABASE {config['NAME']}")


_CONFIG = ("ENGINE", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


MIGRATE = """
    execute_from_command_line(["manage.py", "migrate", "-v0"])
"""
NOTED = """
    from ormcache.models import OutboxEntry
    from django.contrib.auth.models import Permission
    assert Permission.objects.count()
    print(bool(OutboxEntry.objects.filter(waiting=True).count()))
"""


def test_the_first_migrate_works_while_redis_is_away(fresh: dict[str, str]) -> None:
    assert "True" == python(SITE + MIGRATE + NOTED, **fresh)
    # All its migrations are recorded: a second run finds nothing to do.
    assert "True" == python(SITE + MIGRATE + NOTED, **fresh)


def test_an_interrupted_first_migrate_can_be_repeated(fresh: dict[str, str]) -> None:
    stopped = """
    from django.db.migrations.executor import MigrationExecutor
    def stop(*args, **kwargs):
        raise SystemExit
    MigrationExecutor.migrate = stop
    try:
        execute_from_command_line(["manage.py", "migrate", "-v0"])
    except SystemExit:
        print(connection.introspection.table_names())
    """
    assert "ormcache_outbox" in python(SITE + stopped, **fresh)
    assert "True" == python(SITE + MIGRATE + NOTED, **fresh)


def test_tables_without_migrations_are_made_while_redis_is_away(fresh: dict[str, str]) -> None:
    modules = json.dumps(dict.fromkeys(("ormcache", "auth", "contenttypes")))
    code = """
    execute_from_command_line(["manage.py", "migrate", "-v0", "--run-syncdb"])
    """
    assert "True" == python(SITE + code + NOTED, **fresh, MODULES=modules)


def test_a_migrate_of_another_application_makes_no_table(fresh: dict[str, str]) -> None:
    code = """
    from django.db import DatabaseError
    try:
        execute_from_command_line(["manage.py", "migrate", "contenttypes", "-v0"])
    except DatabaseError as error:
        print(error)
    """
    assert "Was manage.py migrate run for ormcache" in python(SITE + code, **fresh)


@pytest.mark.parametrize("name", [None, ":memory:"])
def test_a_test_database_is_made_while_redis_is_away(
    fresh: dict[str, str], name: str | None
) -> None:
    if name:
        sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        fresh = {**fresh, "DATABASE": json.dumps(sqlite)}
    code = """
    old = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    from django.contrib.auth.models import Permission
    print(Permission.objects.exists())
    connection.creation.destroy_test_db(old, verbosity=0)
    """
    assert "True" == python(SITE + code, **fresh)


def test_a_database_in_memory_is_never_stale(redis_server: RedisServer) -> None:
    assert redis_server.process is not None
    code = f"""
    import os, signal, time
    from django.db import models
    from ormcache import runtime
    from ormcache.models import CachedModel
    from ormcache.stats import counters
    class Thing(CachedModel):
        name = models.CharField(max_length=9)
        class Meta:
            app_label = "auth"
    with connection.schema_editor() as editor:
        editor.create_model(Thing)
    thing = Thing.objects.create(name="old")
    def read():
        return Thing.objects.get(pk=1).name, [each.name for each in Thing.objects.all()]
    read(), read()
    assert counters["row_hit"] and counters["list_hit"]
    os.kill({redis_server.process.pid}, signal.SIGSTOP)
    thing.name = "new"
    thing.save()
    during = read()
    os.kill({redis_server.process.pid}, signal.SIGCONT)
    while runtime.current().store.breaker.is_open:
        Thing.objects.filter(pk__gt=5).count()
        time.sleep(0.05)
    print(during, read(), read())
    """
    memory = json.dumps({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
    new = "('new', ['new'])"
    try:
        said = python(SITE + code, DATABASE=memory, URL=redis_server.url)
    finally:
        redis_server.thaw()
    assert f"{new} {new} {new}" == said


@pytest.fixture
def no_table() -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxEntry)
    yield
    with connection.schema_editor() as editor:
        if not table.exists(connection):
            editor.create_model(OutboxEntry)


def test_a_new_table_is_noticed_before_a_write_is_acknowledged(
    author: Author, no_table: None
) -> None:
    """A process that found no outbox a moment ago, and was not cut off since."""
    runtime.current().outbox_checks.clear()
    assert ("old", ["old"], 1) == read() == read()
    with connection.schema_editor() as editor:
        editor.create_model(OutboxEntry)
    keys = runtime.current().keys(_label(), Author._meta.db_table)
    outbox.put(connection, [keys.row(author.pk), keys.generation, keys.lists])
    _write_unseen(author, "new")
    time.sleep(outbox.INTERVAL)
    assert ("new", ["new"], 1) == read()


def test_the_first_look_warns_once_of_a_missing_table(
    author: Author, no_table: None, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.current().outbox_checks.clear()
    for _ in range(3):
        read()
        time.sleep(outbox.INTERVAL)
    (said,) = [each for each in caplog.messages if "outbox.missing" in each]
    assert "manage.py migrate ormcache --database default" in said


def test_check_and_ping_name_a_missing_table(
    ormcache_redis: RedisServer, no_table: None, settings: Settings
) -> None:
    (found,) = checks.run_checks(databases=["default"], tags=[checks.Tags.database])
    assert ("ormcache.W006", checks.WARNING) == (found.id, found.level)
    assert "has no table ormcache_outbox" in found.msg
    assert "--database default" in str(found.hint)
    assert [] == check_outbox(databases=[])
    assert 1 == sum("ormcache_outbox" in text for text in run_json("ping")["warnings"])
    settings.ORMCACHE = {**settings.ORMCACHE, "ON_OUTAGE": "raise"}
    assert [] == check_outbox(databases=["default"])
    assert not any("ormcache_outbox" in text for text in run_json("ping")["warnings"])


def test_check_is_content_where_the_table_is(ormcache_redis: RedisServer) -> None:
    assert [] == check_outbox(databases=["default", "other"])


class Nothing:
    """A router that keeps everything, or ormcache alone, out of a database."""

    def __init__(self, label: str = "") -> None:
        self.label = label

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if self.label in ("", app_label) else None


@pytest.mark.parametrize(("label", "said"), [("", []), ("ormcache", ["routers"])])
def test_a_database_that_routers_keep_free_needs_no_table(
    ormcache_redis: RedisServer, no_table: None, settings: Settings, label: str, said: list[str]
) -> None:
    settings.DATABASE_ROUTERS = [Nothing(label)]
    found = check_outbox(databases=["default"])
    assert said == ["routers" for each in found if "routers" in str(each.hint)]
    assert len(said) == len(found)


def test_a_migrate_that_is_to_run_is_not_asked_for(
    ormcache_redis: RedisServer, no_table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
    assert [] == check_outbox(databases=["default"])
