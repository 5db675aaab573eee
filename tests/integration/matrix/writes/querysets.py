"""Writes through querysets and managers: every method of QuerySet that writes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from asgiref.sync import async_to_sync
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Concat, Lower

from tests.integration.matrix.world import MARIADB, World
from tests.integration.matrix.writes.types import Write
from tests.matrixapp.models import Guest, Loose, Pet, Sample, Seat, Visit
from tests.testapp.models import (
    Article,
    ArticleProxy,
    Author,
    Category,
    City,
    Comment,
    Country,
    Film,
    ItalianRestaurant,
    Photo,
    Place,
    PlainThing,
    Restaurant,
    Tag,
)


def unique(*names: str) -> Any:
    """MySQL and MariaDB find the conflict by themselves."""
    return None if MARIADB else list(names)


def upsert(world: World) -> None:
    Author.objects.bulk_create(
        [Author(name="Upserted", slug="ann"), Author(name="New", slug="t")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=unique("slug"),
    )


def upsert_sample(world: World) -> None:
    Sample.objects.bulk_create(
        [Sample(text="up", word="w1", rank=1, number=20), Sample(text="n", word="n", rank=50)],
        update_conflicts=True,
        update_fields=["text", "number"],
        unique_fields=unique("rank"),
    )


def bulk_update(world: World) -> None:
    articles = list(Article.objects.order_by("pk")[:3])
    for number, article in enumerate(articles):
        article.title = f"bulk {number}"
        article.views = F("views") + 5
    Article.objects.bulk_update(articles, ["title", "views"])


def bulk_update_in_batches(world: World) -> None:
    samples = world.samples
    for sample in samples:
        sample.rank += 40
        sample.price = None
    Sample.objects.bulk_update(samples, ["rank", "price"], batch_size=1)


def bulk_update_foreign_key(world: World) -> None:
    articles = world.articles
    for article in articles:
        article.author, article.category = world.bob, None
    Article.objects.bulk_update(articles, ["author", "category"], batch_size=4)


def bulk_update_children(world: World) -> None:
    children = list(Restaurant.objects.order_by("pk"))
    for child in children:
        child.serves_pizza = not child.serves_pizza
        child.name = child.name + "!"
    Restaurant.objects.bulk_update(children, ["serves_pizza", "name"])


_comment = Comment.objects.filter(article=OuterRef("pk")).values("text")[:1]


async def _by_async(world: Any) -> None:
    ann, article, tag = world
    await Tag.objects.acreate(name="async")
    await Tag.objects.aget_or_create(name="async2")
    await Tag.objects.aupdate_or_create(name="a", defaults={"name": "aa"})
    await Comment.objects.abulk_create([Comment(article=article, text="bulk")])
    article.views = 400
    await Article.objects.abulk_update([article], ["views"])
    await Article.objects.filter(published=False).aupdate(body="async")
    await Comment.objects.filter(text__endswith="0").adelete()
    await article.tags.aadd(tag)
    await article.tags.aset([tag])
    await article.tags.aclear()
    await ann.articles.acreate(title="async")


UPDATES: dict[str, Write] = {
    "update": lambda w: Article.objects.filter(published=True).update(title="updated"),
    "update everything": lambda w: Article.objects.update(published=True),
    "update with F": lambda w: Article.objects.filter(published=True).update(views=F("views") + 9),
    "update with Case": lambda w: Article.objects.update(
        views=Case(When(published=True, then=F("views") * 2), default=Value(7))
    ),
    "update with Subquery": lambda w: Article.objects.filter(comments__isnull=False).update(
        body=Subquery(_comment)
    ),
    "update with function": lambda w: Article.objects.update(title=Concat(Lower("title"), "body")),
    "update of a partition with F": lambda w: Article.objects.filter(editor__isnull=False).update(
        author=F("editor")
    ),
    "update of a unique integer": lambda w: Sample.objects.update(rank=F("rank") + 100),
    "update foreign key": lambda w: Article.objects.filter(author=w.bob).update(author=w.ann),
    "update by key": lambda w: Article.objects.filter(pk=w.article.pk).update(title="by key"),
    "update by keys": lambda w: Article.objects.filter(
        pk__in=[a.pk for a in w.articles[:2]]
    ).update(author=w.ann, editor=None),
    "update of an ordered queryset": lambda w: Article.objects.order_by("-views").update(views=3),
    "update by a sliced subquery": lambda w: Article.objects.filter(
        pk__in=list(Article.objects.order_by("-views").values_list("pk", flat=True)[:2])
    ).update(published=False),
    "update by own subquery": lambda w: Article.objects.filter(
        author__in=Author.objects.filter(active=True)
    ).update(views=F("views") + 100),
    "update by Exists": lambda w: Author.objects.filter(
        Exists(Article.objects.filter(author=OuterRef("pk"), views__gt=4))
    ).update(name="exists"),
    "update through a join": lambda w: Article.objects.filter(author__name__startswith="A").update(
        title="joined"
    ),
    "update of an annotated queryset": lambda w: (
        Article.objects.annotate(n=F("views") + 1)
        .filter(n__gt=3)
        .update(title="annotated", views=F("n"))
    ),
    "update(distinct)": lambda w: (
        Article.objects.filter(tags__name__in="ab").distinct().update(body="distinct")
    ),
    "update of nothing": lambda w: Article.objects.filter(pk=0).update(title="nothing"),
    "update proxy": lambda w: ArticleProxy.objects.update(views=5),
    "update nocache": lambda w: Article.nocache.update(body="past", views=6),
    "update nocache by key": lambda w: Article.nocache.filter(pk=w.article.pk).update(views=8),
    "update base manager": lambda w: Author._base_manager.filter(pk=w.bob.pk).update(active=True),
    "update using": lambda w: Tag.objects.using("default").filter(name="a").update(name="z"),
    "update text key's row": lambda w: Category.objects.filter(slug="news").update(
        title="by text"
    ),
    "update key": lambda w: Category.objects.filter(slug="sub").update(slug="sub2"),
    "update to_field": lambda w: City.objects.update(country="fr"),
    "update plain": lambda w: PlainThing.objects.update(name="brush"),
    "update film": lambda w: Film.objects.update(minutes=F("minutes") + 1),
    "update UUID key": lambda w: Photo.objects.update(title="lake"),
    "update swapped-in": lambda w: Guest.objects.update(name="updated"),
    "update caseless": lambda w: Loose.objects.filter(name="MIXED").update(name="Other"),
    "update two keys": lambda w: Seat.objects.filter(place=2).update(taken=True),
    "update nulls": lambda w: Sample.objects.filter(number=None).update(number=10, flag=None),
    "update to nulls": lambda w: Sample.objects.filter(rank__gt=0).update(
        number=None, day=None, moment=None, data=None, price=None
    ),
    "update JSON": lambda w: Sample.objects.filter(data__n=1).update(data={"name": "y", "n": 2}),
    "update times": lambda w: Sample.objects.update(
        moment="2025-01-01T00:00Z", day="2025-01-01", clock="01:00", span=dt.timedelta(hours=2)
    ),
    "update texts": lambda w: Sample.objects.filter(Q(rank=1) | Q(rank=2)).update(
        text="ALPHA", size=Sample.Size.LARGE, status="old", token=F("token")
    ),
    "child update": lambda w: Restaurant.objects.update(name="Updated", serves_pizza=False),
    "child update by key": lambda w: Restaurant.objects.filter(pk=w.italian.pk).update(
        name="By key", serves_pizza=True
    ),
    "child update of inherited": lambda w: Restaurant.objects.filter(serves_pizza=True).update(
        address="above"
    ),
    "grandchild update": lambda w: ItalianRestaurant.objects.update(
        name="G", owner=w.bob, regions="r"
    ),
    "parent update": lambda w: Place.objects.filter(pk=w.italian.pk).update(name="From above"),
    "parent update of all": lambda w: Place.objects.update(name="Same"),
    "related update": lambda w: w.bob.articles.update(published=True),
}

CREATES: dict[str, Write] = {
    "get_or_create": lambda w: Tag.objects.get_or_create(name="fresh"),
    "get_or_create finding": lambda w: Tag.objects.get_or_create(name="a"),
    "update_or_create": lambda w: Tag.objects.update_or_create(name="a", defaults={"name": "aa"}),
    "update_or_create new": lambda w: Author.objects.update_or_create(
        slug="t", defaults={"name": "x"}, create_defaults={"name": "created"}
    ),
    "bulk_create": lambda w: Comment.objects.bulk_create(
        [Comment(article=w.article, text=f"bulk {i}") for i in range(3)]
    ),
    "bulk_create in batches": lambda w: Tag.objects.bulk_create(
        [Tag(name=f"t{i}") for i in range(5)], batch_size=2
    ),
    "bulk_create with keys": lambda w: Article.objects.bulk_create(
        [Article(pk=10**6 + i, title="raw", author=w.ann) for i in range(2)]
    ),
    "bulk_create(ignore_conflicts)": lambda w: Tag.objects.bulk_create(
        [Tag(name="b"), Tag(name="ignored")], ignore_conflicts=True
    ),
    "bulk_create(update_conflicts)": upsert,
    "bulk_create(update_conflicts) by partition": upsert_sample,
    "bulk_create of nothing": lambda w: Tag.objects.bulk_create([]),
    "bulk_create plain": lambda w: PlainThing.objects.bulk_create(
        [PlainThing(author=w.bob, name="pen")]
    ),
    "bulk_create through": lambda w: Article.tags.through.objects.bulk_create(
        [Article.tags.through(article=w.article, tag=w.tags[2])]
    ),
    "bulk_create UUID keys": lambda w: Photo.objects.bulk_create([Photo(title="many")]),
    "bulk_create nocache": lambda w: Visit.nocache.bulk_create(
        [Visit(member=Guest.nocache.get(), number=5)]
    ),
    "bulk_create thousands": lambda w: Country.objects.bulk_create(
        [Country(code=f"{i}", name="many") for i in range(1100)]
    ),
    "bulk_update": bulk_update,
    "bulk_update in batches": bulk_update_in_batches,
    "bulk_update foreign key": bulk_update_foreign_key,
    "bulk_update children": bulk_update_children,
    "bulk_update(Case)": lambda w: Pet.objects.bulk_update(
        [
            _pet(pet, Case(When(name="Rex", then=Value("King")), default=Value("x")))
            for pet in Pet.objects.all()
        ],
        ["name"],
    ),
    "asynchronous queryset": lambda w: async_to_sync(_by_async)((w.ann, w.article, w.tags[2])),
}


def _pet(pet: Any, name: Any) -> Any:
    pet.name = name
    return pet


WRITES: dict[str, Write] = {**UPDATES, **CREATES}
