"""Managers and querysets of others are made to cache and lose nothing."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Generic, TypeVar

import pytest
from django.db import models
from django.db.models.manager import BaseManager

from ormcache import adoption
from ormcache.adoption import caching_manager, caching_queryset
from ormcache.managers import CachedQuerySet, CacheManager
from tests.testapp.models import Author

T = TypeVar("T")


class ShortQuerySet(models.QuerySet[Author]):
    def short(self) -> Any:
        return self.filter(name="x")


class ShortManager(models.Manager[Author]):
    use_in_migrations = True

    def __init__(self, length: int = 1) -> None:
        super().__init__()
        self.length = length

    def get_queryset(self) -> ShortQuerySet:
        return ShortQuerySet(self.model, using=self._db).filter(name="short")

    def long(self) -> int:
        return self.length


def bound(manager: Any) -> Any:
    manager.name, manager.model = "short", Author
    return caching_manager(manager)


def test_a_queryset_class_keeps_its_name_and_is_found_once() -> None:
    found = caching_queryset(ShortQuerySet)
    assert issubclass(found, CachedQuerySet)
    assert issubclass(found, ShortQuerySet)
    order = [ShortQuerySet, CachedQuerySet, models.QuerySet]
    assert order == sorted(order, key=found.__mro__.index)
    names = [
        (each.__module__, each.__name__, each.__qualname__) for each in (found, ShortQuerySet)
    ]
    assert names[0] == names[1]
    assert found is caching_queryset(ShortQuerySet)
    assert found is caching_queryset(found)
    assert CachedQuerySet is caching_queryset(models.QuerySet)


def test_a_manager_keeps_its_class_its_state_and_its_rows() -> None:
    own = ShortManager(3)
    manager = bound(own)
    assert isinstance(manager, ShortManager)
    assert (3, "short", own.creation_counter) == (
        manager.long(),
        manager.name,
        manager.creation_counter,
    )
    assert manager.use_in_migrations
    queryset = manager.all()
    assert isinstance(queryset, CachedQuerySet)
    assert isinstance(queryset, ShortQuerySet)
    assert str(own.all().query) == str(queryset.query)
    assert not isinstance(own.all(), CachedQuerySet)


def test_migrations_are_given_the_class_it_stands_for() -> None:
    own = ShortManager(3)
    manager = bound(own)
    assert own.deconstruct() == manager.deconstruct()
    assert own == manager
    assert manager == own
    assert ShortManager(4) != manager
    made = bound(ShortQuerySet.as_manager())
    assert ShortQuerySet.as_manager().deconstruct() == made.deconstruct()
    assert isinstance(made.short(), CachedQuerySet)


def test_what_caches_is_left_alone() -> None:
    manager: Any = CacheManager()
    assert manager is caching_manager(manager)
    made: Any = bound(ShortManager())
    assert made is caching_manager(made)


def test_a_cache_manager_whose_querysets_do_not_cache_is_made_to() -> None:
    class Straying(CacheManager[Author]):
        def get_queryset(self) -> Any:
            return ShortQuerySet(self.model, using=self._db)

    assert isinstance(bound(Straying()).all(), CachedQuerySet)


def test_a_plain_manager_becomes_a_cache_manager() -> None:
    plain: BaseManager[Any] = models.Manager()
    assert type(bound(plain)) is CacheManager


def test_pickles_and_copies_are_of_the_same_class() -> None:
    manager = bound(ShortManager(5))
    for made in (copy.copy(manager), pickle.loads(pickle.dumps(manager))):
        assert type(manager) is type(made)
        assert 5 == made.length
    query = pickle.loads(pickle.dumps(manager.all().query))
    queryset = manager.none()
    queryset._result_cache = []
    loaded = pickle.loads(pickle.dumps(queryset))
    assert type(queryset) is type(loaded)
    assert Author is query.model


class Mixin(Generic[T]):
    """Python would not let an instance of what derives from it change its class."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(name="x")  # type: ignore[misc]


class MixedQuerySet(Mixin[Author], models.QuerySet[Author]):
    pass


class MixedManager(Mixin[Author], models.Manager.from_queryset(MixedQuerySet)):  # type: ignore[misc]
    def every_one(self) -> Any:
        return super(Mixin, self).get_queryset()


def test_classes_of_another_layout_are_made_to_cache() -> None:
    manager = bound(MixedManager())
    assert isinstance(manager.all(), CachedQuerySet)
    assert isinstance(manager.all(), MixedQuerySet)


def test_methods_that_pass_its_get_queryset_by_cache_too() -> None:
    manager = bound(MixedManager())
    assert isinstance(manager.every_one(), CachedQuerySet)
    assert "WHERE" not in str(manager.every_one().query)


class Given(models.Manager[Author]):
    def __init__(self, queryset_class: Any) -> None:
        super().__init__()
        self._queryset_class = queryset_class

    def every_one(self) -> Any:
        return super().get_queryset()


def test_a_queryset_class_given_to_an_instance_is_made_to_cache() -> None:
    own = Given(ShortQuerySet)
    assert isinstance(bound(own).every_one(), CachedQuerySet)
    assert ShortQuerySet is own._queryset_class


class Meta(type):
    pass


class Strange(models.QuerySet[Author], metaclass=Meta):
    pass


class Final(models.QuerySet[Author]):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise RuntimeError("final")


class Registered(models.Manager[Author]):
    def __init_subclass__(cls, *, registry: Any, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)


def test_classes_that_let_none_be_made_of_them_are_left_alone() -> None:
    assert Final is adoption.caching_queryset(Final)
    manager = Registered()
    assert manager is adoption.caching_manager(manager)


def test_classes_that_cannot_stand_together_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of two metaclasses of which neither derives from the other there is no subclass.
    class Other(type):
        pass

    class Caching(models.QuerySet[Author], metaclass=Other):
        pass

    monkeypatch.setattr(adoption, "CachedQuerySet", Caching)
    assert Strange is adoption.caching_queryset.__wrapped__(Strange)
    assert isinstance(adoption.turned(ShortQuerySet(Author)), ShortQuerySet)
