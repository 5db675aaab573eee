"""django-mptt: trees whose manager renumbers them."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

MODELS = """
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


SUPPORT = Support(
    "django-mptt",
    cached=(
        ("nodes by key or name", "Genre.objects.get(name='a').name"),
        ("lists in the order of the tree", "[n.name for n in Genre.objects.all()]"),
        (
            "ancestors, children, descendants",
            "[n.name for n in Genre.objects.get(name='a').get_descendants()]",
        ),
    ),
    notes="Moves, ``rebuild()`` and ``delay_mptt_updates()`` are its own; each changes many rows.",
)


@ORDERS
def test_mptt_keeps_its_trees(site: Site, is_first: bool) -> None:
    require("mptt")
    site.start(in_order(MODELS, is_first), apps=("mptt",))
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
    site.check_support(SUPPORT)
