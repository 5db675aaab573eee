"""Writes through instances: every method of Model."""

from __future__ import annotations

import datetime as dt
from typing import Any

from asgiref.sync import async_to_sync
from django.core import serializers
from django.db import DatabaseError, IntegrityError
from django.db.models import F, Value
from django.db.models.functions import Concat, Upper

from tests.integration.matrix.world import World
from tests.integration.matrix.writes.types import Write, change, refused, save, save_some
from tests.matrixapp.models import Guest, Loose, Person, Pet, Sample, Seat, Visit
from tests.testapp.models import (
    Article,
    ArticleProxy,
    Category,
    City,
    Comment,
    Country,
    Document,
    Film,
    ItalianRestaurant,
    Label,
    Note,
    Photo,
    Place,
    PlainThing,
    Profile,
    Restaurant,
    Tag,
)


def save_deferred(world: World) -> None:
    article = Article.objects.only("title").get(pk=world.article.pk)
    article.title = "deferred"
    article.save()


def save_after_defer(world: World) -> None:
    article = Article.objects.defer("views").get(pk=world.article.pk)
    article.views = 70
    article.save()


def save_another_field(world: World) -> None:
    """What was changed in memory alone must not pass for the old value."""
    article = Article.objects.get(pk=world.article.pk)
    article.title = "in memory"
    article.author = world.bob
    article.views = 71
    article.save(update_fields=["views"])


def delete_changed(world: World) -> None:
    article = Article.objects.get(pk=world.article.pk)
    change(article, author=world.bob, published=False, title="in memory").delete()


def delete_stale(world: World) -> None:
    """The instance was loaded before another write moved its row."""
    article = world.article
    Article.objects.filter(pk=article.pk).update(author=world.bob)
    article.delete()


def save_stale(world: World) -> None:
    article = world.article
    Article.objects.filter(pk=article.pk).update(author=world.bob, views=60)
    save(article, title="stale")


def refresh_and_save(world: World) -> None:
    article = Article.objects.only("pk").get(pk=world.article.pk)
    article.title = "lost"
    article.refresh_from_db()
    save(article, views=72)


def save_copy(world: World) -> None:
    article = world.article
    article.pk = None
    article._state.adding = True
    save(article, title="copy")


def save_twice(world: World) -> None:
    article = world.article
    save(article, title="first", author=world.bob)
    save(article, title="second", author=world.ann)


def save_unloaded(world: World) -> None:
    """An instance nobody loaded, which names an existing row."""
    Tag(pk=world.tags[1].pk, name="unloaded").save()


def save_moved_key(world: World) -> None:
    category = world.news
    category.pk = "moved"
    category.save()


def attach_child(world: World) -> None:
    """Makes a restaurant of a place that exists."""
    place = Place.nocache.get(name="Square")
    child = Restaurant(place_ptr=place, serves_pizza=True)
    child.__dict__.update({"name": place.name, "address": "attached"})
    child.save()


def load_fixture(world: World) -> None:
    """What loaddata does: ``save_base(raw=True)``."""
    objects = [*world.articles[:2], world.bob, world.italian, world.news]
    text = serializers.serialize("json", objects).replace("No. 1", "loaded")
    text = text.replace('"Bob"', '"Bobby"').replace('"News"', '"Olds"').replace("Ugo", "Hugo")
    for each in serializers.deserialize("json", text):
        each.save()


def load_new(world: World) -> None:
    text = serializers.serialize("json", [world.articles[0]])
    for each in serializers.deserialize("json", text.replace("No. 0", "new")):
        each.object.pk = 10**6
        each.m2m_data = {"tags": [world.tags[2].pk]}
        each.save()


async def _by_async(world: Any) -> None:
    article, author, comment = world
    article.title = "async"
    await article.asave()
    author.name = "Asynchronous"
    await author.asave(update_fields=["name"])
    await author.arefresh_from_db()
    await comment.adelete()


