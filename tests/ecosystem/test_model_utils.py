"""django-model-utils: soft deletion, and children found from their base."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import PASSES, Support

MODELS = """

    from ormcache.models import CachedModel
    from django.db import models
    from model_utils.managers import InheritanceManager, QueryManager
    from model_utils.models import SoftDeletableModel, StatusModel, TimeStampedModel
    from model_utils import Choices, FieldTracker

    class Note(CachedModel, SoftDeletableModel):
        text = models.CharField(max_length=20)
        tracker = FieldTracker()

    class Post(CachedModel, StatusModel):
        STATUS = Choices("draft", "out")
        text = models.CharField(max_length=20)
        late = QueryManager(text="z").order_by("-pk")

    class Place(CachedModel):
        name = models.CharField(max_length=20)
        objects = InheritanceManager()

    class Bar(Place):
        beer = models.CharField(max_length=20)
"""

SUPPORT = Support(
    "django-model-utils",
    cached=(
        ("SoftDeletableModel", "[n.text for n in Note.available_objects.order_by('pk')]"),
        ("StatusModel", "[p.text for p in Post.out.order_by('pk')]"),
        ("QueryManager", "[p.text for p in Post.late.all()]"),
        ("FieldTracker", "Note.available_objects.get(pk=2).tracker.previous('text')"),
        ("counts and values of InheritanceManager", "Place.objects.count()"),
    ),
    uncached=(
        ("lists of InheritanceManager", "[p.name for p in Place.objects.order_by('pk')]", PASSES),
        (
            "select_subclasses()",
            "[type(p).__name__ for p in Place.objects.select_subclasses().order_by('pk')]",
            PASSES,
        ),
    ),
)


@ORDERS
def test_managers_of_model_utils_stay(site: Site, is_first: bool) -> None:
    require("model_utils")
    site.start(in_order(MODELS, is_first))
    site.run(
        "for t in 'abz': Note.available_objects.create(text=t)\n"
        "for t in 'abz': Post.objects.create(text=t, status='out')\n"
        "Place.objects.create(name='p'); Bar.objects.create(name='b', beer='x')"
    )
    reads = (
        "[n.text for n in Note.available_objects.order_by('pk')]",
        "[n.text for n in Note.all_objects.order_by('pk')]",
        "Note.available_objects.filter(pk=1).exists()",
        "Note.available_objects.get(pk=1).text",
        "[p.text for p in Post.draft.order_by('pk')]",
        "[(type(p).__name__, p.name) for p in Place.objects.select_subclasses().order_by('pk')]",
        "type(Place.objects.get_subclass(pk=2)).__name__",
    )
    site.warm(*reads)
    for write in (
        "Note.available_objects.get(pk=1).delete()",
        "Note.available_objects.filter(text='z').delete()",
        "Post.objects.filter(text='a').update(status='draft')",
        "Bar.objects.filter(pk=2).update(name='new')",
    ):
        site.run(write, by=1)
        site.check(*reads)
    site.check_support(SUPPORT)
