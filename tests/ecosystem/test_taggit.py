"""django-taggit: tags through a generic relation."""

from __future__ import annotations

from tests.ecosystem.site import Site, require

MODELS = """
    from ormcache.models import CachedModel
    from django.db import models
    from taggit.managers import TaggableManager

    class Article(CachedModel):
        title = models.CharField(max_length=20)
        tags = TaggableManager()
"""


def test_articles_with_tags_are_right(site: Site) -> None:
    require("taggit")
    site.start(MODELS, apps=("taggit",))
    site.run("a = Article.objects.create(title='a'); a.tags.add('red')")
    reads = (
        "Article.objects.get(pk=1).title",
        "[t.name for t in Article.objects.get(pk=1).tags.order_by('name')]",
        "[a.pk for a in Article.objects.filter(tags__name='blue')]",
    )
    site.warm(*reads)
    site.check(*reads)
    site.run("Article.objects.get(pk=1).tags.add('blue')", by=1)
    site.check(*reads)
    site.check_cached("Article.objects.get(pk=1).title")
