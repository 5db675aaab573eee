"""Another database under an old address, and one database under two addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ecosystem.site import NAME, Site, create_database, drop_database

OTHER = f"{NAME}_other"

MODELS = """
    from django.db import models
    from ormcache.models import CachedModel

    class Article(CachedModel):
        title = models.CharField(max_length=20)
"""

NAMES = """
    def one(using="default"): return Article.objects.using(using).get(pk=1).title
    def every(using="default"):
        return list(Article.objects.using(using).values_list("title", flat=True))

    def alias(name, **changes):
        if name in connections.settings:
            connections[name].close()
            del connections[name]
        connections.settings[name] = {**connections.settings["default"], **changes}
"""


@pytest.fixture
def articles(site: Site) -> Iterator[Site]:
    site.start(MODELS, names=NAMES)
    site.run("Article.objects.create(title='old')")
    yield site
    drop_database(OTHER)


def leave(site: Site) -> None:
    for each in site.processes:
        each.run("connections.close_all()")


def clone(site: Site, title: str) -> None:
    """A copy of the database in which something was written that nobody saw."""
    leave(site)
    create_database(OTHER, template=NAME)
    site.run(f"alias('clone', NAME={OTHER!r})")
    site.run(
        f"with connections['clone'].cursor() as c: UPDATE = c.connection.execute("
        f"\"UPDATE site_article SET title = '{title}'\"); c.connection.commit()"
    )
    leave(site)


def test_a_database_created_anew_while_processes_run(articles: Site) -> None:
    articles.warm("one()", "every()")
    articles.check_cached("one()", "every()")
    clone(articles, "new")
    create_database(NAME, template=OTHER)
    for each in articles.processes:
        assert "'new'" == each.value("one()")
        assert "['new']" == each.value("every()")
    articles.check_cached("one()", "every()")


def test_a_clone_beside_its_source(articles: Site) -> None:
    articles.warm("one()", "every()")
    clone(articles, "copy")
    for each in articles.processes:
        each.run(f"alias('more', NAME={OTHER!r})")
        for _ in range(2):
            assert "'copy'" == each.value("one('more')")
            assert "['copy']" == each.value("every('more')")
            assert "'old'" == each.value("one()")


def test_an_alias_that_leads_elsewhere_from_now_on(articles: Site) -> None:
    clone(articles, "copy")
    for each in articles.processes:
        each.run("alias('more')")
    articles.warm("one('more')", "every('more')")
    for each in articles.processes:
        assert "'old'" == each.value("one('more')")
        each.run(f"alias('more', NAME={OTHER!r})")
        assert "'copy'" == each.value("one('more')")
        assert "['copy']" == each.value("every('more')")


def test_two_addresses_of_one_database_share_their_cells(articles: Site) -> None:
    for each in articles.processes:
        each.run("alias('direct', HOST='localhost')")
    reads = "one()", "every()", "one('direct')", "every('direct')"
    for number, using in enumerate(("default", "direct")):
        articles.warm(*reads)
        articles.check_cached(*reads)
        articles.run(f"Article.objects.using({using!r}).update(title='by {number}')")
        articles.check(*reads)