WRITES: dict[str, Write] = {
    "create": lambda w: Article.objects.create(
        title="New", author=w.ann, published=True, views=99
    ),
    "create with key": lambda w: Article.objects.create(pk=10**6, title="New", author=w.bob),
    "create with text key": lambda w: Category.objects.create(slug="x", title="X", parent=w.news),
    "create with UUID key": lambda w: Photo.objects.create(title="hill"),
    "create with two keys": lambda w: Seat.objects.create(line=2, place=1),
    "create and save": lambda w: save(Tag.objects.create(name="d"), name="dd"),
    "create and delete": lambda w: Tag.objects.create(name="d").delete(),
    "create with database default": lambda w: Sample.objects.create(text="d", word="d", rank=9),
    "create swapped-in": lambda w: Visit.objects.create(member=Guest.objects.create(name="g2")),
    "create plain": lambda w: PlainThing.objects.create(author=w.bob, name="pen"),
    "create child": lambda w: ItalianRestaurant.objects.create(name="New Ugo", owner=w.ann),
    "create film": lambda w: Film.objects.create(title="Second"),
    "save": lambda w: save(w.article, title="saved", views=50),
    "save nothing new": lambda w: w.article.save(),
    "save(force_insert)": lambda w: Tag(name="forced").save(force_insert=True),
    "save(force_insert), refused": lambda w: refused(
        IntegrityError, lambda: w.tags[0].save(force_insert=True)
    ),
    "save(force_update)": lambda w: change(w.article, title="forced").save(force_update=True),
    "save(force_update), refused": lambda w: refused(
        DatabaseError, lambda: Tag(pk=10**7, name="x").save(force_update=True)
    ),
    "save(update_fields)": lambda w: save_some(w.article, published=False),
    "save(update_fields) of a counter": lambda w: save_some(w.article, views=1000),
    "save(update_fields) of a foreign key": lambda w: save_some(w.article, author=w.bob),
    "save(update_fields=[])": lambda w: change(w.article, title="no").save(update_fields=[]),
    "save(update_fields) of another field": save_another_field,
    "save(using)": lambda w: change(w.article, title="used").save(using="default"),
    "save_base": lambda w: change(w.article, title="base").save_base(),
    "save_base(raw)": lambda w: change(w.bob, name="raw").save_base(raw=True),
    "save foreign key": lambda w: save(w.article, author=w.bob),
    "save null": lambda w: save(w.article, editor=None, category=None),
    "save expression": lambda w: save(w.article, views=F("views") + 1),
    "save expression twice": lambda w: (
        save(article := w.article, views=F("views") + 1),
        save(article),
    ),
    "save function": lambda w: save(w.article, title=Upper(Concat("title", Value("x")))),
    "save expression for a partition": lambda w: save(w.samples[1], rank=F("rank") + 10),
    "save foreign key from column": lambda w: save(w.article, author_id=F("editor")),
    "save deferred": save_deferred,
    "save what was deferred": save_after_defer,
    "save a stale instance": save_stale,
    "save after refresh": refresh_and_save,
    "save copy": save_copy,
    "save twice": save_twice,
    "save an instance never loaded": save_unloaded,
    "save with another key": save_moved_key,
    "save proxy": lambda w: save(ArticleProxy.objects.get(pk=w.article.pk), title="by proxy"),
    "save text key": lambda w: save(w.news, title="Newer"),
    "save UUID key": lambda w: save(w.photo, title="sky"),
    "save related": lambda w: save(w.ann, name="Anna"),
    "save inactive": lambda w: save(w.bob, active=True, name="Rob"),
    "save unique field": lambda w: save(w.bob, slug="t"),
    "save one to one": lambda w: save(Profile.nocache.get(), biography="changed"),
    "move one to one": lambda w: save(Profile.nocache.get(), author=w.bob),
    "save plain": lambda w: save(PlainThing.objects.get(), name="pencil"),
    "save swapped-in": lambda w: save(Guest.nocache.get(), name="visitor"),
    "save to_field": lambda w: save(City.nocache.get(), country_id="fr"),
    "save target of to_field": lambda w: save(Country.nocache.get(code="it"), name="Italia"),
    "save generic": lambda w: save(Label.nocache.filter(text="hot")[0], target=w.bob),
    "save JSON": lambda w: save(Document.nocache.get(), content={"n": [1, {"m": None}]}),
    "save film": lambda w: save(Film.nocache.get(), minutes=100),
    "save note": lambda w: save(Note.nocache.get(), author=w.bob),
    "save caseless": lambda w: save(Loose.nocache.get(), name="MIXED"),
    "save pet": lambda w: save(Pet.nocache.get(name="Rex"), vet=None, walker=w.people[3]),
    "save person": lambda w: save(w.people[1], name="other"),
    "save two keys": lambda w: save(Seat.nocache.first(), taken=True),
    "save sample": lambda w: save(
        w.samples[0], text="Omega", word="w9", number=20, price="2.50", flag=False, data=None
    ),
    "save sample's nulls": lambda w: save(
        w.samples[3], number=10, ratio=0.5, day="2026-05-04", moment="2026-05-04T12:30:15Z"
    ),
    "save sample to nulls": lambda w: save(
        w.samples[1], number=None, price=None, ratio=None, flag=None, day=None, moment=None
    ),
    "save sample's generator": lambda w: save_some(w.samples[1], rank=77),
    "save sample's JSON": lambda w: save_some(w.samples[1], data={"name": "x", "n": 1}),
    "save sample's token": lambda w: save_some(w.samples[1], token="f" * 32),
    "save sample's time": lambda w: save_some(
        w.samples[2], clock="12:00", span=dt.timedelta(hours=25)
    ),
    "child save": lambda w: save(w.restaurant, name="Inn 2", serves_pizza=True),
    "child save inherited": lambda w: save_some(w.restaurant, name="Inn 3"),
    "child save own": lambda w: save_some(w.restaurant, serves_pizza=True, owner=w.bob),
    "grandchild save": lambda w: save(w.italian, name="Ugo 2", owner=w.bob, regions="all"),
    "parent save": lambda w: save(Place.objects.get(pk=w.restaurant.pk), address="Street"),
    "child attached": attach_child,
    "delete": lambda w: w.article.delete(),
    "delete changed in memory": delete_changed,
    "delete stale": delete_stale,
    "delete leaf": lambda w: w.comment.delete(),
    "delete UUID key": lambda w: w.photo.delete(),
    "delete film": lambda w: Film.nocache.get().delete(),
    "delete child": lambda w: w.italian.delete(),
    "delete(keep_parents)": lambda w: w.italian.delete(keep_parents=True),
    "delete parent": lambda w: Place.nocache.get(pk=w.restaurant.pk).delete(),
    "delete two keys": lambda w: Seat.nocache.all()[0].delete(),
    "delete proxy": lambda w: ArticleProxy.objects.get(pk=w.article.pk).delete(),
    "delete person": lambda w: w.people[4].delete(),
    "loaddata": load_fixture,
    "loaddata new": load_new,
    "asynchronous instance": lambda w: async_to_sync(_by_async)(
        (w.article, w.ann, Comment.nocache.first())
    ),
    "save what the cache gave": lambda w: save(Person.objects.get(name="p2"), name="p9"),
}
