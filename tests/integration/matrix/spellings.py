"""Values that are one to the database but not to Python: written so, asked for otherwise."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

import ormcache
from tests.integration.matrix.values import evaluate
from tests.integration.matrix.world import MARIADB, MOMENT, POSTGRES
from tests.matrixapp import models as own
from tests.matrixapp.models import Guest, Loose, Sample, Visit
from tests.testapp.models import Article, Author, Category, City, Country, Photo

TOKEN = uuid.UUID(int=2**100 + 7)
EAST = dt.timezone(dt.timedelta(hours=5))


class Spelling(NamedTuple):
    model: Any
    field: str
    written: Any
    asked: Any
    """A function that takes nothing makes either when it is needed: an instance, say."""

    def __str__(self) -> str:
        return f"{self.model.__name__}.{self.field}: {_name(self.written)} as {_name(self.asked)}"


def _name(value: Any) -> str:
    if _is_made(value):
        return str(value.__name__)
    return f"{type(value).__name__} {value}" if value is not None else "None"


def _is_made(value: Any) -> bool:
    return callable(value) and hasattr(value, "__name__") and not isinstance(value, type)


def _make(value: Any) -> Any:
    return value() if _is_made(value) else value


def bob() -> Author:
    return Author.nocache.get(slug="bob")


def bobs_key() -> int:
    return bob().pk


def bobs_key_as_text() -> str:
    return str(bob().pk)


def lazy_bob() -> Any:
    return SimpleLazyObject(bob)


def france() -> Country:
    return Country.nocache.get(code="fr")


def subcategory() -> Category:
    return Category.nocache.get(pk="sub")


def guest() -> Guest:
    return Guest.objects.get_or_create(name="second")[0]


def guests_key_as_text() -> str:
    return str(guest().pk)


SPELLINGS: list[Spelling] = [
    # Numbers
    Spelling(Sample, "price", Decimal("1.0"), Decimal("1.00")),
    Spelling(Sample, "price", Decimal("1.00"), 1),
    Spelling(Sample, "price", 2, Decimal("2.0")),
    Spelling(Sample, "price", "3.5", 3.5),
    Spelling(Sample, "price", 0.25, Decimal("0.250")),
    Spelling(Sample, "price", Decimal("1E+2"), 100),
    Spelling(Sample, "price", Decimal("-0.00"), 0),
    Spelling(Sample, "ratio", 1, 1.0),
    Spelling(Sample, "ratio", Decimal("0.5"), 0.5),
    Spelling(Sample, "ratio", -0.0, 0.0),
    Spelling(Sample, "number", "42", 42),
    Spelling(Sample, "number", True, 1),
    Spelling(Sample, "number", 1, True),
    Spelling(Sample, "number", Decimal("7"), 7),
    Spelling(Sample, "number", 42.0, "42"),
    Spelling(Sample, "rank", "42", 42),
    Spelling(Sample, "rank", 42, "42"),
    Spelling(Sample, "rank", 42, 42.0),
    Spelling(Sample, "rank", 42.0, 42),
    Spelling(Sample, "rank", Decimal("42"), 42),
    Spelling(Sample, "rank", 42, Decimal("42")),
    Spelling(Sample, "rank", " 42 ", 42),
    Spelling(Sample, "rank", "٤٢", 42),
    # Truth
    Spelling(Sample, "flag", 1, True),
    Spelling(Sample, "flag", True, 1),
    Spelling(Sample, "flag", "False", False),
    Spelling(Sample, "flag", "t", "1"),
    # Moments
    Spelling(Sample, "moment", MOMENT.astimezone(EAST), MOMENT + dt.timedelta(0)),
    Spelling(Sample, "moment", MOMENT.isoformat(), MOMENT.astimezone(EAST)),
    Spelling(Sample, "moment", "2026-06-01 10:00:00+02:00", "2026-06-01T08:00Z"),
    Spelling(Sample, "day", "2026-06-01", dt.date(2026, 6, 1)),
    Spelling(Sample, "day", dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC), dt.date(2026, 6, 1)),
    Spelling(Sample, "clock", "09:00", dt.time(9)),
    Spelling(Sample, "span", dt.timedelta(days=1), dt.timedelta(hours=24)),
    # Text
    Spelling(Sample, "word", lazystr("lazy"), "lazy"),
    Spelling(Sample, "word", "lazy", gettext_lazy("lazy")),
    Spelling(Sample, "word", mark_safe("safe"), "safe"),
    Spelling(Sample, "word", 42, "42"),
    Spelling(Sample, "word", "42", 42),
    Spelling(Sample, "word", Sample.Size.LARGE, "l"),
    Spelling(Sample, "word", "l", Sample.Size.LARGE),
    Spelling(Sample, "size", Sample.Size.LARGE, "l"),
    Spelling(Sample, "size", "l", Sample.Size.LARGE),
    Spelling(Sample, "word", "caf\u00e9", "cafe\u0301"),
    Spelling(Sample, "word", "Case", "case"),
    Spelling(Sample, "word", "trail", "trail  "),
    Spelling(Sample, "word", "trail ", "trail"),
    Spelling(Sample, "word", "straße", "strasse"),
    Spelling(Loose, "name", "LOUD", "loud"),
    Spelling(Loose, "name", "quiet", "QUIET"),
    Spelling(Loose, "name", "trail", "trail "),
    Spelling(Author, "slug", "Slug", "slug"),
    Spelling(Category, "title", "Title", "title"),
    # Identities
    Spelling(Sample, "token", TOKEN, str(TOKEN)),
    Spelling(Sample, "token", TOKEN.hex, TOKEN),
    Spelling(Sample, "token", str(TOKEN).upper(), TOKEN.hex),
    Spelling(Sample, "token", TOKEN.int, TOKEN),
    Spelling(Article, "author", bob, bobs_key),
    Spelling(Article, "author_id", bobs_key_as_text, bob),
    Spelling(Article, "author_id", bobs_key_as_text, bobs_key),
    Spelling(Article, "author", lazy_bob, bobs_key_as_text),
    Spelling(Article, "author", bob, lazy_bob),
    Spelling(Article, "category", subcategory, "sub"),
    Spelling(Article, "category_id", "sub", subcategory),
    Spelling(City, "country", france, "fr"),
    Spelling(City, "country_id", "fr", france),
    Spelling(Visit, "member_id", guests_key_as_text, guest),
    # Documents
    Spelling(Sample, "data", {"b": 1, "a": 2}, {"a": 2, "b": 1}),
    Spelling(Sample, "data", {"n": 1}, {"n": 1.0}),
    Spelling(Sample, "data", (1, 2, 3), [1, 2, 3]),
    # Nothing
    Spelling(Sample, "number", None, None),
    Spelling(Sample, "text", "", ""),
    Spelling(Article, "editor", None, None),
    Spelling(Photo, "width", "5", 5),
]

if POSTGRES:
    SPELLINGS += [
        Spelling(own.Collection, "loose", "LOUD", "loud"),
        Spelling(own.Collection, "numbers", (1, 2), [1, 2]),
        Spelling(own.Collection, "during", (1, 5), "[1,5)"),
    ]
if MARIADB:
    SPELLINGS += [
        Spelling(Sample, "text", "Ångström", "angstrom"),
        Spelling(Category, "title", "trail ", "TRAIL"),
    ]


def stale(spelling: Spelling) -> Iterator[tuple[str, str, Any, Any]]:
    """What is answered otherwise than by the database, by step and read."""
    written, asked = _make(spelling.written), _make(spelling.asked)
    reads = _reads(spelling.model, spelling.field, asked)
    for step, write in _steps(spelling, written):
        for read in reads.values():
            evaluate(read)
        write()
        for name, read in reads.items():
            with ormcache.bypass():
                expected = evaluate(read)
            for got in (evaluate(read), evaluate(read)):
                if got != expected:
                    yield step, name, expected, got


def _reads(model: Any, field: str, asked: Any) -> dict[str, Callable[[], Any]]:
    found = {field: asked} if asked is not None else {f"{field}__isnull": True}
    objects = model.objects
    return {
        "filter": lambda: objects.filter(**found).order_by("pk"),
        "in": lambda: objects.filter(**{f"{field}__in": [asked]}).order_by("pk"),
        "exclude": lambda: objects.exclude(**found).order_by("pk"),
        "count": lambda: objects.filter(**found).count(),
        "exists": lambda: objects.filter(**found).exists(),
        "values": lambda: list(objects.filter(**found).order_by("pk").values_list("pk", field)),
        "first": lambda: objects.filter(**found).order_by("-pk").first(),
        "all": lambda: objects.order_by("pk"),
    }


def _steps(spelling: Spelling, written: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    model, field = spelling.model, spelling.field
    attname = model._meta.get_field(field).attname
    pk = model.nocache.order_by("pk").values_list("pk", flat=True)[0]
    before = model.nocache.values_list(attname, flat=True).get(pk=pk)
    row = model.objects.filter(pk=pk)

    def save(value: Any, name: str = field) -> None:
        instance = model.objects.get(pk=pk)
        setattr(instance, name, value)
        instance.save()

    def save_alone() -> None:
        instance = model.nocache.get(pk=pk)
        setattr(instance, field, written)
        instance.save(update_fields=[field.removesuffix("_id")])

    def delete_and_create() -> None:
        instance = model.nocache.get(pk=pk)
        instance.delete()
        setattr(instance, field, written)
        instance.pk = pk
        instance.save(force_insert=True)

    yield "save", lambda: save(written)
    yield "save back", lambda: save(before, attname)
    yield "update", lambda: row.update(**{field: written})
    yield (
        "update of all back",
        lambda: model.objects.exclude(pk=None).filter(pk__in=[pk]).update(**{attname: before}),
    )
    yield "save it alone", save_alone
    yield "save back again", lambda: save(before, attname)
    if model is not Category:  # Articles protect it.
        yield "delete and create", delete_and_create
