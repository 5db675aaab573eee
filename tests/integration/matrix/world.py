"""The rows the matrix begins with, and how they are put back after each write."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from tests.matrixapp import models as own
from tests.matrixapp.models import Guest, Hall, Loose, Person, Pet, Sample, Seat, Visit, Wing
from tests.testapp.models import (
    Article,
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
    Label,
    Note,
    Photo,
    Place,
    PlainThing,
    Profile,
    Restaurant,
    Tag,
)

POSTGRES = settings.TEST_DB == "postgres"
SQLITE = settings.TEST_DB == "sqlite"
MARIADB = settings.TEST_DB == "mariadb"
MOMENT = dt.datetime(2026, 5, 4, 12, 30, 15, tzinfo=dt.UTC)


class World:
    """Rows by name, each read anew past the cache."""

    @property
    def ann(self) -> Author:
        return Author.nocache.get(slug="ann")

    @property
    def bob(self) -> Author:
        return Author.nocache.get(slug="bob")

    @property
    def articles(self) -> list[Article]:
        return list(Article.nocache.order_by("pk"))

    @property
    def article(self) -> Article:
        return self.articles[1]

    @property
    def tags(self) -> list[Tag]:
        return list(Tag.nocache.order_by("pk"))

    @property
    def comment(self) -> Comment:
        return Comment.nocache.order_by("pk")[0]

    @property
    def news(self) -> Category:
        return Category.nocache.get(pk="news")

    @property
    def restaurant(self) -> Restaurant:
        return Restaurant.nocache.get(name="Inn")

    @property
    def italian(self) -> ItalianRestaurant:
        return ItalianRestaurant.nocache.get()

    @property
    def photo(self) -> Photo:
        return Photo.nocache.get()

    @property
    def samples(self) -> list[Sample]:
        return list(Sample.nocache.order_by("pk"))

    @property
    def people(self) -> list[Person]:
        return list(Person.nocache.order_by("pk"))


def build() -> None:
    """Fill the empty database."""
    _publisher()
    _places()
    _samples()
    _people()
    _others()


def _publisher() -> None:
    ann = Author.objects.create(name="Ann", slug="ann")
    bob = Author.objects.create(name="Bob", slug="bob", active=False)
    Profile.objects.create(author=ann, biography="writes")
    news = Category.objects.create(slug="news", title="News")
    Category.objects.create(slug="sub", title="Sub", parent=news)
    tags = [Tag.objects.create(name=name) for name in ("a", "b", "c")]
    for i in range(6):
        article = Article.objects.create(
            title=f"No. {i}",
            author=ann if i % 2 else bob,
            editor=bob if i % 3 else None,
            category=news if i % 2 else None,
            views=i,
            published=i % 4 != 0,
        )
        if i < 4:
            article.tags.set(tags[:2])
            Comment.objects.create(article=article, text=f"on {article.title}")
            Chapter.objects.create(article=article, title="One")
            Contribution.objects.create(article=article, author=bob)
    first = Article.nocache.order_by("pk")[1]
    Chapter.objects.create(article=first, title="Two")
    Label.objects.create(target=first, text="hot")
    Label.objects.create(target=ann, text="kind")
    Note.objects.create(author=ann, text="note")
    PlainThing.objects.create(author=ann, name="pen")


def _places() -> None:
    Place.objects.create(name="Square")
    Restaurant.objects.create(name="Inn", owner=Author.objects.get(slug="ann"))
    ItalianRestaurant.objects.create(name="Da Ugo", serves_pizza=True)
    Wing.objects.create(name="west wing", beside=Hall.objects.create(name="hall"))
    Photo.objects.create(title="sea", width=3)
    Film.objects.create(title="Film", minutes=90)
    Document.objects.create(content={"n": 1})
    country = Country.objects.create(code="it", name="Italy")
    City.objects.create(country=country, name="Rome")
    Country.objects.create(code="fr", name="France")


def _samples() -> None:
    for i in range(4):
        moment = MOMENT + i * dt.timedelta(days=40, hours=7)
        Sample.objects.create(
            text=("alpha", "Beta", "gamma ray", "100% delta")[i],
            word=f"w{i}",
            number=None if i == 3 else i * 10,
            rank=i,
            price=None if i == 3 else Decimal(f"{i}.50"),
            ratio=None if i == 3 else i / 4,
            flag=(True, False, None, True)[i],
            size=Sample.Size.LARGE if i % 2 else Sample.Size.SMALL,
            day=None if i == 3 else moment.date(),
            moment=None if i == 3 else moment,
            clock=moment.time(),
            span=dt.timedelta(hours=i),
            token=uuid.UUID(int=i),
            data=(
                {"name": "x", "deep": {"list": [1, 2, {"k": "v"}]}, "n": 1},
                {"name": "y", "n": 2, "none": None},
                [1, 2],
                None,
            )[i],
        )


def _people() -> None:
    people = [Person.objects.create(name=f"p{i}") for i in range(5)]
    people[0].friends.add(people[1])
    people[0].follows.add(people[2])
    Person.objects.create(name="keeper")
    Pet.objects.create(name="Rex", keeper=people[0], vet=people[1], walker=people[2])
    Pet.objects.create(name="Tom", keeper=people[1], vet=people[1])


def _others() -> None:
    guest = Guest.objects.create(name="guest")
    Visit.objects.create(member=guest, number=1)
    Loose.objects.create(name="Mixed")
    Seat.objects.create(line=1, place=1)
    Seat.objects.create(line=1, place=2)
    if hasattr(own, "Owner"):
        owners = [own.Owner.objects.create(pk=pk, name=f"o{pk}") for pk in (1, 2)]
        for column in ("gone", "empty", "other"):
            if hasattr(own.Owned, column):
                own.Owned.objects.create(**{column: owners[1]})
    if POSTGRES:
        for i in range(3):
            own.Collection.objects.create(
                numbers=list(range(i)),
                store={"a": str(i)} if i else {},
                during=(i, i + 5),
                title=f"the cat number {i}",
                loose=f"Word{i}",
            )


class Snapshot:
    """A copy of every row of the tests' tables, to be put back with few statements."""

    def __init__(self) -> None:
        self._columns = {
            model._meta.db_table: ", ".join(
                _quote(field.column or "")
                for field in model._meta.local_concrete_fields
                if not field.generated
            )
            for app in ("testapp", "matrixapp")
            for model in apps.get_app_config(app).get_models(include_auto_created=True)
            if model._meta.managed and not model._meta.proxy and not model._meta.swapped
        }
        self.tables = list(self._columns)
        self._rows = {name: self._read(name) for name in self.tables}
        self.drop()
        for name, columns in self._columns.items():
            _execute(f"CREATE TABLE {_copy(name)} AS SELECT {columns} FROM {_quote(name)}")

    def changed(self) -> list[str]:
        """The tables whose rows are not what they were."""
        return [name for name in self.tables if self._read(name) != self._rows[name]]

    def restore(self) -> None:
        """Put the tables back that a write has changed."""
        changed = self.changed()
        if any("owne" in name for name in changed):
            # The database itself would delete with the one what stands in the other.
            changed = [each for each in self.tables if "owne" in each or each in changed]
        if not changed:
            return
        with connection.constraint_checks_disabled(), transaction.atomic():
            # What is owned goes first, or the database gives it a default that is gone.
            for name in reversed(changed):
                _execute(f"DELETE FROM {_quote(name)}")
            for name in changed:
                columns = self._columns[name]
                _execute(
                    f"INSERT INTO {_quote(name)} ({columns}) SELECT {columns} FROM {_copy(name)}"
                )
        assert not self.changed()

    def drop(self) -> None:
        for name in self.tables:
            _execute(f"DROP TABLE IF EXISTS {_copy(name)}")

    def _read(self, name: str) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {self._columns[name]} FROM {_quote(name)}")
            return sorted(cursor.fetchall(), key=repr)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _copy(name: str) -> str:
    return _quote(f"copy_{name}")


def _quote(name: str) -> str:
    return connection.ops.quote_name(name)
