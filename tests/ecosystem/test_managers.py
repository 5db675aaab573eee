"""Managers of others: they stay what they are and cache, in either order of bases."""

from __future__ import annotations

import pytest

from tests.ecosystem.site import Site, require

ORDERS = pytest.mark.parametrize(
    "swap", [False, True], ids=["cached model first", "other base first"]
)


def bases(models: str, swap: bool) -> str:
    """The source of models with the bases of each CachedModel in one or the other order."""
    if not swap:
        return models
    lines = []
    for line in models.splitlines():
        head, found, tail = line.partition("(CachedModel, ")
        if found:
            other = tail.partition(")")[0]
            line = f"{head}({other}, CachedModel):"
        lines.append(line)
    return "\n".join(lines)


TREEBEARD = """
    from ormcache.models import CachedModel
    from django.db import models
    from treebeard.mp_tree import MP_Node
    from treebeard.ns_tree import NS_Node
    from treebeard.al_tree import AL_Node

    class Node(CachedModel, MP_Node):
        name = models.CharField(max_length=20)

    class Nested(CachedModel, NS_Node):
        name = models.CharField(max_length=20)

    class Listed(CachedModel, AL_Node):
        name = models.CharField(max_length=20)
        parent = models.ForeignKey("self", models.CASCADE, related_name="kids", null=True)
        node_order_by = ["name"]
"""


@ORDERS
def test_treebeard_deletes_whole_branches(site: Site, swap: bool) -> None:
    require("treebeard")
    site.start(bases(TREEBEARD, swap), apps=("treebeard",))
    site.run(
        "for M in (Node, Nested, Listed):\n"
        "    a = M.add_root(name='a')\n"
        "    b = M.objects.get(pk=a.pk).add_child(name='b')\n"
        "    M.objects.get(pk=b.pk).add_child(name='c')\n"
        "    M.add_root(name='z')\n"
    )
    reads = [
        read.replace("M.", f"{model}.")
        for model in ("Node", "Nested", "Listed")
        for read in (
            "[m.name for m in M.objects.all()]",
            "[(m.name, m.get_depth()) for m in M.get_tree()]",
            "[m.name for m in M.objects.get(name='a').get_descendants()]",
            "[m.name for m in M.objects.get(name='a').get_children()]",
            "M.objects.count()",
            "M.objects.filter(name='b').exists()",
            "sorted(M.objects.values_list('name', flat=True))",
        )
    ]
    site.warm(*reads)
    site.check_cached(*[read for read in reads if "get_tree" not in read and "get_d" not in read])
    for model in ("Node", "Nested", "Listed"):
        site.run(
            f"{model}.objects.get(name='b').move({model}.objects.get(name='z'), "
            f"'{'sorted-child' if model == 'Listed' else 'first-child'}')",
            by=1,
        )
        site.check(*reads)
        site.run(f"{model}.objects.filter(name='b').delete()")
        site.check(*reads)
        assert "['a', 'z']" == site.processes[1].value(
            f"sorted({model}.objects.values_list('name', flat=True))"
        )


SAFEDELETE = """
    from ormcache.models import CachedModel
    from django.db import models
    from safedelete.models import SafeDeleteModel, SOFT_DELETE_CASCADE

    class Author(CachedModel, SafeDeleteModel):
        _safedelete_policy = SOFT_DELETE_CASCADE
        name = models.CharField(max_length=20)

    class Book(CachedModel, SafeDeleteModel):
        _safedelete_policy = SOFT_DELETE_CASCADE
        title = models.CharField(max_length=20)
        author = models.ForeignKey(Author, models.CASCADE, related_name="books")

    class Note(CachedModel):
        book = models.ForeignKey(Book, models.CASCADE, related_name="notes")
"""


