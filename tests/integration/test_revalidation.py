"""Results whose stamps have changed: those that are kept, and those that must not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import (
    Count,
    Exists,
    F,
    FilteredRelation,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Window,
)
from django.db.models.functions import Lower, RowNumber
from django.test.utils import CaptureQueriesContext

import ormcache
from ormcache.stats import counters
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import (
    Article,
    Author,
    Category,
    Comment,
    Document,
    Photo,
    Restaurant,
    Tag,
)

pytestmark = pytest.mark.django_db(transaction=True)

Read = Callable[[], Any]
Write = Callable[[], Any]


@pytest.fixture(autouse=True)
def rows(ormcache_redis: RedisServer) -> None:
    """Articles t0 to t5: ten views each more than the one before, the last two unpublished."""
    ann, bob = (Author.objects.create(name=name, slug=name.lower()) for name in ("Ann", "Bob"))
    for i in range(6):
        Article.objects.create(
            title=f"t{i}", views=i * 10, author=bob if i == 5 else ann, published=i < 4
        )
    article(0).tags.set([Tag.objects.create(name=name) for name in "ab"])
    article(5).tags.add(Tag.objects.create(name="d"))
    Comment.objects.create(article=article(0), text="t0")
    Category.objects.create(slug="one", title="One")
    Category.objects.create(slug="two", title="Two")
    Document.objects.create(content={"n": 1})
    for width in (1, 10):
        Photo.objects.create(width=width)
    for i in range(2):
        Restaurant.objects.create(name=f"r{i}", owner=ann if i else None)


def article(number: int) -> Article:
    return Article.nocache.get(title=f"t{number}")


def tag(name: str) -> Tag:
    return Tag.nocache.get(name=name)


def tagged(name: str) -> Any:
    return A.filter(tags=Tag.objects.get(name=name), published=True)


def put(number: int, name: str) -> Write:
    return lambda: article(number).tags.add(tag(name))


def take(number: int, name: str) -> Write:
    return lambda: article(number).tags.remove(tag(name))


def change(number: int, **values: Any) -> Write:
    return lambda: Article.objects.filter(pk=article(number).pk).update(**values)


def delete(number: int) -> Write:
    return lambda: article(number).delete()


def delete_alone(number: int) -> Write:
    """Without its links, which stay behind."""

    def write() -> None:
        row: Any = Article.objects.filter(pk=article(number).pk)
        with unconstrained():
            row._raw_delete(row.db)

    return write


@contextmanager
def unconstrained() -> Iterator[None]:
    if connection.vendor != "postgresql":
        with connection.constraint_checks_disabled():
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("RESET session_replication_role")


def create(**values: Any) -> Write:
    def write() -> None:
        author = Author.nocache.get(name=values.pop("author", "Ann"))
        Article.objects.create(author=author, **values)

    return write


def in_turn(*writes: Write) -> Write:
    """Each with the rows of before in the cache: what changes in them is known exactly."""

    def write() -> None:
        for each in writes:
            for one in Article.nocache.all():
                Article.objects.get(pk=one.pk)
            for author in Author.nocache.all():
                Author.objects.get(pk=author.pk)
            each()

    return write


def in_one(*writes: Write) -> Write:
    """All in one transaction."""

    def write() -> None:
        with transaction.atomic():
            for each in writes:
                each()

    return write


def undone(write: Write) -> Write:
    """In a savepoint that is rolled back. It is not Django's own, so it stays noted."""

    def undo() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SAVEPOINT own")
            write()
            cursor.execute("ROLLBACK TO SAVEPOINT own")

    return undo


def negated(queryset: Any) -> Any:
    queryset.query.where.negate()
    return queryset


def result(read: Read) -> Any:
    found = read()
    if not isinstance(found, QuerySet):
        return found
    names = found.query.annotation_select
    return [
        (one.pk, repr([getattr(one, name) for name in names])) if names else one.pk
        for one in found
    ]


def statements_of(read: Read) -> list[str]:
    """What is sent to the database by a read whose answer has to be right."""
    with ormcache.bypass():
        expected = result(read)
    with CaptureQueriesContext(connection) as captured:
        found = result(read)
    assert expected == found
    return [each["sql"] for each in captured.captured_queries]


