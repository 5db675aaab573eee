"""Columns that do not compare as their fields suggest, and lookups that do not either."""

from __future__ import annotations

from tests.ecosystem.site import Site

MODELS = """
    from django.db import models
    from django.db.models.lookups import Exact, IExact
    from django.utils.safestring import SafeString, mark_safe
    from ormcache.models import CachedModel
    from ormcache import stable

    class Loose(CachedModel):
        slug = models.CharField(max_length=20)     # citext
        code = models.CharField(max_length=5)  # char(5)
        nd = models.CharField(max_length=20)  # a nondeterministic collation
        short = models.CharField(max_length=20)  # varchar(3)

        class CacheMeta:
            partitions = ["slug", "code", "nd", "short"]

    class Key(CachedModel):
        name = models.CharField(max_length=20, primary_key=True)    # citext
        body = models.CharField(max_length=20)

    class Child(CachedModel):
        key = models.ForeignKey(Key, models.CASCADE, db_constraint=False)
        body = models.CharField(max_length=20)

    class Colour(models.TextChoices):
        RED = "red"
        BLUE = "blue"

    class Plain(CachedModel):
        slug = models.CharField(max_length=20, unique=True)
        colour = models.CharField(max_length=10, choices=Colour)
        class CacheMeta:
            partitions = ["slug", "colour"]

    class OwnField(models.CharField):
        pass

    @stable
    class Insensitive(Exact):
        def as_sql(self, compiler, connection):
            lhs, params = self.process_lhs(compiler, connection)
            rhs, more = self.process_rhs(compiler, connection)
            return f"upper({lhs}) = upper({rhs})", [*params, *more]

    class Own(CachedModel):
        slug = models.CharField(max_length=20, unique=True)
        number = models.IntegerField(unique=True)

    Own._meta.get_field("slug").register_lookup(Insensitive)

    @stable
    class NextExact(Exact):
        prepare_rhs = False
        def as_sql(self, compiler, connection):
            lhs, params = self.process_lhs(compiler, connection)
            return f"{lhs} = %s", [*params, self.rhs + 1]

    class Shifted(CachedModel):
        body = models.CharField(max_length=20)

    Shifted._meta.pk.register_lookup(NextExact)

    class Encoded(models.BigAutoField):
        # What it is given is another number.
        def get_prep_value(self, value):
            return None if value is None else int(value) - 100

    class Disguised(CachedModel):
        id = Encoded(primary_key=True)
        body = models.CharField(max_length=20)
"""

SETUP = """
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION citext")
        cursor.execute("CREATE COLLATION loose (provider = icu, deterministic = false,"
                       " locale = 'und-u-ks-level2')")
"""

ALTER = """
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE site_loose ALTER slug TYPE citext")
        cursor.execute("ALTER TABLE site_loose ALTER code TYPE char(5)")
        cursor.execute('ALTER TABLE site_loose ALTER nd TYPE varchar(20) COLLATE "loose"')
        cursor.execute("ALTER TABLE site_loose ALTER short TYPE varchar(3)")
        cursor.execute("ALTER TABLE site_key ALTER name TYPE citext")
        cursor.execute("ALTER TABLE site_child ALTER key_id TYPE citext")
"""


def test_partitions_over_columns_of_other_types(site: Site) -> None:
    site.start(MODELS, setup=SETUP)
    site.run(ALTER)
    site.run("Loose.objects.create(slug='a', code='ab', nd='x', short='s')")
    reads = tuple(
        f"[r.pk for r in Loose.objects.filter({name}={value!r})]"
        for name, values in {
            "slug": ("B", "b"),
            "code": ("cd", "cd  "),
            "nd": ("Y", "y"),
            "short": ("abc",),
        }.items()
        for value in values
    )
    for number, write in enumerate(
        (
            "Loose.objects.create(slug='b', code='cd', nd='y', short='abc  ')",
            "Loose.objects.filter(slug='b').update(slug='c', code='e', nd='z', short='d')",
            "Loose.objects.filter(pk=2).update(slug='B', code='cd ', nd='Y', short='abc ')",
        )
    ):
        site.warm(*reads)
        site.run(write, by=number % 2)
        site.check(*reads)
    site.check_cached(*reads)


