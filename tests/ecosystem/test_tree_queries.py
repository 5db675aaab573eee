"""django-tree-queries: trees read with a recursive query of its own."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

MODELS = """

    from ormcache.models import CachedModel
    from django.db import models
    from tree_queries.models import TreeNode
    from tree_queries.query import TreeQuerySet

    class Node(CachedModel, TreeNode):
        name = models.CharField(max_length=20)
        fields = TreeQuerySet.as_manager(with_tree_fields=True)
        objects = TreeQuerySet.as_manager()
"""

SUPPORT = Support(
    "django-tree-queries",
    cached=(
        ("nodes by key or name", "Node.objects.get(name='a').name"),
        ("lists without tree fields", "[n.name for n in Node.objects.order_by('name')]"),
    ),
    uncached=(
        (
            "whatever has tree fields: trees, ancestors, descendants",
            "[(n.name, n.tree_depth) for n in Node.objects.with_tree_fields()]",
            "TreeQuery",
        ),
    ),
)


@ORDERS
def test_trees_are_read_by_its_own_query(site: Site, is_first: bool) -> None:
    require("tree_queries")
    site.start(in_order(MODELS, is_first), apps=("tree_queries",))
    site.run(
        "a = Node.objects.create(name='a'); b = Node.objects.create(name='b', parent=a)\n"
        "Node.objects.create(name='c', parent=b); Node.objects.create(name='z')"
    )
    reads = (
        "[(n.name, n.tree_depth) for n in Node.objects.with_tree_fields()]",
        "[(n.name, n.tree_depth) for n in Node.fields.all()]",
        "[n.name for n in Node.objects.get(name='a').descendants()]",
        "[n.name for n in Node.objects.ancestors(Node.objects.get(name='c'))]",
        "Node.fields.get(pk=2).name",
        "[n.name for n in Node.fields.filter(pk=2)]",
        "Node.fields.count()",
        "[n.name for n in Node.objects.order_by('name')]",
    )
    site.warm(*reads)
    for write in (
        "n = Node.objects.get(name='c'); n.parent = Node.objects.get(name='z'); n.save()",
        "Node.objects.filter(name='b').update(name='new')",
        "Node.objects.get(name='z').delete()",
    ):
        site.run(write, by=1)
        site.check(*reads)
    site.check_support(SUPPORT)
