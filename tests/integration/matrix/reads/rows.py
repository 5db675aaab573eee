"""Rows: one by one, by lists, and past the cache."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.db import models, transaction

from tests.integration.matrix.values import Read, row
from tests.matrixapp.models import Guest, Loose, Person, Pet, Sample, Seat, Visit
from tests.testapp.models import (
    Article,
    ArticleProxy,
    Author,
    Category,
    Chapter,
    City,
    Comment,
    Contribution,
    Country,
    Document,
    Film,
    ItalianRestaurant,
    Note,
    Photo,
    Place,
    PlainThing,
    Profile,
    Restaurant,
    Tag,
)


def keys(model: type[models.Model]) -> list[Any]:
    return list(model._meta.managers_map["nocache"].order_by("pk").values_list("pk", flat=True))


def each(model: Any) -> Read:
    return lambda: [model.objects.get(pk=pk) for pk in keys(model)]


def every(queryset: Any) -> Read:
    """The rows of ``queryset`` by key, asked anew each time."""
    return lambda: queryset.order_by("pk")


def refreshed() -> Any:
    article = Article.objects.only("pk").order_by("pk")[0]
    article.refresh_from_db()
    return article


def deferred() -> Any:
    return [(a.title, a.body) for a in Article.objects.defer("body").order_by("pk")]


def locked() -> Any:
    with transaction.atomic():
        return list(Article.objects.select_for_update().order_by("pk"))


def unlocked_in_atomic() -> Any:
    with transaction.atomic():
        return list(Article.objects.filter(published=True).order_by("pk"))


async def _by_async() -> list[Any]:
    queryset = Article.objects.order_by("pk")
    return [
        [row(article) async for article in queryset],
        row(await queryset.afirst()),
        row(await queryset.alast()),
        await queryset.acount(),
        await queryset.aexists(),
        await queryset.aaggregate(models.Sum("views")),
        {pk: row(article) for pk, article in (await queryset.ain_bulk()).items()},
        [row(tag) async for tag in Tag.objects.all()],
    ]


def named(model: Any, name: str, *values: Any) -> Read:
    return lambda: [model.objects.filter(**{name: value}).first() for value in values]


READS: dict[str, Read] = {
    "get by key": each(Author),
    "get article by key": each(Article),
    "get by text key": each(Category),
    "get by UUID key": each(Photo),
    "get by a key of two columns": lambda: [Seat.objects.get(pk=pk) for pk in ((1, 1), (1, 2))],
    "get child": each(Restaurant),
    "get grandchild": each(ItalianRestaurant),
    "get swapped-in model": each(Guest),
    "get sample": each(Sample),
    "get person": each(Person),
    "get without lists": each(Film),
    "get by unique text": lambda: [Author.objects.get(slug=slug) for slug in ("ann", "bob")],
    "get by unique integer": lambda: Sample.objects.get(rank=1),
    "get by unique UUID": lambda: Sample.objects.get(token="00000000-0000-0000-0000-000000000001"),
    "get filtered": lambda: Article.objects.filter(published=True).get(title="No. 1"),
    "get through a join": lambda: Article.objects.get(author__slug="ann", title="No. 3"),
    "in_bulk": lambda: Article.objects.in_bulk(keys(Article)),
    "in_bulk of everything": lambda: Tag.objects.in_bulk(),
    "in_bulk(field_name)": lambda: Author.objects.in_bulk(["ann", "bob", "t"], field_name="slug"),
    "first": lambda: Article.objects.order_by("title", "pk").first(),
    "last": lambda: Article.objects.filter(published=True).order_by("pk").last(),
    "latest": lambda: Article.objects.latest("views", "pk"),
    "earliest": lambda: Article.objects.earliest("-views", "pk"),
    "index": lambda: Article.objects.order_by("-views", "pk")[1],
    "all": every(Article.objects),
    "default order": lambda: Tag.objects.all(),
    "proxy": every(ArticleProxy.objects),
    "proxy in its own order": lambda: [a.pk for a in ArticleProxy.objects.order_by("title", "pk")],
    "children": lambda: Restaurant.objects.order_by("name", "pk"),
    "grandchildren": every(ItalianRestaurant.objects),
    "parents": lambda: Place.objects.order_by("name", "pk"),
    "children by inherited column": every(Restaurant.objects.filter(name__startswith="I")),
    "comments": every(Comment.objects),
    "chapters": lambda: sorted(Chapter.objects.all(), key=lambda each: each.pk),
    "contributions": every(Contribution.objects),
    "profiles": every(Profile.objects),
    "notes": every(Note.objects),
    "photos": every(Photo.objects),
    "documents": every(Document.objects),
    "cities": every(City.objects),
    "countries": every(Country.objects),
    "people": every(Person.objects),
    "pets": every(Pet.objects),
    "visits": every(Visit.objects),
    "seats": every(Seat.objects),
    "samples": every(Sample.objects),
    "caseless": every(Loose.objects),
    "caseless by text": named(Loose, "name", "mixed", "MIXED", "other"),
    "film list": lambda: Film.objects.all(),
    "film list with options": lambda: list(Film.objects.order_by("pk").cache(timeout=60)),
    "not cached model": every(PlainThing.objects),
    "only": lambda: [a.title for a in Article.objects.only("title").order_by("pk")],
    "only across a relation": lambda: [
        (a.title, a.author.name)
        for a in Article.objects.select_related("author")
        .only("title", "author__name")
        .order_by("pk")
    ],
    "defer": deferred,
    "reverse": lambda: Article.objects.order_by("title").reverse(),
    "none": lambda: Article.objects.none(),
    "filter to nothing": lambda: Article.objects.filter(pk__in=[]),
    "slice": lambda: Article.objects.order_by("-views", "pk")[1:4],
    "open slice": lambda: Article.objects.order_by("-views", "pk")[2:],
    "slice with step": lambda: Article.objects.order_by("-views", "pk")[0:5:2],
    "contains": lambda: [
        Article.objects.filter(published=True).contains(a) for a in Article.nocache.order_by("pk")
    ],
    "named entry": lambda: list(Article.objects.order_by("pk").cache(key="all", timeout=60)),
    "depends_on": lambda: list(
        Tag.objects.filter(name="b").cache(depends_on=[Article, *Author.objects.order_by("pk")])
    ),
    "iterator": lambda: list(Article.objects.order_by("pk").iterator()),
    "raw": lambda: list(Article.objects.raw("SELECT * FROM testapp_article ORDER BY id")),
    "refresh_from_db": refreshed,
    "select_for_update": locked,
    "in a transaction": unlocked_in_atomic,
    "nocache": lambda: list(Article.nocache.order_by("pk")),
    "extra": lambda: Article.objects.extra(where=["views > 2"]).order_by("pk"),
    "extra select": lambda: [
        (a.pk, a.twice)  # type: ignore[attr-defined]
        for a in Article.objects.extra(select={"twice": "views * 2"}).order_by("pk")
    ],
    "using": lambda: Article.objects.using("default").order_by("pk"),
    "base manager": lambda: Article._base_manager.order_by("pk"),
    "asynchronous": lambda: async_to_sync(_by_async)(),
}
