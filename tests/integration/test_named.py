"""``cache(key=…)``: the values a key stands for, and those that are told apart all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Length, Lower
from django.test.utils import isolate_apps, register_lookup
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

import ormcache
from ormcache.models import CachedModel
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Category, Comment, Label, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def articles() -> list[Article]:
    """Six articles of three authors, with two tags, a label and a comment each."""
    tags = [Tag.objects.create(name=name) for name in "abc"]
    authors = [Author.objects.create(name=f"n{i}", slug=f"s{i}") for i in range(3)]
    made = []
    for number in range(6):
        article = Article.objects.create(
            title=f"t{number}",
            author=authors[number % 3],
            editor=authors[0] if number % 2 else None,
            views=number,
        )
        article.tags.add(tags[number % 3], tags[(number + 1) % 3])
        Label.objects.create(target=article, text=f"l{number}")
        Comment.objects.create(article=article, text=f"c{number}")
        made.append(article)
    return made


def named(queryset: Any) -> Any:
    return queryset.cache(key="k")


# Pairs of reads under one key whose values must not meet.
APART: dict[str, Callable[[int], Any]] = {
    "foreign key": lambda n: Article.objects.filter(author=authors()[n]),
    "its column": lambda n: Article.objects.filter(author_id__in=[authors()[n].pk]),
    "many keys": lambda n: Article.objects.filter(
        author__in=[*range(10_000, 10_020), authors()[n].pk]
    ),
    "under OR": lambda n: Article.objects.filter(Q(author=authors()[n]) | Q(views=-1)),
    "excluded": lambda n: Article.objects.exclude(author=authors()[n]),
    "null or not": lambda n: Article.objects.filter(editor__isnull=bool(n)),
    "primary key": lambda n: Article.objects.filter(pk=keys()[n], views__lt=100),
    "primary keys": lambda n: Article.objects.filter(pk__in=keys()[n : n + 3]).order_by("-pk"),
    "beyond a key": lambda n: Article.objects.filter(pk__gt=keys()[n]),
    "unique field": lambda n: Author.objects.filter(slug=f"s{n}").order_by("name"),
    "unique fields": lambda n: Author.objects.filter(slug__in=[f"s{n}", "x"]).order_by("name"),
    "joined unique field": lambda n: Article.objects.filter(author__slug=f"s{n}"),
    "text key": lambda n: Article.objects.filter(category__in=[f"c{n}"]).union(
        Article.objects.filter(author=authors()[n])
    ),
    "related manager": lambda n: authors()[n].articles.all(),
    "many-to-many manager": lambda n: articles_()[n].tags.all(),
    "the other end": lambda n: Tag.objects.all()[n].articles.all(),
    "generic relation": lambda n: articles_()[n].labels.all(),
    "generic key": lambda n: Label.objects.filter(
        content_type=ContentType.objects.get_for_model(Article), object_id=keys()[n]
    ),
    "in a subquery": lambda n: Article.objects.filter(
        pk__in=Comment.objects.filter(article=keys()[n]).values("article")
    ),
    "in Exists": lambda n: Author.objects.filter(
        Exists(Article.objects.filter(author=OuterRef("pk"), pk=keys()[n]))
    ),
    "slice": lambda n: Article.objects.order_by("pk")[n : n + 2],
    "slice of a subquery": lambda n: Comment.objects.filter(
        # Not IN, in which MySQL takes no LIMIT.
        article=Article.objects.order_by("pk").values("pk")[n : n + 1]
    ),
    "direction": lambda n: Article.objects.order_by((F("views").asc, F("views").desc)[n]()),
    "connector": lambda n: Article.objects.order_by("pk").annotate(
        v=F("views") + 1 if n else F("views") - 1
    ),
    "argument": lambda n: Author.objects.order_by("pk").annotate(
        v=Count("articles__editor", distinct=bool(n))
    ),
    "value": lambda n: Article.objects.order_by("pk").annotate(v=Value(n)),
    "plain field": lambda n: Article.objects.filter(views=n),
    "plain fields": lambda n: Article.objects.filter(title__in=[f"t{n}", "x"]),
    "joined field": lambda n: Article.objects.filter(author__name=f"n{n}").order_by("pk"),
    "beyond a unique field": lambda n: Author.objects.filter(slug__gt=f"s{n}").order_by("pk"),
    "beyond a foreign key": lambda n: Article.objects.filter(author__gt=authors()[n]),
    "annotated key": lambda n: Article.objects.annotate(v=F("author") + 0).filter(
        v__lte=authors()[n].pk
    ),
    "annotated subquery": lambda n: Author.objects.annotate(v=first_article()).filter(v=keys()[n]),
    "beyond a subquery": lambda n: Author.objects.annotate(v=first_article()).filter(
        v__gt=keys()[n]
    ),
    "filter of an aggregate": lambda n: Author.objects.order_by("pk").annotate(
        v=Count("articles", filter=Q(articles__views__gte=2 * n + 1))
    ),
    "beyond an aggregate": lambda n: Author.objects.annotate(v=Max("articles__views")).filter(
        v__gt=3 + n
    ),
    "When": lambda n: Article.objects.order_by("pk").annotate(
        v=Case(When(views__gt=n, then=1), default=0)
    ),
    "condition that is selected": lambda n: (
        Article.objects.order_by("pk").annotate(v=Q(views__gt=n)).filter(Q(v=True) | Q(v=False))
    ),
    "condition of a join": lambda n: Author.objects.annotate(
        seen=FilteredRelation("articles", condition=Q(articles__views__gt=3 + n))
    ).filter(seen__isnull=False),
    "range in a subquery": lambda n: Author.objects.filter(
        pk__in=Article.objects.filter(views__gt=3 + n).values("author")
    ),
    "range in Exists": lambda n: Author.objects.filter(
        Exists(Article.objects.filter(author=OuterRef("pk"), views__gt=3 + n))
    ),
    "range in a part": lambda n: Article.objects.filter(views__gt=3 + n).union(
        Article.objects.filter(views=-1)
    ),
    "range against an expression": lambda n: Article.objects.filter(views__gt=Value(3 + n)),
    "transformed": lambda n: Article.objects.filter(title__length__gt=n + 1),
}
SHAPES: dict[str, Callable[[Any], Any]] = {
    "rows": lambda queryset: [(each.pk, getattr(each, "v", 0)) for each in queryset],
    "values": lambda queryset: list(queryset.values_list()),
    "count": lambda queryset: queryset.count(),
    "exists": lambda queryset: queryset.exists(),
}


def authors() -> list[Author]:
    return list(Author.nocache.order_by("pk"))


def articles_() -> list[Article]:
    return list(Article.nocache.order_by("pk"))


def keys() -> list[int]:
    return [article.pk for article in articles_()]


def first_article() -> Any:
    own = Article.objects.filter(author=OuterRef("pk")).order_by("pk")
    return Subquery(own.values("pk")[:1])


def test_what_a_key_does_not_stand_for(articles: list[Article]) -> None:
    with register_lookup(CharField, Length):
        assert set() == mixed(APART)


def mixed(pairs: dict[str, Callable[[int], Any]]) -> set[str]:
    """Which of them are answered with a result of another query than the one that asks."""
    found = set()
    for name, queryset in pairs.items():
        for shape, read in SHAPES.items():
            for number in (0, 1, 0, 1):
                with ormcache.bypass():
                    expected = read(queryset(number))
                if expected != read(named(queryset(number))):
                    found.add(f"{name}: {shape}")
    return found


@isolate_apps("tests.testapp")
def test_columns_that_name_rows_together() -> None:
    """Of unique constraints, of relations over plain columns and of the partitions one chose."""

    class Firm(CachedModel):
        code = models.IntegerField()
        land = models.IntegerField()
        name = models.CharField(max_length=5)
        grade = models.IntegerField()

        class Meta:
            app_label = "testapp"
            unique_together = [("code", "land")]
            constraints = [models.UniqueConstraint(Lower("name").desc(), name="firm_name")]

        class CacheMeta:
            partitions = ["grade"]

    class Clerk(CachedModel):
        name = models.CharField(max_length=5)
        firm_code = models.IntegerField()
        firm_land = models.IntegerField()
        firm = models.ForeignObject(
            Firm,
            models.CASCADE,
            from_fields=["firm_code", "firm_land"],
            to_fields=["code", "land"],
            related_name="clerks",
        )

        class Meta:
            app_label = "testapp"

    def firm(number: int) -> Any:
        return Firm.nocache.get(code=number)

    pairs: dict[str, Callable[[int], Any]] = {
        "unique together": lambda n: Firm.objects.filter(code=n, land=1),
        "unique in an order": lambda n: Firm.objects.filter(code__gte=n, code__lte=n),
        "unique expression": lambda n: Firm.objects.filter(name__range=(f"f{n}", f"f{n}")),
        "partition": lambda n: Firm.objects.filter(grade__gte=n, grade__lte=n),
        "related manager": lambda n: firm(n).clerks.all(),
        "relation": lambda n: Clerk.objects.filter(firm=firm(n)),
        "its columns": lambda n: Clerk.objects.filter(firm_code__range=(n, n), firm_land=1),
    }
    prefetched: Any = Prefetch("clerks", Clerk.objects.cache(key="of the firm"))
    with connection.schema_editor() as editor:
        editor.create_model(Firm)
        editor.create_model(Clerk)
    try:
        for number in range(3):
            Firm.objects.create(code=number, land=1, name=f"f{number}", grade=number)
            for _ in range(number + 1):
                Clerk.objects.create(name=f"c{number}", firm_code=number, firm_land=1)
        assert set() == mixed(pairs)
        for numbers in ([0, 1], [1, 2]):
            firms: Any = Firm.objects.filter(code__in=numbers).order_by("code")
            found = [len(each.clerks.all()) for each in firms.prefetch_related(prefetched)]
            assert [number + 1 for number in numbers] == found
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Clerk)
            editor.delete_model(Firm)


@pytest.mark.parametrize("name", ["foreign key", "many keys", "related manager", "slice"])
def test_each_has_an_entry_of_its_own(
    articles: list[Article], name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """One name serves every author: they do not take each other's place."""
    querysets = [named(APART[name](number)) for number in (0, 1)]
    for queryset in querysets:
        list(queryset.all())
    with django_assert_num_queries(0):
        for queryset in querysets:
            assert 2 == len(queryset.all())
    querysets[0].clean()
    with django_assert_num_queries(0):
        list(querysets[1].all())
    with django_assert_num_queries(1):
        list(querysets[0].all())


