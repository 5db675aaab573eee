"""Which fields the instances of a read hold, and which they defer, is what Django makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author, ItalianRestaurant, Place, Restaurant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


def held(instances: Any) -> list[dict[str, Any]]:
    """The attributes of instances, without those of Django's own."""
    return [
        {name: value for name, value in vars(each).items() if not name.startswith("_")}
        for each in instances
    ]


# Columns selected by hand

BY_HAND: dict[str, Callable[[Any], Any]] = {
    "list": lambda manager: manager.filter(slug__gt="s0") & manager.values("pk", "slug"),
    "by key": lambda manager: manager.filter(pk__in=keys()) & manager.values("pk"),
    "one by key": lambda manager: manager.filter(pk=keys()[0]) & manager.values("pk"),
    "values_list": lambda manager: manager.order_by("slug") & manager.values_list("pk", "name"),
    "either": lambda manager: manager.filter(slug="s0") | manager.filter(slug="s1").values("pk"),
    "all the same": lambda manager: (
        manager.order_by("pk") & manager.values("id", "name", "slug", "active", "created")
    ),
    "get": lambda manager: [(manager.all() & manager.values("pk", "slug")).get(pk=keys()[0])],
    "get under Q": lambda manager: [
        (manager.all() & manager.values("pk", "slug")).get(Q(pk=keys()[0]))
    ],
    "first": lambda manager: [(manager.order_by("pk") & manager.values("pk")).first()],
    "related": lambda manager: manager.select_related("profile") & manager.values("pk"),
    "union": lambda manager: (
        manager.only("name")
        .filter(slug="s0")
        .union(manager.filter(slug="s1").values("id", "slug"))
    ),
}


def keys() -> list[int]:
    return list(Author.nocache.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize("name", BY_HAND)
def test_instances_of_columns_selected_by_hand(name: str) -> None:
    """They deferred the rest, and whole rows came from the cache."""
    for number in range(3):
        Author.objects.create(name=f"n{number}", slug=f"s{number}")
    read = BY_HAND[name]
    expected = held(read(Author.nocache))
    assert expected
    list(Author.objects.all())
    before = counters["uncached"]
    assert [expected] * 3 == [held(read(Author.objects)) for _ in range(3)]
    assert before < counters["uncached"]


def test_a_key_that_is_not_selected() -> None:
    """Django has no name for such a row; what it says is said."""
    Author.objects.create(name="n", slug="s")

    def read(manager: Any) -> Any:
        return list(manager.filter(slug="s") & manager.values("name"))

    with CaptureQueriesContext(connection) as plain:
        expected = held(read(Author.nocache))
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            assert expected == held(read(Author.objects))
        assert len(plain) == len(captured)


def test_it_says_why() -> None:
    manager: Any = Author.objects
    found = (manager.all() & manager.values("pk")).explain_cache()
    assert ["it makes instances of columns selected by hand"] == list(found.reasons)


# Tables of parents

DEFERRING: dict[str, Callable[[Any], Any]] = {
    "only": lambda manager: manager.only("serves_pizza"),
    "only of the parent": lambda manager: manager.only("name"),
    "only its key": lambda manager: manager.only("pk"),
    "only the parent's key": lambda manager: manager.only("id"),
    "only the link": lambda manager: manager.only("place_ptr"),
    "defer": lambda manager: manager.defer("serves_pizza"),
    "defer of the parent": lambda manager: manager.defer("name"),
    "defer the parent's key": lambda manager: manager.defer("id"),
    "defer the link": lambda manager: manager.defer("place_ptr", "serves_pizza"),
}
READ: dict[str, Callable[[Any], Any]] = {
    "list": lambda found: found.order_by("-pk"),
    "by key": lambda found: found.filter(pk__in=[each.pk for each in Place.nocache.all()]),
    "get": lambda found: [found.get(pk=found.model.nocache.earliest("pk").pk)],
    "get by another field": lambda found: [
        found.get(serves_pizza=True, name__endswith="1", pk=found.model.nocache.latest("pk").pk)
    ],
    "first": lambda found: [found.first()],
    "in_bulk": lambda found: found.in_bulk().values(),
}


@pytest.fixture
def places() -> None:
    Place.objects.create(name="p")
    for number in range(2):
        Restaurant.objects.create(name=f"r{number}", serves_pizza=bool(number))
        ItalianRestaurant.objects.create(name=f"i{number}", serves_pizza=bool(number))


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("model", [Restaurant, ItalianRestaurant])
@pytest.mark.parametrize("name", DEFERRING)
def test_what_a_child_defers(
    model: Any, name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Its own key is always loaded, that of its parent is a field like others."""
    defer = DEFERRING[name]
    for read in READ.values():
        expected = held(read(defer(model.nocache)))
        assert expected
        assert [expected] * 2 == [held(read(defer(model.objects))) for _ in range(2)]
    assert expected[0].keys() < vars(model.nocache.all()[0]).keys()
    read = READ["list"]
    with django_assert_num_queries(0):
        list(read(defer(model.objects)))


@pytest.mark.usefixtures("places")
def test_the_fields_a_child_saves() -> None:
    """What was loaded is saved: receivers are told of it."""
    told: list[Any] = []

    def note(sender: Any, update_fields: Any, **kwargs: Any) -> None:
        told.append(update_fields)

    key = Restaurant.nocache.earliest("pk").pk
    post_save.connect(note, sender=Restaurant)
    try:
        for manager in (Restaurant.nocache, Restaurant.objects, Restaurant.objects):
            manager.only("serves_pizza").get(pk=key).save()
            next(iter(manager.only("serves_pizza").order_by("pk"))).save()
    finally:
        post_save.disconnect(note, sender=Restaurant)
    assert [{"serves_pizza"}] * 6 == told
