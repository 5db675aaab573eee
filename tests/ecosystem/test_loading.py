"""Fields whose values depend on more than their column, and deployments that load otherwise."""

from __future__ import annotations

import pytest

from tests.ecosystem.site import Site

CONTEXT = """
    import json

    from django.db import models
    from django.utils.translation import get_language
    from ormcache.models import CachedModel

    TENANT = "one"

    class Spoken(models.CharField):
        def from_db_value(self, value, expression, connection):
            return value and f"{value} in {get_language()}"

    class Secret(models.CharField):
        def get_db_converters(self, connection):
            return [lambda value, expression, connection: f"{TENANT}:{value[::-1]}"]

        def get_prep_value(self, value):
            return value and value[::-1]

    class Decoder(json.JSONDecoder):
        def decode(self, text):
            return [get_language(), super().decode(text)]

    class Owner(CachedModel):
        name = Spoken(max_length=20)

    class Thing(CachedModel):
        owner = models.ForeignKey(Owner, models.CASCADE)
        name = Spoken(max_length=20, null=True)
        secret = Secret(max_length=20)
        data = models.JSONField(decoder=Decoder, default=dict)
"""

NAMES = """
    from django.utils.translation import override
    from ormcache import stable

    def spoken(language, read):
        with override(language):
            return read()

    def of(tenant, read):
        module = sys.modules["tests.ecosystem.app.models"]
        module.TENANT = tenant
        try:
            return read()
        finally:
            module.TENANT = "one"

    import sys
"""

ROWS = (
    "(lambda t: (t.name, t.secret, t.data))(Thing.objects.get(pk=1))",
    "[(t.name, t.secret, t.owner.name)"
    " for t in Thing.objects.select_related('owner').order_by('pk')]",
    "[t.name for t in Thing.objects.only('name').order_by('pk')]",
    "[t.owner.name for t in Thing.objects.filter(name='a')]",
    "[t.name for t in Thing.objects.filter(owner__thing__isnull=False).order_by('pk')]",
)
VALUES = (
    "list(Thing.objects.values_list('name', 'secret').order_by('pk'))",
    "list(Thing.objects.values_list('data').order_by('pk'))",
    "list(Thing.objects.values('owner__name').order_by('pk'))",
    "[t.other for t in Thing.objects.annotate(other=models.F('owner__name')).order_by('pk')]",
    "Thing.objects.aggregate(models.Max('name'))",
)


def test_values_that_depend_on_the_language_or_the_tenant(site: Site) -> None:
    site.start(CONTEXT, names=NAMES)
    site.run(
        "o = Owner.objects.create(name='o')\n"
        "for n in ('a', None): Thing.objects.create(owner=o, name=n, secret='s', data={'x': 1})"
    )
    contexts = ("spoken('en', lambda: {})", "spoken('de', lambda: {})", "of('two', lambda: {})")
    reads = [context.format(code) for code in (*ROWS, *VALUES) for context in contexts]
    site.warm(*reads)
    site.check(*reads)
    site.check_cached(*(context.format(code) for code in ROWS[:3] for context in contexts))
    site.check_uncached("code of its own", VALUES[0], VALUES[3], VALUES[4])
    site.run("Thing.objects.filter(pk=1).update(name='b', secret='t')", by=1)
    site.check(*reads)
    found = site.processes[0]
    found.run("keys = __import__('redis').Redis.from_url(settings.ORMCACHE['URL'])")
    assert "True" == found.value(
        "any(b'\\xa1t' in (keys.get(k) or b'') for k in keys.keys('*row:1'))"
    )


STABLE = """
    from django.db import models
    from django.db.models.lookups import Exact
    from ormcache.models import CachedModel
    from ormcache import stable

    SUFFIX = "{suffix}"

    def helper(value):
        return value + SUFFIX

    @stable
    class Shown(models.CharField):
        def from_db_value(self, value, expression, connection):
            return value and helper(value)

    @stable
    class Greeting(models.Func):
        template = "%(expressions)s || '{suffix}'"
        output_field = models.CharField()

    @stable
    class Near(Exact):
        lookup_name = "near"

        def as_sql(self, compiler, connection):
            lhs, params = self.process_lhs(compiler, connection)
            rhs, more = self.process_rhs(compiler, connection)
            return f"{{lhs}} {operator} {{rhs}}", [*params, *more]

    class Thing(CachedModel):
        name = Shown(max_length=20)
        title = models.CharField(max_length=20)
        size = models.IntegerField()
        at = models.DateTimeField()

    Thing._meta.get_field("size").register_lookup(Near)
"""

OLD = {"suffix": "!", "operator": "<="}
DEPLOYED = (
    "list(Thing.objects.values_list('name', flat=True).order_by('pk'))",
    "Thing.objects.get(pk=1).name",
    "list(Thing.objects.annotate(g=Greeting('title')).values_list('g').order_by('pk'))",
    "[t.g for t in Thing.objects.annotate(g=Greeting('title')).order_by('pk')]",
    "Thing.objects.filter(size__near=1).count()",
    "[t.pk for t in Thing.objects.filter(size__near=1).order_by('pk')]",
    "repr(Thing.objects.get(pk=1).at)",
    "list(Thing.objects.values_list('at', flat=True).order_by('pk'))",
    "Thing.objects.aggregate(models.Max('at'))",
)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ({**OLD, "suffix": "?"}, {}),
        ({**OLD, "operator": ">="}, {}),
        (OLD, {"USE_TZ": False, "TIME_ZONE": "Asia/Tokyo"}),
    ],
    ids=["helper and template", "lookup", "time zones"],
)
def test_a_deployment_that_loads_or_compares_otherwise(
    site: Site, code: dict[str, str], changed: dict[str, object]
) -> None:
    site.start(STABLE.format(**OLD), processes=1)
    site.run(
        "import datetime as dt\n"
        "for i in range(3): Thing.objects.create(name=f'n{i}', title=f't{i}', size=i,"
        " at=dt.datetime(2026, 1, 1 + i, tzinfo=dt.UTC))"
    )
    old = site.processes[0]
    for read in (*DEPLOYED, *DEPLOYED):
        old.value(read)
    new = site.join(STABLE.format(**code), **changed)
    for number, write in enumerate(("pass", "Thing.objects.filter(pk=1).update(size=2)")):
        (old, new)[number].run(write)
        for process in (old, new, old, new):
            for read in DEPLOYED:
                expected = process.value(f"_past_the_cache(lambda: {read})")
                assert expected == process.value(read), read
    for read in DEPLOYED:
        old.value(read)
        assert [] == old.read(read)["sql"]