A = Article.objects
Link = Article.tags.through
BY_VIEWS = ("views", "pk")
UNPUBLISHED = Q(published=False, views__gt=5)
OTHERS = Article.objects.filter(author=OuterRef("author"), views__gt=OuterRef("views"))
COMMENTED = Exists(Comment.objects.filter(article=OuterRef("pk")))

KEPT: dict[str, tuple[Read, Write]] = {
    "a row outside": (lambda: A.filter(views__lt=25).order_by(*BY_VIEWS), change(5, views=60)),
    "a row inside": (lambda: A.order_by("title"), change(1, title="t10")),
    "a new row": (lambda: A.filter(views__lt=25).order_by("pk"), create(views=70)),
    "of a partition": (lambda: A.filter(author__slug="bob"), create(author="Ann")),
    "new in its partition": (
        lambda: A.filter(editor=None, views__lt=25).order_by("pk"),
        create(views=70),
    ),
    "new, and no part of a count": (
        lambda: A.filter(author=Author.objects.get(slug="ann"), published=True).count(),
        create(published=False),
    ),
    "the head": (lambda: A.order_by(*BY_VIEWS)[:3], change(5, views=45)),
    "a short slice": (lambda: A.filter(views__gt=35).order_by("pk")[:5], change(0, views=5)),
    "of no order": (lambda: sorted(each.pk for each in A.filter(views=20)), change(0, views=5)),
    "reversed": (
        lambda: A.order_by(F("views").asc(nulls_last=True)).reverse()[:2],
        change(0, views=5),
    ),
    "twice in it": (
        lambda: A.filter(tags__name__in=["a", "b"], views__lt=5).order_by("pk"),
        change(3, views=31),
    ),
    "distinct": (
        lambda: A.filter(tags__name__in="ab", views__lt=5).distinct().order_by("pk"),
        change(3, views=31),
    ),
    "by a related column": (
        lambda: A.filter(views__lt=25).order_by("author__name", "pk")[:2],
        change(4, views=41),
    ),
    "a negation": (lambda: A.exclude(views__gt=15).order_by("pk"), change(4, views=41)),
    "alternatives": (
        lambda: (A.filter(views=0) | A.filter(title="t1")).order_by("pk"),
        change(4, views=41),
    ),
    "select_related": (
        lambda: A.filter(views__lt=15).select_related("editor").order_by("pk"),
        change(4, views=41),
    ),
    "an annotation": (
        lambda: A.filter(views__lt=15).annotate(x=F("views") + 1).order_by("pk"),
        change(4, views=41),
    ),
    "a subquery of another table": (
        lambda: A.filter(COMMENTED, views__lt=15).order_by("pk"),
        change(4, views=41),
    ),
    "a page": (
        lambda: A.filter(published=False, views__gt=5).order_by(*BY_VIEWS)[1:2],
        change(1, views=11),
    ),
    "by an expression": (
        lambda: A.filter(UNPUBLISHED).order_by(Lower("title")),
        change(1, views=11),
    ),
    "a count": (lambda: A.filter(UNPUBLISHED).count(), change(1, views=11)),
    "exists": (lambda: A.filter(UNPUBLISHED).exists(), change(1, views=11)),
    "an aggregate": (lambda: A.filter(UNPUBLISHED).aggregate(n=Sum("views")), change(1, views=11)),
    "values": (
        lambda: list(A.filter(UNPUBLISHED).order_by("pk").values("views")),
        change(1, views=11),
    ),
    "groups": (
        lambda: list(
            A.filter(UNPUBLISHED).values("author").annotate(n=Sum("views")).order_by("author")
        ),
        change(1, views=11),
    ),
    "a window of other rows": (
        lambda: list(A.filter(UNPUBLISHED).order_by("pk").values_list(Window(Sum("views")))),
        change(1, views=11),
    ),
    "a transform": (
        lambda: A.filter(created__year=1999, views__gt=5).count(),
        change(1, views=11),
    ),
    "beyond a join": (
        lambda: A.filter(author__name="Bob", views__gt=5).count(),
        change(1, views=11),
    ),
    "any condition, of a new row": (lambda: A.filter(COMMENTED).count(), create()),
    "keys that are UUIDs": (
        lambda: Photo.objects.filter(width__gt=5).order_by("pk"),
        lambda: Photo.objects.filter(pk=Photo.nocache.get(width=1).pk).update(width=2),
    ),
    "a child table": (
        lambda: Restaurant.objects.filter(owner=None, serves_pizza=True).order_by("pk"),
        lambda: Restaurant.objects.filter(pk=Restaurant.nocache.get(name="r1").pk).update(
            serves_pizza=True
        ),
    ),
    "a link to a draft": (lambda: tagged("a").order_by("pk"), put(4, "a")),
    "a draft loses a link": (lambda: tagged("d").order_by("pk"), take(5, "d")),
    "links no count counts": (lambda: tagged("a").count(), in_turn(put(4, "a"), put(5, "a"))),
    "a lost link no count counts": (lambda: tagged("d").count(), take(5, "d")),
    "a linked row is deleted": (
        lambda: tagged("d").order_by("pk"),
        in_turn(lambda: article(5).delete()),
    ),
    "a new row and its link": (
        lambda: tagged("b").order_by("-pk")[:3],
        in_turn(create(title="t6"), put(6, "b")),
    ),
    "linked behind a slice": (
        lambda: A.filter(tags__name__in="ab").order_by("pk")[:1],
        put(3, "a"),
    ),
    "linked once more": (
        lambda: Tag.objects.filter(articles__views__lt=5).order_by("name"),
        put(3, "b"),
    ),
    "links seen from the other end": (
        lambda: Tag.objects.filter(articles__views__lt=5, name="a").count(),
        put(3, "b"),
    ),
    "new rows with other links, and old ones": (
        lambda: tagged("a").count(),
        in_turn(
            create(title="t6", published=True),
            put(6, "b"),
            create(title="t7"),
            put(7, "a"),
            put(4, "a"),
        ),
    ),
    "a row without links is deleted": (lambda: tagged("a").count(), in_turn(delete(2))),
    "a row with other links is deleted": (lambda: tagged("d").count(), in_turn(delete(0))),
    "a row without links, of a page": (
        lambda: A.filter(tags__name__in="ab").order_by("pk")[1:2],
        in_turn(delete(2)),
    ),
    "a row without links is not deleted after all": (
        lambda: tagged("a").count(),
        in_turn(in_one(undone(delete(2)), change(2, views=21))),
    ),
    "links and columns": (
        lambda: tagged("a").filter(views__gt=5).count(),
        in_turn(change(4, views=41), put(5, "a"), change(1, views=1)),
    ),
    "groups by what is linked": (
        lambda: list(A.filter(views__lt=15).values("tags__name").annotate(n=Count("pk"))),
        put(4, "a"),
    ),
    "groups, one for each row": (
        lambda: A.filter(views__lt=15).annotate(n=Count("tags")).order_by("pk"),
        in_turn(put(4, "a"), change(4, views=41)),
    ),
    "a prefetch": (
        lambda: [
            [tag.name for tag in each.tags.all()]
            for each in A.prefetch_related("tags").order_by("pk")
        ],
        lambda: Tag.objects.create(name="c"),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    read, write = KEPT[name]
    read()
    result(read)
    write()
    before = counters["list_revalidated"]
    statements = statements_of(read)
    assert before + 1 == counters["list_revalidated"]
    # Rows that were written are read anew.
    asked = [each for each in statements if " IN (" in each or " = " in each]
    assert statements == asked
    assert [] == statements_of(read)


def rolled_back_delete() -> None:
    pk = article(0).pk
    row = Article.objects.filter(pk=pk)
    in_one(undone(row.delete), lambda: row.update(views=45))()


def rename(old: str, **values: Any) -> Write:
    return lambda: Author.objects.filter(pk=Author.nocache.get(name=old).pk).update(**values)


def to_bob() -> None:
    change(1, author=Author.nocache.get(name="Bob"))()


def anns() -> Any:
    return A.filter(author=Author.nocache.get(slug="ann"), published=True)


CHANGED: dict[str, tuple[Read, Write]] = {
    # list_holds
    "a row comes": (lambda: A.filter(views__lt=25).order_by("pk"), change(5, views=1)),
    "a row goes": (lambda: A.filter(views__lt=25).order_by("pk"), change(1, views=90)),
    "a row is deleted": (lambda: A.filter(views__lt=25).order_by("pk"), delete(1)),
    "a row moves": (lambda: A.filter(views__lt=25).order_by(*BY_VIEWS), change(0, views=15)),
    "the last of a slice moves": (lambda: A.order_by(*BY_VIEWS)[:3], change(2, views=35)),
    "the last of a slice is left": (lambda: A.order_by("-views")[:1], change(5, views=1)),
    "before a page": (
        lambda: A.filter(views__lt=45).order_by(*BY_VIEWS)[1:3],
        change(0, views=90),
    ),
    "a page of one that moves": (lambda: A.order_by(*BY_VIEWS)[1:2], change(1, views=25)),
    "the row of a deletion undone": (
        lambda: A.filter(views__gt=35).order_by("pk"),
        rolled_back_delete,
    ),
    "a rank": (
        lambda: A.annotate(n=Window(RowNumber(), order_by=F("views").desc())).order_by(
            "published", "pk"
        )[:1],
        change(0, views=45),
    ),
    "an order by the size of groups": (
        lambda: A.filter(views__gt=5).order_by(
            Window(Count("*"), partition_by="title").desc(), "pk"
        )[:1],
        in_turn(change(5, title="t3")),
    ),
    "true in place of 1": (
        lambda: Document.objects.annotate(n=F("content__n")),
        lambda: Document.objects.filter(pk=Document.nocache.get().pk).update(content={"n": True}),
    ),
    # _is_row_by_row
    "a subquery of its own table": (
        lambda: A.filter(Exists(OTHERS.filter(views__gt=90))).order_by("pk"),
        change(4, views=91),
    ),
    "a union": (
        lambda: list(A.filter(published=True).union(A.filter(views=60)).values_list("views")),
        change(4, views=60),
    ),
    "having": (
        lambda: A.values("author").annotate(n=Count("pk")).filter(n__gt=5).count(),
        create(),
    ),
    "rows by their rank": (
        lambda: list(
            A.annotate(n=Window(RowNumber(), order_by="views")).filter(n=2).values_list("pk")
        ),
        create(views=5),
    ),
    "a condition in a join": (
        lambda: (
            A.annotate(c=FilteredRelation("comments", condition=Q(views__lt=5)))
            .filter(c__text="t0")
            .count()
        ),
        change(0, views=6),
    ),
    # changes_of
    "another table": (
        lambda: A.filter(author__name="Zoe").order_by("pk"),
        rename("Bob", name="Zoe"),
    ),
    "one left a partition": (lambda: anns().count(), in_turn(to_bob, change(1, published=False))),
    "one left a partition for good": (lambda: anns().count(), in_turn(to_bob, delete(1))),
    "one left a unique value": (
        lambda: Author.objects.filter(slug="bob", active=True).count(),
        in_turn(rename("Bob", slug="b"), rename("Bob", active=False)),
    ),
    "one came, another left": (
        lambda: anns().count(),
        in_turn(to_bob, change(1, published=False), create(published=False)),
    ),
    # changes_of, of links
    "a link put on a list": (lambda: tagged("a").order_by("pk"), put(1, "a")),
    "a link taken off a list": (lambda: tagged("b").order_by("pk"), take(0, "b")),
    "links of another's row": (
        lambda: Comment.objects.filter(article__tags=tag("a"), text="t0").count(),
        take(0, "a"),
    ),
    "a link moves": (
        lambda: A.filter(tags=tag("b"), published=False).count(),
        lambda: Link.objects.filter(article=article(0)).update(article=article(4)),
    ),
    "a link moves and goes": (
        lambda: tagged("b").count(),
        in_one(
            lambda: Link.objects.filter(article=article(0), tag=tag("b")).update(
                article=article(4)
            ),
            lambda: Link.objects.filter(article=article(4)).delete(),
        ),
    ),
    "a link comes and moves": (
        lambda: tagged("d").count(),
        in_one(
            lambda: Link.objects.create(article=article(4), tag=tag("d")),
            lambda: Link.objects.filter(article=article(4)).update(article=article(0)),
        ),
    ),
    "no link": (lambda: A.exclude(tags=tag("a")).filter(published=True).count(), put(1, "a")),
    "a link in a subquery": (
        lambda: A.filter(
            Exists(Link.objects.filter(article=OuterRef("pk"), tag=tag("a"))), published=True
        ).order_by("pk"),
        put(1, "a"),
    ),
    "a link to what is linked": (
        lambda: A.filter(tags__articles=article(5), published=True).order_by("pk"),
        put(5, "a"),
    ),
    "a link stays and moves": (
        lambda: A.filter(tags=tag("b"), published=False).count(),
        in_one(
            undone(lambda: Link.objects.filter(article=article(0)).delete()),
            lambda: Link.objects.filter(article=article(0)).update(article=article(4)),
        ),
    ),
    "the last of a slice loses its link": (
        lambda: A.filter(tags__name__in="ab").order_by("pk")[:2],
        take(0, "b"),
    ),
    "a link in an annotation": (
        lambda: A.filter(views__lt=15).annotate(n=Count("tags")).order_by("pk"),
        put(1, "a"),
    ),
    # is_untouched
    "a link put on one counted": (lambda: tagged("a").count(), put(1, "a")),
    "a link taken off one counted": (lambda: tagged("b").count(), take(0, "b")),
    "all links of one counted": (lambda: tagged("b").count(), lambda: article(0).tags.clear()),
    "beyond a link": (
        lambda: A.filter(tags__name="b", published=True).count(),
        take(0, "b"),
    ),
    "a link or something else": (
        lambda: A.filter(Q(tags=tag("a")) | Q(views=60)).count(),
        put(1, "a"),
    ),
    "a link taken off one no longer counted": (
        lambda: tagged("b").count(),
        in_turn(change(0, published=False), take(0, "b")),
    ),
    "one with the link is deleted": (lambda: tagged("b").count(), in_turn(delete(0))),
    "one with a link or something else is deleted": (
        lambda: A.filter(Q(tags=tag("a")) | Q(views=20)).count(),
        in_turn(delete(2)),
    ),
    "one is deleted, its link is not": (lambda: tagged("b").count(), in_turn(delete_alone(0))),
    "one is deleted, another changes": (
        lambda: tagged("b").count(),
        in_turn(delete(2), change(0, published=False)),
    ),
    "a new one is counted": (lambda: anns().count(), create(published=True)),
    "one counted is deleted": (lambda: A.filter(views__gt=5).count(), delete(1)),
    "one counted changes": (
        lambda: A.filter(published=True, views__gt=5).count(),
        change(1, views=0),
    ),
    "one of alternatives": (
        lambda: A.filter(Q(views__gt=45) | Q(title="t0")).count(),
        change(5, views=0),
    ),
    "alternatives at the root": (
        lambda: (A.filter(views__gt=45) | A.filter(title="t0")).count(),
        change(5, views=0),
    ),
    "a negation at the root": (
        lambda: negated(A.filter(views__gt=5, published=False)).aggregate(n=Sum("views")),
        change(1, views=11),
    ),
    "a nested negation": (
        lambda: A.exclude(Q(views=0) & Q(title="t5")).count(),
        change(0, title="t5", views=0),
    ),
    "another column beside it": (
        lambda: A.filter(pk__lt=F("views") + article(5).pk - 45, views__gt=45).count(),
        change(5, views=1),
    ),
    "a list of columns": (
        lambda: A.filter(pk__in=[F("views") + article(5).pk - 50], views__gt=45).count(),
        change(5, views=51),
    ),
    "a transform of what changes": (
        lambda: A.filter(title__contains="5").exclude(title__iexact="x").count(),
        change(5, title="x"),
    ),
    "what it is joined by": (
        lambda: A.filter(author__name="Ann", editor=None).count(),
        lambda: Article.objects.filter(pk=article(1).pk).update(
            author=Author.nocache.get(name="Bob")
        ),
    ),
    "a sum of all": (lambda: A.aggregate(n=Sum("views")), change(1, views=11)),
}

if connection.vendor == "postgresql":
    CHANGED["the first of each"] = (
        lambda: A.order_by("author", "-views").distinct("author"),
        change(4, views=1),
    )


@pytest.mark.parametrize("name", CHANGED)
def test_changed(name: str) -> None:
    """Each is wrong when the guard against it is taken out."""
    read, write = CHANGED[name]
    for one in Article.nocache.all():
        Article.objects.get(pk=one.pk)
    result(read)
    write()
    before = counters["list_revalidated"]
    statements_of(read)
    assert before == counters["list_revalidated"]
