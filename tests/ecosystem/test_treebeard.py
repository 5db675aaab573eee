"""django-treebeard: trees whose managers delete whole branches."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

MODELS = """
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


SUPPORT = Support(
    "django-treebeard",
    cached=(
        ("nodes by key or name (all three kinds of trees)", "Node.objects.get(name='a').name"),
        ("lists of nodes, in the order of the tree", "[n.name for n in Nested.objects.all()]"),
        ("children, counts", "[n.name for n in Listed.objects.get(name='a').get_children()]"),
    ),
    notes="Its ``delete()`` and ``move()`` are its own.",
)


@ORDERS
def test_treebeard_deletes_whole_branches(site: Site, is_first: bool) -> None:
    require("treebeard")
    site.start(in_order(MODELS, is_first), apps=("treebeard",))
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
        site.check_support(SUPPORT)
        site.run(f"{model}.objects.filter(name='b').delete()")
        site.check(*reads)
        assert "['a', 'z']" == site.processes[1].value(
            f"sorted({model}.objects.values_list('name', flat=True))"
        )
