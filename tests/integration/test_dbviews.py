"""Models over views of MySQL and MariaDB; those of PostgreSQL are in ``test_tenants``."""

from __future__ import annotations

import pytest
from django.db import models
from django.test.utils import isolate_apps

from ormcache.models import CachedModel
from tests.integration.aliases import sql
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb]

VIEWS = {
    "plain": ("SELECT id, name FROM testapp_author", True),
    "a word": ("SELECT id, name FROM testapp_author WHERE name <> 'user()@'", True),
    "user": ("SELECT id, name FROM testapp_author WHERE name <> USER()", False),
    "function": ("SELECT id, name FROM testapp_author WHERE name <> tenant_of()", False),
    "nested": ("SELECT id, name FROM behind", False),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_that_show_each_connection_its_own(ormcache_redis: RedisServer, name: str) -> None:
    """Another login sees other rows; the key of a list was the same."""
    definition, is_cached = VIEWS[name]
    Author.objects.create(name="a", slug="a")
    sql(
        "CREATE FUNCTION tenant_of() RETURNS char(9) READS SQL DATA RETURN @tenant",
        "CREATE VIEW behind AS SELECT * FROM testapp_author WHERE name <> CURRENT_USER",
        f"CREATE VIEW testapp_seen AS {definition}",
    )
    try:
        with isolate_apps("tests.testapp"):

            class Seen(CachedModel):
                name = models.CharField(max_length=50)

                class Meta:
                    app_label = "testapp"
                    db_table = "testapp_seen"
                    managed = False

        for _ in range(2):
            found = [each.name for each in Seen.objects.order_by("pk")]
            assert found == [each.name for each in Seen.nocache.order_by("pk")]
        reasons = Seen.objects.order_by("pk").explain_cache().reasons
        assert is_cached is not any("each connection" in reason for reason in reasons), reasons
    finally:
        sql("DROP VIEW testapp_seen", "DROP VIEW behind", "DROP FUNCTION tenant_of")
