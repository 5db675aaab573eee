"""Writes through related managers and through models."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import F

from tests.integration.matrix.world import World
from tests.integration.matrix.writes.types import Write, save, save_some
from tests.matrixapp.models import Guest, Person
from tests.testapp.models import (
    Article,
    Author,
    Chapter,
    Comment,
    Contribution,
    Country,
    Label,
    Tag,
)

_Through: Any = Article.tags.through


def reorder(world: World) -> None:
    article: Any = world.article
    article.set_chapter_order(list(article.get_chapter_order().reverse()))


def through_row(world: World) -> Any:
    return _Through.objects.filter(article=world.article).order_by("pk")[0]


WRITES: dict[str, Write] = {
    # Reverse foreign keys
    "reverse create": lambda w: w.ann.articles.create(title="Related", published=True),
    "reverse get_or_create": lambda w: w.ann.articles.get_or_create(title="Got"),
    "reverse update_or_create": lambda w: w.ann.articles.update_or_create(
        title="No. 1", defaults={"title": "Updated"}
    ),
    "reverse add": lambda w: w.ann.articles.add(Article.nocache.filter(author=w.bob)[0]),
    "reverse add of new": lambda w: w.ann.articles.add(Article(title="unsaved"), bulk=False),
    "reverse add(bulk=False)": lambda w: w.ann.articles.add(w.articles[0], bulk=False),
    "reverse set": lambda w: w.bob.edited_articles.set(w.articles[:2]),
    "reverse set(clear)": lambda w: w.bob.edited_articles.set(w.articles[:2], clear=True),
    "reverse set(bulk=False)": lambda w: w.ann.edited_articles.set(w.articles[:2], bulk=False),
    "reverse remove": lambda w: w.bob.edited_articles.remove(w.article),
    "reverse remove(bulk=False)": lambda w: w.bob.edited_articles.remove(w.article, bulk=False),
    "reverse clear": lambda w: w.bob.edited_articles.clear(),
    "reverse clear(bulk=False)": lambda w: w.bob.edited_articles.clear(bulk=False),
    "reverse delete": lambda w: w.article.comments.all().delete(),
    "reverse bulk_create": lambda w: w.article.comments.bulk_create(
        [Comment(article=w.article, text="x")]
    ),
    "reverse of to_field": lambda w: Country.nocache.get(code="fr").city_set.create(name="Paris"),
    "reverse of swapped-in": lambda w: Guest.nocache.get().visit_set.create(number=2),
    # Many to many
    "m2m add": lambda w: w.article.tags.add(w.tags[2]),
    "m2m add of present": lambda w: w.article.tags.add(w.tags[0]),
    "m2m add by key": lambda w: w.article.tags.add(w.tags[2].pk),
    "m2m create": lambda w: w.article.tags.create(name="m"),
    "m2m get_or_create": lambda w: w.article.tags.get_or_create(name="m"),
    "m2m update_or_create": lambda w: w.article.tags.update_or_create(
        name="a", defaults={"name": "A1"}
    ),
    "m2m remove": lambda w: w.article.tags.remove(w.tags[0]),
    "m2m set": lambda w: w.article.tags.set(w.tags[1:]),
    "m2m set(clear)": lambda w: w.article.tags.set(w.tags[1:], clear=True),
    "m2m clear": lambda w: w.article.tags.clear(),
    "m2m update": lambda w: w.article.tags.update(name=F("name")),
    "m2m delete": lambda w: w.article.tags.filter(name="a").delete(),
    "m2m reverse add": lambda w: w.tags[2].articles.add(*w.articles[:2]),
    "m2m reverse create": lambda w: w.tags[2].articles.create(title="by tag", author=w.ann),
    "m2m reverse remove": lambda w: w.tags[0].articles.remove(w.article),
    "m2m reverse set": lambda w: w.tags[0].articles.set(w.articles[3:]),
    "m2m reverse clear": lambda w: w.tags[0].articles.clear(),
    "m2m symmetrical add": lambda w: w.people[2].friends.add(w.people[3]),
    "m2m symmetrical remove": lambda w: w.people[1].friends.remove(w.people[0]),
    "m2m symmetrical set": lambda w: w.people[0].friends.set([w.people[3]]),
    "m2m symmetrical clear": lambda w: w.people[1].friends.clear(),
    "m2m to itself add": lambda w: w.people[2].follows.add(w.people[0]),
    "m2m to itself reverse": lambda w: w.people[2].followers.set([w.people[3]]),
    "m2m to itself clear": lambda w: w.people[0].follows.clear(),
    # Through models
    "through_defaults add": lambda w: w.articles[5].contributors.add(
        w.ann, through_defaults={"role": "guest"}
    ),
    "through_defaults create": lambda w: w.article.contributors.create(
        name="New",
        slug="n",
        through_defaults={"role": "guest"},  # type: ignore[misc]
    ),
    "through_defaults set": lambda w: w.article.contributors.set(
        [w.ann], through_defaults={"role": "guest"}
    ),
    "through remove": lambda w: w.article.contributors.remove(w.bob),
    "through clear": lambda w: w.bob.contributed_articles.clear(),
    "through row create": lambda w: Contribution.objects.create(
        article=w.articles[5], author=w.ann
    ),
    "through row save": lambda w: save_some(Contribution.nocache.first(), role="editor"),
    "through row moved": lambda w: save(Contribution.nocache.first(), author=w.ann),
    "through row deleted": lambda w: Contribution.nocache.all()[0].delete(),
    "through update": lambda w: Contribution.objects.filter(author=w.bob).update(role="helper"),
    "automatic through create": lambda w: _Through.objects.create(
        article=w.article, tag=w.tags[2]
    ),
    "automatic through save": lambda w: save(through_row(w), tag=w.tags[2]),
    "automatic through update": lambda w: _Through.objects.filter(tag=w.tags[0]).update(
        tag=w.tags[2]
    ),
    "automatic through delete": lambda w: through_row(w).delete(),
    "automatic through delete all": lambda w: _Through.objects.all().delete(),
    # Generic relations
    "generic create": lambda w: Label.objects.create(target=w.article, text="generic"),
    "generic manager create": lambda w: w.article.labels.create(text="by manager"),
    "generic manager add": lambda w: w.articles[2].labels.add(Label.nocache.get(text="hot")),
    "generic manager add(bulk=False)": lambda w: w.article.labels.add(
        Label(text="unsaved"), bulk=False
    ),
    "generic manager set": lambda w: w.article.labels.set([]),
    "generic manager remove": lambda w: w.article.labels.remove(Label.nocache.get(text="hot")),
    "generic manager clear": lambda w: w.article.labels.clear(),
    "generic manager update": lambda w: w.article.labels.update(text="warm"),
    "generic moved": lambda w: Label.objects.update(
        content_type=ContentType.objects.get_for_model(Author), object_id=w.bob.pk
    ),
    # order_with_respect_to
    "reorder": reorder,
    "chapter create": lambda w: Chapter.objects.create(article=w.article, title="Three"),
    "chapter moved": lambda w: save(Chapter.nocache.last(), article=w.articles[4]),
    # Signals and prefetched managers
    "tag of many": lambda w: save(Tag.objects.get(name="a"), name="a2"),
    "person by relation": lambda w: w.people[0].friends.update(name="friend"),
    "people of many": lambda w: Person.objects.filter(followers__name="p0").update(name="f"),
}