def test_keys_that_name_a_row_in_several_ways(site: Site) -> None:
    site.start(MODELS, setup=SETUP)
    site.run(ALTER)
    site.run("Key.objects.create(name='A', body='1'); Child.objects.create(key_id='A', body='c')")
    reads = (
        "Key.objects.get(pk='A').body",
        "Key.objects.get(pk='a').body",
        "[k.body for k in Key.objects.filter(pk__in=['a'])]",
        "[k.body for k in Key.objects.order_by('name')[:1]]",
        "Child.objects.get(pk=1).key.body",
        "[c.key.body for c in Child.objects.select_related('key')]",
        "[c.pk for c in Child.objects.filter(key='A')]",
        "[c.pk for c in Child.objects.filter(key='a')]",
    )
    for number, write in enumerate(
        (
            "Key.objects.filter(pk='a').update(body='2')",
            "k = Key.objects.get(pk='A'); k.body = '3'; k.save()",
            "Child.objects.create(key_id='a', body='d')",
        )
    ):
        site.warm(*reads)
        site.run(write, by=number % 2)
        site.check(*reads)
    site.check_uncached("does not name one row", "Key.objects.get(pk='A').body")


def test_comparisons_of_a_projects_own(site: Site) -> None:
    site.start(MODELS, setup=SETUP)
    site.run(
        "for c in 'abc': Own.objects.create(slug=c, number=ord(c)); Shifted.objects.create(body=c)"
    )
    reads = (
        "[r.pk for r in Own.objects.filter(slug='X')]",
        "Own.objects.filter(slug='X').count()",
        "Shifted.objects.get(pk=1).body",
        "[r.body for r in Shifted.objects.filter(pk=1)]",
        "[r.body for r in Shifted.objects.filter(pk__in=[1])]",
    )
    for number, write in enumerate(
        (
            "Own.objects.create(slug='x', number=1)",
            "Own.objects.filter(number=1).update(slug='y')",
            "Shifted.objects.filter(pk=1).update(body='new')",
        )
    ):
        site.warm(*reads)
        site.run(write, by=number % 2)
        site.check(*reads)


def test_keys_that_convert(site: Site) -> None:
    site.start(MODELS, setup=SETUP)
    site.run("Disguised.nocache.bulk_create([Disguised(id=100 + i, body=str(i)) for i in (1, 2)])")
    reads = ("Disguised.objects.get(pk=101).body", "[d.body for d in Disguised.objects.all()]")
    site.warm(*reads)
    site.run("Disguised.objects.filter(pk=101).update(body='new')")
    site.check(*reads)
    site.check_uncached("converts values in a way of its own", reads[0])


def test_choices_and_safe_strings_are_text(site: Site) -> None:
    site.start(MODELS, setup=SETUP)
    site.run("Plain.objects.create(slug='a', colour='blue')")
    reads = (
        "[p.pk for p in Plain.objects.filter(colour='red')]",
        "[p.pk for p in Plain.objects.filter(colour=Colour.RED)]",
        "[p.pk for p in Plain.objects.filter(slug=mark_safe('b'))]",
        "[p.pk for p in Plain.objects.filter(slug='b')]",
    )
    other = "[p.pk for p in Plain.objects.filter(slug='z')]"
    site.warm(*reads, other)
    site.run("Plain.objects.create(slug=mark_safe('b'), colour=Colour.RED)", by=1)
    site.check(*reads)
    assert [] == site.processes[0].read(other)["sql"]
    site.run("Plain.objects.filter(pk=2).update(slug=mark_safe('c'), colour=Colour.BLUE)")
    site.check(*reads)
