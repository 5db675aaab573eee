"""Tenants of one database: in schemas of their own (django-tenants), or told apart by row-level
security that is set in every way there is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ecosystem.site import NAME, Site, postgres, require

SCHEMAS = """
    from django.db import models
    from django_tenants.models import DomainMixin, TenantMixin
    from ormcache.models import CachedModel

    class Client(TenantMixin):
        auto_create_schema = False

    class Domain(DomainMixin):
        pass

    class Article(CachedModel):
        title = models.CharField(max_length=20)

    class Country(CachedModel):
        name = models.CharField(max_length=20)
"""

TENANTS: dict[str, Any] = {
    "database": {"ENGINE": "django_tenants.postgresql_backend"},
    "DATABASE_ROUTERS": ["django_tenants.routers.TenantSyncRouter"],
    "TENANT_MODEL": "site.Client",
    "TENANT_DOMAIN_MODEL": "site.Domain",
    "SHARED_APPS": [
        "django_tenants",
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "ormcache",
        "tests.ecosystem.app.apps.SiteConfig",
        "tests.ecosystem.app",
    ],
    "TENANT_APPS": ["django.contrib.auth"],
}

IN_SCHEMAS = """
    from django.db import connection
    with connection.cursor() as cursor:
        for schema in ("one", "two"):
            cursor.execute(f"CREATE SCHEMA {schema}")
            cursor.execute(
                f"CREATE TABLE {schema}.site_article (id bigserial PRIMARY KEY, title varchar(20))"
            )
            cursor.execute(f"INSERT INTO {schema}.site_article (title) VALUES ('of {schema}')")
    Country.objects.create(name="old")
"""

NAMES = """
    from django_tenants.utils import schema_context

    def of(schema, read):
        with schema_context(schema):
            return read()

    def article(pk=1): return Article.objects.get(pk=pk).title
    def articles(): return [each.title for each in Article.objects.order_by("pk")]
    def titles(): return list(Article.objects.order_by("pk").values_list("title", flat=True))
    def named(): return list(Article.objects.cache(key="all").values_list("title", flat=True))
    def many(): return {pk: each.title for pk, each in Article.objects.in_bulk([1]).items()}
    def number(): return Article.objects.filter(title__startswith="of").count()
    def country(): return Country.objects.get(pk=1).name
    def countries(): return list(Country.objects.values_list("name", flat=True))
    def beside():
        found = Article.objects.cache(depends_on=[Country(pk=1)])
        return list(found.values_list("title", flat=True))
