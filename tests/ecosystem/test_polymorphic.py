"""django-polymorphic: lists of a base give instances of its children."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

MODELS = """
    from ormcache.models import CachedModel
    from django.db import models
    from polymorphic.models import PolymorphicModel
    from polymorphic.managers import PolymorphicManager
    from polymorphic.query import PolymorphicQuerySet

    class OwnQuerySet(PolymorphicQuerySet):
        def named(self, name):
            return self.filter(name=name)

    class Animal(CachedModel, PolymorphicModel):
        name = models.CharField(max_length=20)
        own = PolymorphicManager.from_queryset(OwnQuerySet)()
        objects = PolymorphicManager()

    class Dog(Animal):
        trick = models.CharField(max_length=20)

    class Puppy(Dog):
        age = models.IntegerField(default=0)

    class Cat(Animal):
        lives = models.IntegerField(default=9)

    class Owner(CachedModel):
        pet = models.ForeignKey(Animal, models.CASCADE, related_name="owners")
"""


SUPPORT = Support(
    "django-polymorphic",
    cached=(
        ("objects and lists of a model without children", "kinds(Cat.objects.order_by('pk'))"),
        ("the rows of a base", "kinds(Animal.objects.non_polymorphic().order_by('pk'))"),
        ("values, counts and aggregates", "Animal.objects.aggregate(models.Max('Dog___trick'))"),
    ),
    notes="A list of a base takes one query for each class of children in it, made by the "
    "package; the rows of the base come from the cache.",
)


@ORDERS
def test_polymorphic_models_are_what_they_are(site: Site, is_first: bool) -> None:
    require("polymorphic")
    site.start(
        in_order(MODELS, is_first),
        apps=("polymorphic",),
        setup="from django.core.management import call_command\n"
        "call_command('migrate', 'contenttypes', verbosity=0)",
        names="def kinds(found): return [(type(o).__name__, o.pk, o.name, getattr(o, 'trick', 0))"
        " for o in found]",
    )
    site.run(
        "Animal.objects.create(name='any'); Dog.objects.create(name='rex', trick='sit')\n"
        "Puppy.objects.create(name='pup', trick='bite', age=1); Cat.objects.create(name='tom')\n"
        "Owner.objects.bulk_create([Owner(pet_id=pk) for pk in (1, 2, 3, 4)])\n"
    )
    mixed = (
        "kinds(Animal.objects.order_by('pk'))",
        "kinds([Animal.objects.get(pk=2)])",
        "kinds(Animal.objects.filter(pk__in=[2, 4]).order_by('pk'))",
        "kinds(Animal.objects.instance_of(Dog).order_by('pk'))",
        "kinds(Animal.own.named('pup'))",
        "kinds(o.pet for o in Owner.objects.order_by('pk'))",
        "kinds(Animal.objects.annotate(n=models.Count('owners')).order_by('pk'))",
        "kinds(o.pet for o in Owner.objects.prefetch_related('pet').order_by('pk'))",
        "kinds(Dog.objects.order_by('pk'))",
        "kinds(Animal.objects.defer('name').order_by('pk'))",
        "Animal.objects.filter(Dog___trick='sit').exists()",
    )
    whole = (
        "kinds(Cat.objects.order_by('pk'))",
        "kinds([Cat.objects.get(pk=4)])",
        "kinds(Animal.objects.non_polymorphic().order_by('pk'))",
        "[Animal.objects.count(), Dog.objects.exists()]",
        "list(Animal.objects.order_by('pk').values_list('name', flat=True))",
        "Animal.objects.aggregate(models.Max('Dog___trick'))",
    )
    site.warm(*mixed, *whole)
    for write in (
        "Dog.objects.filter(pk=2).update(trick='roll')",
        "d = Animal.objects.get(pk=3); d.name = 'new'; d.trick = 'down'; d.save()",
        "Animal.objects.filter(pk=4).update(name='kit')",
        "Animal.objects.filter(pk=2).delete()",
        "Cat.objects.create(name='tim')",
    ):
        site.run(write, by=1)
        site.check(*mixed, *whole)
    site.check_cached(*whole)
    site.check_support(SUPPORT)
    # The rows of the base come from the cache; those of each child are asked for by polymorphic.
    answer = site.processes[0].read("kinds(Animal.objects.order_by('pk'))")
    assert answer["sql"]
    assert not any('FROM "site_animal"' in sql for sql in answer["sql"]), answer["sql"]
