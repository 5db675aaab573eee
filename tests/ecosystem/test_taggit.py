"""django-taggit: tags through a generic relation."""

from __future__ import annotations

from tests.ecosystem.site import Site, require
from tests.ecosystem.support import PASSES, Support

MODELS = """
    from ormcache.models import CachedModel
    from django.db import models
    from taggit.managers import TaggableManager

    class Article(CachedModel):
        title = models.CharField(max_length=20)
        tags = TaggableManager()
"""

SUPPORT = Support(
    "django-taggit",
    cached=(
        ("objects with tags, by key", "Article.objects.get(pk=1).title"),
        ("lists of them", "[a.title for a in Article.objects.order_by('title')]"),
    ),
    uncached=(
        (
            "objects by tag",
            "[a.pk for a in Article.objects.filter(tags__name='blue')]",
            "taggit.managers.TaggableManager adds a condition of its own to joins",
        ),
        (
            "the tags of an object",
            "[t.name for t in Article.objects.get(pk=1).tags.order_by('name')]",
            PASSES,
        ),
    ),
)


def test_articles_with_tags_are_right(site: Site) -> None:
    require("taggit")
    site.start(MODELS, apps=("taggit",))
    site.run("a = Article.objects.create(title='a'); a.tags.add('red')")
    site.check_support(SUPPORT)
    site.run("Article.objects.get(pk=1).tags.add('blue')", by=1)
    site.check_support(SUPPORT)
