"""Querysets and fields that write something else than they were given."""

from __future__ import annotations

from tests.ecosystem.site import Site

MODELS = """
    import copy
    import hashlib

    from django.db import models
    from django.db.models.expressions import Value
    from ormcache.managers import CacheManager, CachedQuerySet
    from ormcache.models import CachedModel

    class Hashed(models.CharField):
        def get_prep_value(self, value):
            return value and hashlib.md5(str(value).encode()).hexdigest()[:8]

    class Counted(models.IntegerField):
        def get_db_prep_save(self, value, connection):
            return 0 if value is None else value + 1

    class Upper(models.CharField):
        def get_placeholder(self, value, compiler, connection):
            return "upper(%s)"

    class Slugged(models.CharField):
        def pre_save(self, instance, add):
            return instance.title[::-1]

    class Doubled:
        # Of a project's own, in place of the attribute Django makes.
        def __init__(self, name):
            self.name = name

        def __get__(self, instance, owner):
            return self if instance is None else instance.__dict__.get(self.name, 0)

        def __set__(self, instance, value):
            fresh = self.name in instance.__dict__
            instance.__dict__[self.name] = 2 * value if fresh and value else value

    class Renames(models.QuerySet):
        def update(self, **kwargs):
            if "title" in kwargs:
                kwargs["note"] = kwargs.pop("title")
            return super().update(**kwargs)

        def _update(self, values, *args, **kwargs):
            values = list(values)
            for field, model, value in list(values):
                if field.name == "title" and len(values) == 1:
                    values.append((self.model._meta.get_field("shadow"), None, value))
            return super()._update(values, *args, **kwargs)

        def _insert(self, objs, fields, *args, **kwargs):
            # Not those that were given.
            objs = [copy.copy(each) for each in objs]
            for each in objs:
                each.kind = 7
            return super()._insert(objs, fields, *args, **kwargs)

    class Above(CachedQuerySet, Renames):
        pass

    class Row(CachedModel):
        title = models.CharField(max_length=20, default="")
        note = models.CharField(max_length=20, default="")
        shadow = models.CharField(max_length=20, default="")
        kind = models.IntegerField(default=0)
        secret = Hashed(max_length=20, default="")
        counter = Counted(default=0)
        shout = Upper(max_length=20, default="")
        back = Slugged(max_length=20, default="")
        doubled = models.IntegerField(default=0)
        code = models.CharField(max_length=3, default="", unique=True)
        objects = CacheManager.from_queryset(Above)()

        class CacheMeta:
            partitions = ["kind", "doubled", "back", "code"]

    Row.doubled = Doubled("doubled")
"""

READS = (
    "[r.pk for r in Row.objects.order_by('note', 'pk')]",
    "[r.pk for r in Row.objects.filter(shadow='new')]",
    "Row.objects.filter(kind=7).count()",
    "Row.objects.filter(doubled=8).count()",
    "[r.pk for r in Row.objects.order_by('secret', 'pk')]",
    "list(Row.objects.order_by('pk').values_list('counter', flat=True))",
    "list(Row.objects.order_by('pk').values_list('shout', 'back', 'doubled'))",
    "[r.pk for r in Row.objects.filter(shout='NEW')]",
    "[r.pk for r in Row.objects.filter(code='ab')]",
    "[vars(r)['counter'] for r in Row.objects.order_by('pk')]",
)

WRITES = (
    "Row.objects.create(title='new', doubled=4, code='1')",
    "Row.objects.bulk_create([Row(title='x', code='2'), Row(title='y', code='3')])",
    "Row.objects.filter(pk=1).update(title='renamed')",
    "Row.objects.filter(title='x').update(title='a')",
    # What is assigned equals what was loaded, and is written as something else.
    "r = Row.objects.get(pk=2); r.save()",
    "r = Row.objects.get(pk=2); r.secret = r.secret; r.save(update_fields=['secret'])",
    "r = Row.objects.get(pk=2); r.counter = r.counter; r.save(update_fields=['counter'])",
    "r = Row.objects.get(pk=2); r.shout = 'new'; r.save()",
    "r = Row.objects.get(pk=2); r.title = 'new'; r.save(update_fields=['title'])",
    "r = Row.objects.get(pk=2); r.title = 'abc'; r.save(update_fields=['title', 'back'])",
    "r = Row.objects.get(pk=2); r.doubled = 4; r.save()",
    "Row.objects.filter(pk=1).update(counter=models.F('counter') + 1, secret='y')",
    # PostgreSQL cuts blanks that do not fit.
    "Row.objects.filter(pk=1).update(code='ab  ')",
    "Row.objects.filter(pk=3).delete()",
    "Row.objects.bulk_create([Row(title='x', code='ab', note='z')], update_conflicts=True,"
    " unique_fields=['code'], update_fields=['note', 'shadow'])",
    "r = Row.objects.get(pk=1); r.note = 'q'; Row.objects.bulk_update([r], ['note', 'kind'])",
)


def test_columns_are_those_of_the_statement(site: Site) -> None:
    site.start(MODELS)
    for number, write in enumerate(WRITES):
        site.warm(*READS)
        site.run(write, by=number % 2)
        site.check(*READS)
    site.check_cached(READS[0])