"""

READS = [
    f"of({schema!r}, {read})"
    for read in (
        "article",
        "articles",
        "titles",
        "named",
        "many",
        "number",
        "country",
        "countries",
        "beside",
    )
    for schema in ("one", "two")
]


@pytest.fixture
def schemas(site: Site) -> Site:
    require("django_tenants")
    return site


def start(site: Site, **ormcache: Any) -> None:
    site.start(
        SCHEMAS,
        apps=("django_tenants",),
        # migrate asks the table of the tenants, which has no migration.
        setup="""
            from django.core.management import call_command
            call_command('migrate', verbosity=0, run_syncdb=True, interactive=False)
        """,
        names=NAMES,
        ormcache=ormcache,
        **TENANTS,
    )
    site.run(IN_SCHEMAS)


def test_tenants_are_not_given_the_rows_of_others(schemas: Site) -> None:
    """The schema is sent to the server with the next cursor, and a hit makes none."""
    start(schemas)
    schemas.warm(*READS)
    schemas.check_uncached("send statements of its own with each cursor", *READS)
    fresh = schemas.join()
    fresh.run(NAMES)
    assert "'of two'" == fresh.value("of('two', article)")
    assert "'of one'" == fresh.value("of('one', article)")
    for each in schemas.processes:
        each.run("connections.close_all()")
    schemas.check(*reversed(READS))


VIEWED = {"VIEW": "tests.ecosystem.views.of_schema"}


def test_tenants_that_are_named_are_cached(schemas: Site) -> None:
    start(schemas, **VIEWED)
    schemas.warm(*READS)
    schemas.check_cached(*READS)
    for each in schemas.processes:
        each.run("connections.close_all()")
    schemas.check_cached(*reversed(READS))


def test_writes_of_one_view_reach_all(schemas: Site) -> None:
    """A table that several views share is written in one of them, by every way, and read in
    the others."""
    start(schemas, **VIEWED)
    shared = [each for each in READS if "countr" in each or "beside" in each]
    writes = (
        "Country.objects.filter(pk=1).update(name='bulk')",
        "c = Country.objects.get(pk=1); c.name = 'saved'; c.save()",
        "connection.cursor().execute(\"UPDATE site_country SET name = 'raw'\")",
        "Country.objects.create(name='more')",
        "Country.objects.filter(name='more').delete()",
        "connection.cursor().execute(\"UPDATE site_country SET name = 'out'\"); "
        "ormcache.invalidate(Country(pk=1))",
    )
    for number, write in enumerate(writes):
        schemas.warm(*READS)
        schema = ("public", "one", "two")[number % 3]
        schemas.run(
            f"with schema_context({schema!r}):\n    {write}",
            by=number % 2,
        )
        schemas.check(*READS)
        schemas.check_cached(*shared)


def test_writes_of_a_tenant_reach_its_own_view(schemas: Site) -> None:
    start(schemas, **VIEWED)
    for write in (
        "Article.objects.filter(pk=1).update(title='of new')",
        "a = Article.objects.get(pk=1); a.title = 'of newer'; a.save()",
        "Article(pk=2, title='of second').save()",
        "Article.objects.filter(pk=2).delete()",
        "with transaction.atomic():\n        Article.objects.filter(pk=1).update(title='of last')",
    ):
        for schema in ("one", "two"):
            schemas.warm(*READS)
            schemas.run(f"with schema_context({schema!r}):\n    {write}", by=1)
            schemas.check(*READS)
    schemas.check_cached(*READS)


def test_verbs_of_one_view(schemas: Site) -> None:
    start(schemas, **VIEWED)
    schemas.warm(*READS)
    secretly = """
        import psycopg
        with psycopg.connect(connection.get_connection_params()["dbname"] and
                             f"dbname={connection.settings_dict['NAME']} host=127.0.0.1 "
                             f"user={connection.settings_dict['USER']}") as other:
            other.execute("UPDATE one.site_article SET title = 'of nobody'")
    """
    schemas.run(secretly)
    schemas.run("of('one', lambda: Article.objects.order_by('pk').values_list('title').clean())")
    assert "['of one']" == schemas.processes[1].value("of('one', articles)")
    schemas.run("of('one', lambda: ormcache.invalidate(Article))")
    schemas.check(*READS)
    schemas.check_cached(*READS)
    explained = schemas.processes[0].value(
        "of('one', lambda: Article.objects.explain_cache('get', pk=1).state)"
    )
    assert "'hit'" == explained


def test_a_view_that_fails_is_a_read_of_the_database(schemas: Site) -> None:
    start(schemas, VIEW="tests.ecosystem.views.fails")
    schemas.check_uncached('ORMCACHE["VIEW"] failed', "of('one', article)", "of('two', titles)")
    schemas.run("with schema_context('one'): Article.objects.update(title='of new')")
    schemas.check("of('one', article)")


# Row-level security

ROWS = """
    from django.db import models
    from ormcache.models import CachedModel

    class Owner(CachedModel):
        name = models.CharField(max_length=20)

    class Article(CachedModel):
        title = models.CharField(max_length=20)
        tenant = models.CharField(max_length=20)
        owner = models.ForeignKey(Owner, models.CASCADE, null=True)
"""

SECURE = f"""
    from django.db import connection
    owner = Owner.objects.create(name="owner")
    for tenant in ("one", "two"):
        Article.objects.create(title=f"of {{tenant}}", tenant=tenant, owner=owner)
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS {NAME}_tenant")
        cursor.execute("CREATE ROLE {NAME}_tenant LOGIN")
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO {NAME}_tenant")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {NAME}_tenant")
        cursor.execute("ALTER TABLE site_article ENABLE ROW LEVEL SECURITY")
        cursor.execute(
            "CREATE POLICY own ON site_article "
            "USING (tenant = current_setting('app.tenant', true)) WITH CHECK (true)"
        )
"""

TENANT_READS = """
    from tests.ecosystem.views import tenant

    def of(name, read):
        token = tenant.set(name)
        try:
            enter(name)
            return read()
        finally:
            tenant.reset(token)

    def enter(name): pass
    def names(): return sorted(each.title for each in Article.objects.all())
    def values(): return sorted(Article.objects.values_list("title", flat=True))
    def number(): return Article.objects.count()
    def titled(): return list(Article.objects.filter(title="of one").values_list("pk", flat=True))
    def first(): return Article.objects.filter(pk=1).first()
    def owned(): return sorted(a.title for a in Article.objects.select_related("owner"))
    def owner(): return Owner.objects.get(pk=1).name
