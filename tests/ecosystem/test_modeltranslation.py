"""django-modeltranslation: a field stands for a column a language, and updates are rewritten."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ecosystem.site import Site, require

MODELS = """
    from django.db import models
    from modeltranslation.manager import MultilingualQuerySet
    from modeltranslation.translator import TranslationOptions, translator
    from ormcache.managers import CacheManager, CachedQuerySet
    from ormcache.models import CachedModel

    class Above(CachedQuerySet, MultilingualQuerySet):
        pass

    class Below(MultilingualQuerySet, CachedQuerySet):
        pass

    class News(CachedModel):
        name = models.CharField(max_length=50)
        slug = models.SlugField(unique=True)
        objects = CacheManager.from_queryset({queryset})()

    class Options(TranslationOptions):
        fields = ("name", "slug")

    def register():
        translator.register(News, Options)
"""

NAMES = """
    from django.utils.translation import override

    def read(language, read):
        with override(language):
            return read()
"""

LANGUAGES: Any = {
    "LANGUAGES": [["en", "English"], ["de", "German"]],
    "LANGUAGE_CODE": "en",
    "MODELTRANSLATION_LANGUAGES": ["en", "de"],
}

READS = tuple(
    f"read({language!r}, lambda: {code})"
    for language in ("en", "de")
    for code in (
        "[n.name for n in News.objects.order_by('pk')]",
        "[n.pk for n in News.objects.order_by('name')]",
        "[n.pk for n in News.objects.filter(name='new')]",
        "News.objects.filter(slug='new').count()",
        "list(News.objects.order_by('pk').values_list('name_en', 'name_de'))",
        "[n.pk for n in News.objects.filter(name_de='neu')]",
        "News.objects.filter(slug_de='neu').exists()",
        "News.objects.get(pk=1).name",
    )
)

WRITES = (
    "with override('de'): News.objects.filter(pk=1).update(name='neu')",
    "with override('de'): News.objects.filter(name='b').update(name='neu', slug='neu')",
    "News.objects.filter(pk=2).update(name='new')",
    "with override('de'):\n  n = News.objects.get(pk=3); n.name = 'new'; n.save()",
    "n = News.objects.get(pk=3); n.slug_de = 'neu3'; n.save(update_fields=['slug_de'])",
    "with override('de'): News.objects.create(name='new', slug='d')",
    "with override('de'): News.objects.bulk_create([News(name='neu', slug='e'), News(slug='f')])",
    "n = list(News.objects.order_by('pk'))\n"
    "for i, each in enumerate(n): each.name_de = f'n{9 - i}'\n"
    "News.objects.bulk_update(n, ['name_de'])",
    "with override('de'): News.objects.filter(name='n9').delete()",
)


@pytest.mark.parametrize("queryset", ["Above", "Below"])
def test_what_is_written_in_each_language_is_seen(site: Site, queryset: str) -> None:
    require("modeltranslation")
    site.start(
        MODELS.format(queryset=queryset),
        apps=("modeltranslation",),
        names=NAMES,
        **LANGUAGES,
    )
    site.run("for c in 'abc': News.objects.create(name=c, name_de=c, slug=c, slug_de=c)")
    for number, write in enumerate(WRITES):
        site.warm(*READS)
        site.run(write, by=number % 2)
        site.check(*READS)
