"""Reads across relations: joins, select_related, prefetches, managers."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db.models import F, FilteredRelation, Prefetch, Q, prefetch_related_objects

from tests.integration.matrix.values import Read, plain, row, rows
from tests.matrixapp.models import Hall, Person, Pet, Visit
from tests.testapp.models import (
    Article,
    Author,
    Category,
    City,
    Comment,
    Contribution,
    Country,
    Label,
    Photo,
    Place,
    Profile,
    Restaurant,
    Tag,
)


def _found(queryset: Any) -> Read:
    return lambda: rows(queryset.order_by("pk"))


def _ordered(*terms: Any) -> Read:
    return lambda: Article.objects.order_by(*terms)


def _each(queryset: Any, *names: str) -> Read:
    """The related objects of every row, by the names of their attributes."""

    def read() -> Any:
        return [[_related(each, name) for name in names] for each in queryset.order_by("pk")]

    return read


def _related(instance: Any, path: str) -> Any:
    for name in path.split("."):
        instance = getattr(instance, name, None)
    if hasattr(instance, "order_by"):
        prefetched = instance.all()._result_cache is not None
        # A prefetch without an order comes in any; PostgreSQL changes it with every UPDATE.
        return rows(
            sorted(instance.all(), key=lambda each: each.pk)
            if prefetched
            else instance.order_by("pk")
        )
    return plain(instance)


def _prefetched() -> Any:
    articles = list(Article.objects.order_by("pk"))
    prefetch_related_objects(articles, "tags", "author__profile")
    return [(rows(a.tags.all()), row(a.author)) for a in articles]


_TARGETS: list[Any] = [Article.objects.only("title"), Author.objects.all()]
_LIVE = Article.objects.filter(published=True).order_by("pk")

JOINS: dict[str, Any] = {
    "across a foreign key": Article.objects.filter(author__slug="ann"),
    "across two": Comment.objects.filter(article__author__active=True),
    "reverse": Author.objects.filter(articles__views__gt=3).distinct(),
    "reverse by key": Author.objects.filter(articles=3),
    "reverse by keys": Author.objects.filter(articles__in=[2, 3]).distinct(),
    "reverse by queryset": Author.objects.filter(
        articles__in=Article.objects.filter(views__gt=3)
    ).distinct(),
    "reverse excluded": Author.objects.exclude(articles=3),
    "reverse is None": Author.objects.filter(edited_articles=None),
    "reverse is null": Author.objects.filter(edited_articles__isnull=True),
    "reverse is not null": Author.objects.filter(edited_articles__isnull=False).distinct(),
    "m2m": Article.objects.filter(tags__name="a"),
    "m2m is null": Article.objects.filter(tags__isnull=False).distinct(),
    "m2m reverse": Tag.objects.filter(articles__published=True).distinct(),
    "m2m through": Author.objects.filter(contribution__role="writer").distinct(),
    "m2m excluded": Article.objects.exclude(tags__name="a"),
    "generic": Article.objects.filter(labels__text="hot"),
    "one to one": Profile.objects.filter(author__name="Ann"),
    "one to one reverse": Author.objects.filter(profile__biography="writes"),
    "one to one reverse is null": Author.objects.filter(profile=None),
    "generic is null": Article.objects.filter(labels=None),
    "to_field": City.objects.filter(country_id="it"),
    "across to_field": City.objects.filter(country__name="Italy"),
    "to_field reverse": Country.objects.filter(city__name="Rome"),
    "to text key": Article.objects.filter(category="news"),
    "to itself": Category.objects.filter(parent__title="News"),
    "to itself, many": Person.objects.filter(friends__name="p1"),
    "to itself, many, reverse": Person.objects.filter(followers__name="p0"),
    "child from parent": Place.objects.filter(restaurant__serves_pizza=True),
    "parent from child": Restaurant.objects.filter(place_ptr__address=""),
    "owner of child": Restaurant.objects.filter(owner__slug="ann"),
    "model that is not cached": Author.objects.filter(things__name="pen"),
    "swapped-in model": Visit.objects.filter(member__name="guest"),
    "FilteredRelation": Article.objects.annotate(
        hot=FilteredRelation("tags", condition=Q(tags__name="a"))
    ).filter(hot__isnull=False),
    "on_delete kinds": Pet.objects.filter(vet__name="p1"),
}

SELECTED: dict[str, Read] = {
    "one": _each(Article.objects.select_related("author"), "author"),
    "several": _each(
        Article.objects.select_related("author", "editor"), "author", "editor", "editor.name"
    ),
    "to a text key": _each(Article.objects.select_related("category__parent"), "category.parent"),
    "deep": _each(Comment.objects.select_related("article__author"), "article", "article.author"),
    "reverse": _each(Author.objects.select_related("profile"), "profile"),
    "parent": _each(Restaurant.objects.select_related("owner"), "owner"),
    "child": _each(Place.objects.select_related("restaurant"), "restaurant"),
    "another's child": _each(Hall.objects.select_related("wing_beside"), "wing_beside.name"),
    "all": _each(Comment.objects.select_related("article"), "article"),
    "to_field": _each(City.objects.select_related("country"), "country"),
    "off": _each(Article.objects.select_related("author").select_related(None), "author"),
    "filtered": _each(
        Comment.objects.select_related("article").filter(article__published=True), "article"
    ),
}

PREFETCHED: dict[str, Read] = {
    "m2m": _each(Article.objects.prefetch_related("tags"), "tags"),
    "reverse": _each(Author.objects.prefetch_related("articles"), "articles"),
    "foreign key": _each(Article.objects.prefetch_related("author"), "author"),
    "one to one": _each(Author.objects.prefetch_related("profile"), "profile"),
    "nested": _each(
        Author.objects.prefetch_related("articles__tags", "articles__comments"), "articles"
    ),
    "queryset": _each(Author.objects.prefetch_related(Prefetch("articles", _LIVE)), "articles"),
    "to_attr": lambda: [
        rows(a.live)
        for a in Author.objects.prefetch_related(
            Prefetch("articles", _LIVE, to_attr="live")
        ).order_by("pk")
    ],
    "nested queryset": lambda: [
        [(row(article), rows(article.tags.all())) for article in author.live]
        for author in Author.objects.prefetch_related(
            Prefetch("articles", _LIVE.prefetch_related("tags"), to_attr="live")
        ).order_by("pk")
    ],
    "sliced": lambda: [
        rows(a.top)
        for a in Author.objects.prefetch_related(
            Prefetch("articles", Article.objects.order_by("-views", "pk")[:2], to_attr="top")
        ).order_by("pk")
    ],
    "generic relation": _each(Article.objects.prefetch_related("labels"), "labels"),
    "generic key": _each(Label.objects.prefetch_related("target"), "target"),
    "GenericPrefetch": _each(
        Label.objects.prefetch_related(GenericPrefetch("target", _TARGETS)),
        "target.pk",
    ),
    "objects": _prefetched,
    "to itself": _each(Person.objects.prefetch_related("friends"), "friends"),
    "with select_related": _each(
        Article.objects.prefetch_related(
            Prefetch("comments", Comment.objects.select_related("article").order_by("pk"))
        ),
        "comments",
    ),
}

ATTRIBUTES: dict[str, Read] = {
    "foreign key": _each(Article.objects, "author", "editor"),
    "foreign key to text": _each(Article.objects, "category"),
    "foreign key by to_field": _each(City.objects, "country"),
    "one to one": _each(Profile.objects, "author"),
    "reverse one to one": _each(Author.objects, "profile"),
    "reverse manager": _each(Author.objects, "articles", "edited_articles"),
    "reverse manager by to_field": _each(Country.objects, "city_set"),
    "m2m": _each(Article.objects, "tags"),
    "m2m reverse": _each(Tag.objects, "articles"),
    "m2m through": _each(Article.objects, "contributors"),
    "m2m to itself": _each(Person.objects, "friends", "follows", "followers"),
    "generic relation": _each(Article.objects, "labels"),
    "generic key": _each(Label.objects, "target"),
    "parent of child": _each(Restaurant.objects, "place_ptr"),
    "child of parent": _each(Place.objects, "restaurant"),
    "filtered": lambda: [
        rows(a.articles.filter(published=True).order_by("pk"))
        for a in Author.objects.order_by("pk")
    ],
    "counted": lambda: [
        (a.articles.count(), a.articles.exists()) for a in Author.objects.order_by("pk")
    ],
    "m2m counted": lambda: [a.tags.count() for a in Article.objects.order_by("pk")],
    "order_with_respect_to": lambda: [
        [list(a.get_chapter_order()), *rows(a.chapters.all())]  # type: ignore[attr-defined]
        for a in Article.objects.order_by("pk")
    ],
    "next in order": lambda: [
        row(a.chapters.all()[0].get_next_in_order())  # type: ignore[attr-defined]
        for a in Article.objects.filter(title="No. 1").order_by("pk")
    ],
    "next by date": lambda: Photo.objects.earliest("added").get_previous_by_added(),
    "on_delete kinds": _each(Pet.objects, "keeper", "vet", "walker"),
}

ORDERS: dict[str, tuple[Any, ...]] = {
    "relation's column": ("author__name", "pk"),
    "relation": ("category", "pk"),
    "deep": ("category__parent__title", "pk"),
    "many": ("tags__name", "pk"),
    "nulls first": (F("editor__name").asc(nulls_first=True), "pk"),
    "nulls last": (F("category__title").desc(nulls_last=True), "pk"),
}

READS: dict[str, Read] = {
    **{f"join: {name}": _found(queryset) for name, queryset in JOINS.items()},
    **{f"select_related: {name}": read for name, read in SELECTED.items()},
    **{f"prefetch: {name}": read for name, read in PREFETCHED.items()},
    **{f"attribute: {name}": read for name, read in ATTRIBUTES.items()},
    **{f"order by {name}": _ordered(*terms) for name, terms in ORDERS.items()},
    "through with select_related": _each(
        Contribution.objects.select_related("author", "article"), "author", "article"
    ),
}