"""

SET = "cursor.execute(\"SELECT set_config('app.tenant', %s, false)\", [tenant.get() or ''])"

BY_SIGNAL = f"""
    from django.db.backends.signals import connection_created
    def on_connection(connection, **kwargs):
        with connection.connection.cursor() as cursor:
            {SET}
    connection_created.connect(on_connection)
    def enter(name): connections.close_all()
"""

BY_WRAPPER = f"""
    def wrapper(execute, sql, params, many, context):
        cursor = context["cursor"].cursor
        {SET}
        return execute(sql, params, many, context)
    connection.execute_wrappers.append(wrapper)
"""

BY_CURSOR = f"""
    from django.db.backends.postgresql.base import DatabaseWrapper
    kind = type("DatabaseWrapper", (DatabaseWrapper,), {{}})
    def _cursor(self, name=None):
        with DatabaseWrapper._cursor(self) as cursor:
            {SET}
        return DatabaseWrapper._cursor(self, name)
    kind._cursor = _cursor
    connections["default"].__class__ = kind
"""

BY_QUOTED_SET = """
    def enter(name):
        with connection.cursor() as cursor:
            cursor.execute(f'SET "app.tenant" = {name}')
"""

IN_CODE = """
    def enter(name):
        with connection.cursor() as cursor:
            code = f"PERFORM set_config('app.tenant', '{name}', false)"
            cursor.execute(f"DO $$ BEGIN {code}; END $$")
"""

WAYS = {
    "signal": BY_SIGNAL,
    "wrapper": BY_WRAPPER,
    "cursor": BY_CURSOR,
    "quoted": BY_QUOTED_SET,
    "code": IN_CODE,
}
SECURED_READS = [
    f"of({tenant!r}, {read})"
    for read in ("names", "values", "number", "titled", "first", "owned")
    for tenant in ("one", "two")
]


def start_secured(site: Site, way: str, **ormcache: Any) -> None:
    site.start(ROWS, names=TENANT_READS, ormcache=ormcache)
    site.run(SECURE)
    as_tenant = {**postgres(NAME), "USER": f"{NAME}_tenant"}
    admin, *others = site.processes
    for each in others:
        each.close()
    site.processes = []
    for _ in range(2):
        process = site.join(DATABASES={"default": as_tenant})
        process.run(TENANT_READS)
        process.run(WAYS[way])
    site.processes.append(admin)


@pytest.mark.parametrize("way", WAYS)
def test_row_level_security_is_not_passed_by(site: Site, way: str) -> None:
    start_secured(site, way)
    *tenants, admin = site.processes
    try:
        site.processes = tenants
        admin.value("names()")
        site.warm(*SECURED_READS)
        site.check(*SECURED_READS)
        assert "['of one', 'of two']" == admin.value("names()")
    finally:
        site.processes = [*tenants, admin]
        admin.run(f"connection.cursor().execute('DROP OWNED BY {NAME}_tenant')")
        admin.run(f"connection.cursor().execute('DROP ROLE {NAME}_tenant')")


@pytest.mark.parametrize("way", WAYS)
def test_row_level_security_with_named_views_is_cached(site: Site, way: str) -> None:
    """A write by the administrator, who sees everything, changes what each tenant sees: also one
    of a column that only the policy reads."""
    start_secured(site, way, VIEW="tests.ecosystem.views.of_tenant")
    *tenants, admin = site.processes
    try:
        site.processes = tenants
        for write in (
            "None",
            "Article.objects.filter(pk=1).update(tenant='two')",
            "Article.objects.filter(pk=1).update(tenant='one', title='of one')",
            "Article.objects.create(title='of two', tenant='two')",
            "Owner.objects.update(name='other')",
        ):
            site.warm(*SECURED_READS)
            # A row named by its key that is out of sight is asked for each time, as one that is
            # not there.
            cached = [read for read in SECURED_READS if "first" not in read]
            site.check_cached(*cached, besides="app.tenant")
            admin.run(write)
            site.check(*SECURED_READS, "of('one', owner)", "of('two', owner)")
    finally:
        site.processes = [*tenants, admin]
        admin.run(f"connection.cursor().execute('DROP OWNED BY {NAME}_tenant')")
        admin.run(f"connection.cursor().execute('DROP ROLE {NAME}_tenant')")
