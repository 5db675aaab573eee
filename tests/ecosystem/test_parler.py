"""django-parler: translated fields of a model of their own."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import PASSES, Support

MODELS = """

    from ormcache.models import CachedModel
    from django.db import models
    from parler.models import TranslatableModel, TranslatedFields

    class Product(CachedModel, TranslatableModel):
        price = models.IntegerField(default=1)
        translations = TranslatedFields(name=models.CharField(max_length=20))
"""

SUPPORT = Support(
    "django-parler",
    cached=(
        ("objects by key", "Product.objects.get(pk=1).price"),
        ("lists", "[p.price for p in Product.objects.order_by('pk')]"),
        ("objects by translation", "[p.pk for p in Product.objects.translated(name='one')]"),
    ),
    uncached=(
        (
            "the translations of an object",
            "sorted(t.name for t in Product.objects.get(pk=1).translations.all())",
            PASSES,
        ),
    ),
    notes="Name the models of translations in ``MODELS`` to cache them "
    '(``"shop.ProductTranslation": {}``). Its own cache is not kept current by ormcache.',
)


@ORDERS
def test_translations_are_right(site: Site, is_first: bool) -> None:
    require("parler")
    site.start(
        in_order(MODELS, is_first),
        apps=("parler",),
        LANGUAGE_CODE="en",
        PARLER_ENABLE_CACHING=False,
    )
    site.run(
        "for n in ('one', 'two'): Product.objects.create(name=n)\n"
        "p = Product.objects.get(pk=1); p.set_current_language('de'); p.name = 'eins'; p.save()"
    )
    reads = (
        "Product.objects.get(pk=1).name",
        "Product.objects.language('de').get(pk=1).name",
        "[p.pk for p in Product.objects.translated(name='one')]",
        "[p.name for p in Product.objects.language('de').filter(pk=1)]",
        "[p.get_current_language() for p in Product.objects.language('de').order_by('pk')]",
        "[p.name for p in Product.objects.prefetch_related('translations').order_by('pk')]",
    )
    site.warm(*reads)
    for write in (
        "p = Product.objects.get(pk=1); p.name = 'new'; p.save()",
        "p = Product.objects.language('de').get(pk=1); p.name = 'neu'; p.save()",
        "Product.objects.filter(pk=2).update(price=7)",
    ):
        site.run(write, by=1)
        site.check(*reads)
    site.check_support(SUPPORT)
