"""Connections to one PostgreSQL database that see different tables or rows of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings as project
from django.db import connection, models, transaction
from django.test.utils import isolate_apps

from ormcache.models import CachedModel
from ormcache.writes.hooks import state_of
from tests.integration.aliases import another_alias, sql
from tests.integration.authors import seen, stored
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def author() -> Author:
    author = Author.objects.create(name="old", slug="a")
    assert ("old", ["old"]) == seen(author)
    return author


@pytest.fixture
def tenant_schema(author: Author) -> Iterator[None]:
    """A schema with a table of authors of its own, of one author."""
    sql(
        "CREATE SCHEMA tenant",
        "CREATE TABLE tenant.testapp_author (LIKE public.testapp_author INCLUDING ALL)",
        "INSERT INTO tenant.testapp_author (id, name, slug, active, created) "
        f"VALUES ({author.pk}, 'tenant', 't', true, now())",
    )
    try:
        assert ("old", ["old"]) == seen(author)
        yield
    finally:
        sql("DROP SCHEMA tenant CASCADE")


@pytest.mark.usefixtures("tenant_schema")
@pytest.mark.parametrize(
    "statement",
    [
        "SET search_path TO tenant, public",
        "SELECT set_config('search_path', 'tenant, public', false)",
        "UPDATE pg_settings SET setting = 'tenant, public' WHERE name = 'search_path'",
    ],
    ids=["SET", "set_config", "UPDATE"],
)
def test_another_search_path(author: Author, statement: str) -> None:
    """A connection whose path was changed, by a statement or by a function, neither sees the rows
    of others nor shows them its own."""

    def read() -> tuple[str, list[str]]:
        sql(statement)
        assert stored(author) == seen(author)
        return seen(author)

    assert ("tenant", ["tenant"]) == elsewhere(read)
    assert ("old", ["old"]) == elsewhere(lambda: seen(author))


@pytest.mark.usefixtures("tenant_schema")
def test_data_on_another_search_path(author: Author) -> None:
    """No rows are read for it, which would show that they are others."""
    Author.objects.create(name="other", slug="b")

    def read() -> tuple[int, list[str]]:
        names = Author.objects.order_by("name").values_list("name", flat=True)
        return Author.objects.count(), list(names)

    def of_tenant() -> tuple[int, list[str]]:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO tenant, public")
        return read()

    for _ in range(2):
        assert (2, ["old", "other"]) == read()
    assert (1, ["tenant"]) == elsewhere(of_tenant)
    assert (2, ["old", "other"]) == read()


@pytest.mark.usefixtures("tenant_schema")
def test_an_alias_with_a_search_path(author: Author) -> None:
    """An alias whose options name another path saw the rows of the alias it shares a database
    with."""
    options = {"options": "-c search_path=tenant,public"}
    with another_alias("tenant", OPTIONS=options):
        for _ in range(2):
            found = Author.objects.using("tenant")
            assert "tenant" == found.get(pk=author.pk).name
            assert ["tenant"] == [each.name for each in found.order_by("name")]
            assert ("old", ["old"]) == seen(author)


@pytest.fixture
def role() -> Iterator[str]:
    """A role that sees the authors of the tenant its setting names, else those of its name."""
    role = f"{project.RUN_NAME}_tenant"
    sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'tenant'",
        f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE testapp_author ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY tenants ON testapp_author USING "
        "(name = coalesce(current_setting('app.tenant', true), current_user))",
    )
    try:
        yield role
    finally:
        sql(
            "DROP POLICY tenants ON testapp_author",
            "ALTER TABLE testapp_author DISABLE ROW LEVEL SECURITY",
            f"DROP OWNED BY {role}",
            f"DROP ROLE {role}",
        )


def as_role(role: str, *statements: str) -> list[str]:
    """The authors that an alias of another user sees after ``statements``."""
    with another_alias("tenant", USER=role, PASSWORD="tenant") as tenant:
        with tenant.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        found = Author.objects.using("tenant").order_by("name")
        for _ in range(2):
            names = [each.name for each in found.all()]
        return names


@pytest.mark.parametrize(
    "statement",
    ["SET app.tenant = '{}'", "SELECT set_config('app.tenant', '{}', false)"],
    ids=["SET", "set_config"],
)
def test_row_level_security_by_a_setting(author: Author, role: str, statement: str) -> None:
    """A tenant was answered with the rows of the tenant that asked first."""
    Author.objects.create(name="other", slug="b")
    for name in ("old", "other", "none"):
        assert [name] * (name != "none") == as_role(role, statement.format(name))
    assert ("old", ["old", "other"]) == seen(author)


def test_row_level_security_after_a_change_of_role(author: Author, role: str) -> None:
    """A role taken on by a statement sees its own rows, and nobody else sees them for all."""
    Author.objects.create(name=role, slug="b")

    def read() -> list[str]:
        with transaction.atomic():
            sql(f"SET LOCAL ROLE {role}")
            with pytest.raises(Author.DoesNotExist):
                Author.objects.get(pk=author.pk)
            return [each.name for each in Author.objects.order_by("name")]

    assert [role] == elsewhere(read)
    assert ("old", sorted(["old", role])) == seen(author)


def test_row_level_security_of_another_user(author: Author, role: str) -> None:
    """An alias of a user who may see fewer rows saw those of the alias it shares a database
    with."""
    Author.objects.create(name=role, slug="b")
    assert ("old", sorted(["old", role])) == seen(author)
    assert [role] == as_role(role)
    assert ("old", sorted(["old", role])) == seen(author)
    active = Author.objects.filter(active=True)
    assert 2 == active.count()
    with another_alias("tenant", USER=role, PASSWORD="tenant"):
        assert 1 == Author.objects.using("tenant").update(active=False)
    assert 1 == active.count()


@pytest.mark.usefixtures("tenant_schema")
def test_sessions_that_began_before_the_path_of_the_database_changed(author: Author) -> None:
    """They look elsewhere for a table than sessions that begin now."""
    database = connection.settings_dict["NAME"]

    def new_session() -> tuple[str, list[str]]:
        assert stored(author) == seen(author)
        return seen(author)

    assert ("old", ["old"]) == elsewhere(new_session)
    sql(f'ALTER DATABASE "{database}" SET search_path = tenant, public')
    try:
        assert ("old", ["old"]) == seen(author)
        assert ("tenant", ["tenant"]) == elsewhere(new_session)
        assert ("old", ["old"]) == seen(author)
    finally:
        sql(f'ALTER DATABASE "{database}" RESET search_path')


@pytest.mark.usefixtures("tenant_schema")
def test_an_order_of_schemas_does_not_speak_for_single_tables(author: Author) -> None:
    """The view that the schemas give is none the project has named: a database view that follows
    the user stays uncached."""
    sql(
        "CREATE VIEW testapp_seen AS SELECT id, name FROM testapp_author WHERE name = current_user"
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
        assert ("old", ["old"]) == seen(author)
        sight = state_of(connection).sight
        assert sight.view is not None
        assert "each connection" in str(Seen.objects.order_by("pk").explain_cache())
    finally:
        sql("DROP VIEW testapp_seen")
