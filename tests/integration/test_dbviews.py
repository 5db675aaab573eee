"""Models over views of a database that show each connection rows of its own."""

from __future__ import annotations

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from ormcache.models import CachedModel
from tests.integration.aliases import sql
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.mariadb,
]

FUNCTIONS = {
    "postgresql": "tenant_of() RETURNS text STABLE LANGUAGE sql AS 'SELECT ''a''::text'",
    "mysql": "tenant_of() RETURNS char(9) READS SQL DATA RETURN @tenant",
}
EVERYWHERE = {
    "plain": ("true", True),
    "user": ("name <> CURRENT_USER", False),
    "function": ("name <> tenant_of()", False),
    "nested": ("id IN (SELECT id FROM behind)", False),
}
VIEWS = {
    "postgresql": {
        **EVERYWHERE,
        "a word": ("name <> 'current_user'", True),
        "setting": ("name <> current_setting('app.tenant', true)", False),
        "operator": ("ARRAY[id] @> ARRAY[id]", True),
    },
    "mysql": {**EVERYWHERE, "a word": ("name <> 'user()@'", True)},
}


@pytest.mark.parametrize("name", sorted({name for each in VIEWS.values() for name in each}))
def test_views_that_show_each_connection_its_own(ormcache_redis: RedisServer, name: str) -> None:
    """Another login or setting sees other rows; the key of a list was the same."""
    if name not in VIEWS[connection.vendor]:
        pytest.skip("of another database")
    condition, is_cached = VIEWS[connection.vendor][name]
    Author.objects.create(name="a", slug="a")
    sql(
        f"CREATE FUNCTION {FUNCTIONS[connection.vendor]}",
        "CREATE VIEW behind AS SELECT * FROM testapp_author WHERE name <> SESSION_USER()"
        if connection.vendor == "mysql"
        else "CREATE VIEW behind AS SELECT * FROM testapp_author WHERE name <> session_user",
        f"CREATE VIEW testapp_seen AS SELECT id, name FROM testapp_author WHERE {condition}",
    )
    try:
        with isolate_apps("tests.testapp"):

            class Seen(CachedModel):
                name = models.CharField(max_length=50)

                class Meta:
                    app_label = "testapp"
                    db_table = "testapp_seen"
                    managed = False

        connection.close()
        for _ in range(2):
            found = [each.name for each in Seen.objects.order_by("pk")]
            assert found == [each.name for each in Seen.nocache.order_by("pk")]
        reasons = Seen.objects.order_by("pk").explain_cache().reasons
        assert is_cached is not any("each connection" in reason for reason in reasons), reasons
    finally:
        sql("DROP VIEW testapp_seen", "DROP VIEW behind", "DROP FUNCTION tenant_of")
