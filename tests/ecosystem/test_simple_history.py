"""django-simple-history: each save leaves a row in a table of its own."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import PASSES, Support

MODELS = """

    from ormcache.models import CachedModel
    from django.db import models
    from simple_history.models import HistoricalRecords

    class Poll(CachedModel):
        question = models.CharField(max_length=20)
        history = HistoricalRecords()

    class Kept(CachedModel):
        question = models.CharField(max_length=20)
        history = HistoricalRecords(bases=[CachedModel])
"""

SUPPORT = Support(
    "django-simple-history",
    cached=(
        ("objects and lists", "[p.question for p in Poll.objects.order_by('pk')]"),
        (
            "``Poll.history.model.objects``, with ``HistoricalRecords(bases=[CachedModel])``",
            "[h.question for h in Kept.history.model.objects.order_by('history_id')]",
        ),
    ),
    uncached=(
        ("``Poll.history``", "[h.question for h in Poll.history.order_by('history_id')]", PASSES),
    ),
)


@ORDERS
def test_history_is_right(site: Site, is_first: bool) -> None:
    require("simple_history")
    site.start(in_order(MODELS, is_first), apps=("simple_history",))
    reads = []
    for model in ("Poll", "Kept"):
        site.run(f"p = {model}.objects.create(question='a'); p.question = 'b'; p.save()")
        reads += [
            f"{model}.objects.get(pk=1).question",
            f"[h.question for h in {model}.history.order_by('history_id')]",
            f"[h.question for h in {model}.objects.get(pk=1).history.order_by('history_id')]",
            f"{model}.history.count()",
            f"[p.question for p in {model}.history.as_of(__import__('datetime').datetime.max)]",
        ]
    site.warm(*reads)
    for model in ("Poll", "Kept"):
        for write in (
            f"p = {model}.objects.get(pk=1); p.question = 'c'; p.save()",
            f"h = {model}.history.earliest(); h.instance.save()",
            f"{model}.objects.get(pk=1).delete()",
        ):
            site.run(write, by=1)
            site.check(*reads)
    site.check_support(SUPPORT)
