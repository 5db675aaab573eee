"""django-softdelete: the manager turns its querysets into those of another class."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import PASSES, Support

MODELS = """

    from ormcache.models import CachedModel
    from django.db import models
    from softdelete.models import SoftDeleteObject

    class Note(CachedModel, SoftDeleteObject):
        text = models.CharField(max_length=20)

    class Part(CachedModel, SoftDeleteObject):
        note = models.ForeignKey(Note, models.CASCADE, related_name="parts")
"""

SUPPORT = Support(
    "django-softdelete",
    cached=(
        ("objects by other fields", "Note.objects.get(text='a').text"),
        ("lists, counts", "[n.text for n in Note.objects.order_by('pk')]"),
    ),
    uncached=(
        ("objects by key, which it finds deleted, too", "Note.objects.get(pk=1).text", PASSES),
    ),
)


@ORDERS
def test_soft_deletion_is_right(site: Site, is_first: bool) -> None:
    require("softdelete")
    site.start(in_order(MODELS, is_first), apps=("softdelete",))
    site.run("for t in 'abc': n = Note.objects.create(text=t); Part.objects.create(note=n)")
    reads = (
        "Note.objects.get(pk=1).text",
        "Note.objects.get(pk=2).text",
        "[n.text for n in Note.objects.order_by('pk')]",
        "[n.text for n in Note.objects.filter(pk__in=[1, 2]).order_by('pk')]",
        "sorted(Note.objects.in_bulk([1, 2, 3]))",
        "[Note.objects.count(), Part.objects.count()]",
        "[len(n.parts.all()) for n in Note.objects.prefetch_related('parts').order_by('pk')]",
        "[n.text for n in Note.objects.all_with_deleted().order_by('pk')]",
        "[n.text for n in Note.objects.deleted_set().order_by('pk')]",
    )
    site.warm(*reads)
    for write in (
        "Note.objects.get(pk=2).delete()",
        "Note.objects.filter(text='c').delete()",
        "Note.objects.deleted_set().undelete()",
    ):
        site.run(write, by=1)
        site.check(*reads)
    site.check_support(SUPPORT)