@ORDERS
def test_safedelete_hides_what_was_deleted(site: Site, swap: bool) -> None:
    require("safedelete")
    site.start(bases(SAFEDELETE, swap), apps=("safedelete",))
    site.run(
        "for name in 'ab':\n"
        "    a = Author.objects.create(name=name)\n"
        "    for i in range(2):\n"
        "        b = Book.objects.create(title=name + str(i), author=a)\n"
        "        Note.objects.create(book=b)\n"
    )
    through_objects = (
        "Author.objects.get(pk=1).name",
        "[a.name for a in Author.objects.filter(pk__in=[1, 2]).order_by('pk')]",
        "Author.objects.filter(pk=1).first() is None",
        "sorted(Author.objects.in_bulk([1, 2]))",
        "[Author.objects.count(), Author.objects.filter(name='a').exists()]",
        "sorted(Book.objects.values_list('title', flat=True))",
        "[b.title for b in Author.all_objects.get(pk=2).books.order_by('pk')]",
        "[a.name for a in Author.all_objects.order_by('pk')]",
        "[a.name for a in Author.deleted_objects.order_by('pk')]",
        "[b.title for b in Author.all_objects.get(pk=1).books.all_with_deleted().order_by('pk')]",
        "[(a.name, [b.title for b in a.books.all()])"
        " for a in Author.all_objects.order_by('pk').prefetch_related('books')]",
    )
    through_keys = (
        "Note.objects.get(pk=3).book.title",
        "Note.objects.get(pk=3).book.author.name",
        "[n.book.title for n in Note.objects.select_related('book').order_by('pk')]",
    )
    site.warm(*through_objects, *through_keys)
    for write in (
        "Author.objects.get(pk=1).delete()",
        "Author.all_objects.get(pk=1).undelete()",
        "Book.objects.filter(title='b0').delete()",
        "Book.objects.filter(title='b1').update(title='new')",
        "Author.objects.filter(pk=2).delete()",
        "Author.deleted_objects.all().undelete()",
        "Book.objects.get(pk=1).delete(force_policy=0)",
    ):
        site.run(write, by=1)
        site.check(*through_objects, *through_keys)
    site.check_cached(*through_keys)
    site.check_uncached("SafeDeleteQuery", "sorted(Book.objects.values_list('title', flat=True))")


POLYMORPHIC = """
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


@ORDERS
def test_polymorphic_models_are_what_they_are(site: Site, swap: bool) -> None:
    require("polymorphic")
    site.start(
        bases(POLYMORPHIC, swap),
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
    # The rows of the base come from the cache; those of each child are asked for by polymorphic.
    answer = site.processes[0].read("kinds(Animal.objects.order_by('pk'))")
    assert answer["sql"]
    assert not any('FROM "site_animal"' in sql for sql in answer["sql"]), answer["sql"]


MPTT = """
    from ormcache.models import CachedModel
    from django.db import models
    from mptt.models import MPTTModel, TreeForeignKey
    from mptt.managers import TreeManager

    class Genre(CachedModel, MPTTModel):
        name = models.CharField(max_length=20)
        parent = TreeForeignKey("self", models.CASCADE, null=True, blank=True, related_name="kids")

    class Special(CachedModel, MPTTModel):
        name = models.CharField(max_length=20)
        parent = TreeForeignKey("self", models.CASCADE, null=True, blank=True, related_name="kids")
        objects = models.Manager()
        tree = TreeManager()
"""


@ORDERS
def test_mptt_keeps_its_trees(site: Site, swap: bool) -> None:
    require("mptt")
    site.start(bases(MPTT, swap), apps=("mptt",))
    reads = []
    for model, manager in (("Genre", "objects"), ("Special", "tree")):
        site.run(
            f"M = {model}; a = M.objects.create(name='a')\n"
            "b = M.objects.create(name='b', parent=a)\n"
            "c = M.objects.create(name='c', parent=b); M.objects.create(name='z')"
        )
        reads += [
            f"[n.name for n in {model}.{manager}.all()]",
            f"[(n.name, n.lft, n.rght, n.tree_id) for n in {model}.objects.order_by('pk')]",
            f"[n.name for n in {model}.objects.get(name='a').get_descendants()]",
            f"[n.name for n in {model}.objects.get(name='c').get_ancestors()]",
            f"[n.name for n in {model}.objects.get(name='a').kids.all()]",
            f"[n.name for n in {model}.objects.get(name='a').get_children()]",
            f"{model}.{manager}.filter(level=0).count()",
            f"{model}.{manager}.root_nodes().count()",
        ]
    site.warm(*reads)
    for model, manager in (("Genre", "objects"), ("Special", "tree")):
        for write in (
            f"{model}.objects.get(name='b').move_to({model}.objects.get(name='z'))",
            f"{model}.objects.filter(name='c').update(lft=77)",
            f"{model}.{manager}.rebuild()",
            f"with {model}.{manager}.delay_mptt_updates():"
            f" {model}.objects.create(name='new', parent={model}.objects.get(name='a'))",
            f"{model}.objects.get(name='z').delete()",
        ):
            site.run(write, by=1)
            site.check(*reads)
    site.check_cached(*reads)