@pytest.mark.parametrize(
    "chosen",
    [
        lambda n: Article.objects.filter(views__gte=n),
        lambda n: Article.objects.filter(views__lt=2 + n),
        lambda n: Article.objects.filter(views__range=(n, 9)),
        lambda n: Article.objects.filter(created__lte=timezone.now()),
        lambda n: Article.objects.exclude(created__gt=timezone.now()),
        lambda n: Article.objects.filter(Q(title__gt=f"t{n}") & ~Q(title="x")).order_by("pk"),
        lambda n: Article.objects.filter(author__created__lte=timezone.now()),
        lambda n: authors()[0].articles.filter(views__gte=n).order_by("pk"),
    ],
)
def test_what_a_key_stands_for(articles: list[Article], chosen: Callable[[int], Any]) -> None:
    """The values a plain column is compared with by order: whatever they are, the name answers."""
    first = list(named(chosen(1)))
    assert first
    assert first == list(named(chosen(0)))


@pytest.mark.parametrize("parents", [1, 16, 17, 1000])
def test_a_prefetch_of_a_named_list(
    parents: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Two sets of parents met in one entry from 17 on, and ``KeyError`` was raised."""
    people = Author.objects.bulk_create(
        Author(name="n", slug=f"s{number}") for number in range(2 * parents)
    )
    Article.objects.bulk_create(
        Article(title=author.slug, author=author) for author in people[::3]
    )
    inner: Any = Prefetch("articles", Article.objects.cache(key="of the author"))
    through: Any = Prefetch("articles__tags", Tag.objects.cache(key="of the article"))

    def read(first: int) -> list[list[str]]:
        wanted = [each.pk for each in people[first : first + parents]]
        found = Author.objects.filter(pk__in=wanted).prefetch_related(inner, through)
        return [[article.title for article in author.articles.all()] for author in found]

    for first in (0, parents):
        with ormcache.bypass():
            expected = read(first)
        assert [expected] * 2 == [read(first), read(first)]
        with django_assert_num_queries(0):
            read(first)


def test_a_partition_of_ones_own_is_told_apart(articles: list[Article]) -> None:
    """Also where a value is no token of a partition: a foreign key to a text column."""
    for number in range(2):
        Category.objects.create(slug=f"c{number}", title="t")
        Article.objects.filter(pk=articles[number].pk).update(category=f"c{number}")
    for _ in range(2):
        for number in range(2):
            (found,) = named(Article.objects.filter(category=f"c{number}"))
            assert articles[number] == found
