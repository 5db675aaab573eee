"""Making a model cached changes neither what its managers are nor its migrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.apps.registry import Apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ProjectState
from django.db.models.sql.query import Query
from django.test.utils import isolate_apps

from ormcache.checks import _check_model
from ormcache.managers import CachedQuerySet, CacheManager
from ormcache.models import CachedModel

Base = type[models.Model]
Make = Callable[..., Any]


class OpenQuerySet(models.QuerySet[Any]):
    def opened(self) -> Any:
        return self.filter(name="open")


class OpenManager(models.Manager[Any]):
    """Builds its queryset itself."""

    def get_queryset(self) -> Any:
        return OpenQuerySet(self.model, using=self._db).filter(name="open")

    def only_here(self) -> str:
        return "here"


class NamedManager(models.Manager.from_queryset(OpenQuerySet)):  # type: ignore[misc]
    """Calls ``super()``, and stands in migrations."""

    use_in_migrations = True

    def __init__(self, name: str = "any") -> None:
        super().__init__()
        self.value = name

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(name=self.value).annotate(two=models.Value(2))


class Named(models.Model):
    """The model of another package."""

    name = models.CharField(max_length=10)

    objects = OpenManager()
    named = NamedManager("x")

    class Meta:
        abstract = True
        ordering = ["name"]
        verbose_name = "thing"
        default_manager_name = "named"
        base_manager_name = "objects"


class Bare(models.Model):
    name = models.CharField(max_length=10)

    class Meta:
        abstract = True


def plain(*bases: Base) -> tuple[Base, ...]:
    return bases or (models.Model,)


def cached_first(*bases: Base) -> tuple[Base, ...]:
    return (CachedModel, *bases)


def cached_last(*bases: Base) -> tuple[Base, ...]:
    return (*bases, CachedModel)


def nothing(make: Make, bases: Any) -> None:
    make("Thing", bases(Bare))


def its_own(make: Make, bases: Any) -> None:
    make("Thing", bases(Bare), objects=OpenManager(), named=NamedManager("y"))


def another_first(make: Make, bases: Any) -> None:
    make("Thing", bases(Bare), opened=OpenManager(), other=models.Manager())


def plain_ones(make: Make, bases: Any) -> None:
    used = models.Manager[Any]()
    used.use_in_migrations = True
    make("Thing", bases(Bare), plain=models.Manager(), used=used)


def of_a_queryset(make: Make, bases: Any) -> None:
    make("Thing", bases(Bare), objects=OpenQuerySet.as_manager())


def of_a_queryset_class(make: Make, bases: Any) -> None:
    manager: Any = OpenManager.from_queryset(OpenQuerySet)
    make("Thing", bases(Bare), objects=manager())


def inherited(make: Make, bases: Any) -> None:
    make("Thing", bases(Named))


def inherited_and_own(make: Make, bases: Any) -> None:
    make("Thing", bases(Named), mine=OpenManager())


def named_in_meta(make: Make, bases: Any) -> None:
    make(
        "Thing",
        bases(Bare),
        {"base_manager_name": "opened", "default_manager_name": "named"},
        opened=OpenManager(),
        named=NamedManager(),
    )


def children(make: Make, bases: Any) -> None:
    parent = make(
        "Parent",
        bases(Bare),
        {"base_manager_name": "opened", "default_manager_name": "named", "ordering": ["name"]},
        opened=OpenManager(),
        named=NamedManager(),
    )
    make("Child", (parent,))
    make("Grandchild", (make("Middle", (parent,), extra=OpenManager()),))
    make("Proxy", (parent,), {"proxy": True})
    make("ManagedProxy", (parent,), {"proxy": True}, extra=OpenManager())


def children_of_others(make: Make, bases: Any) -> None:
    parent = make(
        "Parent",
        (Bare,),
        {"base_manager_name": "opened", "default_manager_name": "named", "ordering": ["name"]},
        opened=OpenManager(),
        named=NamedManager(),
    )
    make("Child", bases(parent))
    make("Proxy", bases(parent), {"proxy": True})


def linked(make: Make, bases: Any) -> None:
    thing = make("Thing", bases(Named))
    make("Owner", bases(Bare), things=models.ManyToManyField(thing, related_name="owners"))


MODELS = [
    nothing, its_own, another_first, plain_ones, of_a_queryset, of_a_queryset_class, inherited,
    inherited_and_own, named_in_meta, children, children_of_others, linked,
]  # fmt: skip


def made(models_of: Any, bases: Any) -> tuple[dict[str, Any], ProjectState]:
    found: dict[str, Any] = {}

    def make(name: str, parents: Any, meta: Any = None, **members: Any) -> Any:
        members["Meta"] = type("Meta", (), {"app_label": "testapp", **(meta or {})})
        found[name] = type(name, parents, {"__module__": __name__, **members})
        return found[name]

    with isolate_apps("tests.testapp") as apps:
        models_of(make, bases)
        assert isinstance(apps, Apps)
        return found, ProjectState.from_apps(apps)


@pytest.mark.parametrize("bases", [cached_first, cached_last])
@pytest.mark.parametrize("models_of", MODELS)
def test_no_migration(models_of: Any, bases: Any) -> None:
    (_, before), (_, after) = made(models_of, plain), made(models_of, bases)
    for one, other in ((before, after), (after, before)):
        changes = MigrationAutodetector(one, other)._detect_changes()  # type: ignore[attr-defined]
        assert {} == changes


@pytest.mark.parametrize("bases", [cached_first, cached_last])
@pytest.mark.parametrize("models_of", MODELS)
def test_managers_are_those_of_the_plain_model(models_of: Any, bases: Any) -> None:
    found, expected = made(models_of, bases)[0], made(models_of, plain)[0]
    for name, model in expected.items():
        cached = found[name]
        if not issubclass(cached, CachedModel):
            continue
        for one, other in zip(model._meta.managers, cached._meta.managers, strict=False):
            assert one.name == other.name
            assert cached is other.model
            assert_stands_for(one, other)
        own = [each.name for each in cached._meta.managers[len(model._meta.managers) :]]
        assert own in (["nocache"], ["objects", "nocache"])
        assert_stands_for(model._default_manager, cached._default_manager)
        assert_stands_for(model._base_manager, cached._base_manager)
        assert model._meta.ordering == cached._meta.ordering
        assert not isinstance(cached.nocache.all(), CachedQuerySet)
        assert isinstance(cached.objects.all(), CachedQuerySet)


def assert_stands_for(one: Any, other: Any) -> None:
    assert one.name == other.name
    assert isinstance(other.all(), CachedQuerySet)
    assert isinstance(other.all(), type(one.all()))
    assert str(one.all().query) == str(other.all().query)
    if isinstance(one, OpenManager | NamedManager):
        assert isinstance(other, OpenManager | NamedManager)
    if isinstance(one, OpenManager):
        assert "here" == other.only_here()
    assert other.explain_cache


def test_the_base_manager_is_not_what_hides_rows() -> None:
    thing = made(its_own, cached_first)[0]["Thing"]
    assert type(thing._base_manager) is CacheManager
    assert "WHERE" not in str(thing._base_manager.all().query)
    assert "WHERE" in str(thing.objects.all().query)


def test_related_managers_have_the_methods_of_the_other_class() -> None:
    owner = made(linked, cached_last)[0]["Owner"](pk=1)
    assert isinstance(owner.things.all(), CachedQuerySet)
    assert isinstance(owner.things.all(), OpenQuerySet)
    through = type(owner).things.through
    assert isinstance(through._default_manager.all(), CachedQuerySet)
    assert isinstance(through._base_manager.all(), CachedQuerySet)


def test_abstract_models_between_keep_the_managers() -> None:
    with isolate_apps("tests.testapp"):

        class Middle(CachedModel, Named):  # type: ignore[misc]
            class Meta(Named.Meta):
                abstract = True
                app_label = "testapp"

        class Thing(Middle):
            class Meta(Middle.Meta):
                app_label = "testapp"

    made: Any = Thing
    assert "named" == made._default_manager.name
    assert "objects" == made._base_manager.name
    assert isinstance(made.objects.all(), OpenQuerySet)
    assert isinstance(made.objects.all(), CachedQuerySet)


def test_a_manager_called_nocache_stays_plain() -> None:
    with isolate_apps("tests.testapp"):

        class Thing(CachedModel):
            name = models.CharField(max_length=10)
            nocache: ClassVar[Any] = OpenManager()

            class Meta:
                app_label = "testapp"

    manager: Any = Thing._meta.managers_map["nocache"]
    assert type(manager) is OpenManager
    assert not isinstance(manager.all(), CachedQuerySet)


def test_generic_relations_have_the_methods_of_the_other_class() -> None:
    with isolate_apps("tests.testapp", "django.contrib.contenttypes"):

        class Mark(CachedModel, Named):  # type: ignore[misc]
            content_type = models.ForeignKey("contenttypes.ContentType", models.CASCADE)
            object_id = models.IntegerField()
            target = GenericForeignKey()

            class Meta:
                app_label = "testapp"

        class Thing(CachedModel):
            marks = GenericRelation(Mark)

            class Meta:
                app_label = "testapp"

    manager = Thing.marks.related_manager_cls
    assert issubclass(manager, NamedManager)


def test_what_the_registry_forgets_is_found_again() -> None:
    thing = made(inherited, cached_first)[0]["Thing"]
    thing._meta._expire_cache()
    assert isinstance(thing.objects.all(), CachedQuerySet)
    assert "named" == thing._default_manager.name


class Foreign(Query):
    def get_initial_alias(self) -> Any:
        return super().get_initial_alias()


class ForeignQuerySet(models.QuerySet[Any]):
    def __init__(self, model: Any = None, query: Any = None, **kwargs: Any) -> None:
        super().__init__(model, query or Foreign(model), **kwargs)


class Lazy(models.QuerySet[Any]):
    def _fetch_all(self) -> None:
        self.query.add_q(models.Q(name="open"))
        super()._fetch_all()


class Behind(CachedQuerySet[Any], Lazy):  # type: ignore[override]
    pass


class Waiting(models.Manager[Any]):
    def get_queryset(self) -> Any:
        raise LookupError("no request is running")


class Straying(CacheManager[Any]):
    """Named as if it cached; what it gives is made to."""

    def get_queryset(self) -> Any:
        return OpenQuerySet(self.model, using=self._db)


@pytest.mark.parametrize(
    ("manager", "meta", "reason"),
    [
        (OpenManager(), {}, ""),
        (OpenQuerySet.as_manager(), {}, ""),
        (Straying(), {}, ""),
        (Waiting(), {}, ""),
        (models.Manager(), {}, ""),
        (OpenManager(), {"default_manager_name": "nocache"}, "gives a plain QuerySet"),
        (ForeignQuerySet.as_manager(), {}, "Foreign.get_initial_alias is not Django's own"),
        (CacheManager.from_queryset(Behind)(), {}, "Lazy._fetch_all() is not Django's own"),
    ],
)
def test_the_check_asks_what_get_queryset_gives(manager: Any, meta: Any, reason: str) -> None:
    def thing(make: Make, bases: Any) -> None:
        make("Thing", bases(Bare), meta, objects=manager)

    found = _check_model(made(thing, cached_first)[0]["Thing"])
    texts = [each.msg for each in found if each.id == "ormcache.W003"]
    assert len(texts) == bool(reason)
    assert all(reason in text for text in texts)


def test_the_meta_of_another_base_is_inherited() -> None:
    with isolate_apps("tests.testapp"):

        class Other(models.Model):
            class Meta:
                abstract = True
                app_label = "testapp"
                ordering = ["-id"]
                verbose_name = "other"

        class First(CachedModel, Other):
            pass

        class Last(Other, CachedModel):
            pass

        class Alone(CachedModel):
            class Meta(CachedModel.Meta):
                app_label = "testapp"

    for model in (First, Last):
        assert ["-id"] == model._meta.ordering
        assert "other" == model._meta.verbose_name
    assert not Alone._meta.abstract
