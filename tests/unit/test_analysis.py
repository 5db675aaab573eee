"""The tables and columns a query depends on, against expectations and against its SQL."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    Expression,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)  # fmt: skip
from django.db.models.functions import Coalesce, Lower, RowNumber

from ormcache.analysis import stability
from ormcache.analysis.fingerprint import stable, walk, walk_aggregate
from ormcache.analysis.plan import Plan, plan_of
from ormcache.analysis.structure import HANDLERS
from ormcache.exceptions import Uncacheable
from tests.queryapp.corpus import all_related, build, positions
from tests.queryapp.dialects import compiled, dialects
from tests.queryapp.models import (
    Article,
    Author,
    Bar,
    Category,
    Cell,
    Country,
    Front,
    LiveArticle,
    Note,
    Place,
    Profile,
    Restaurant,
    Tag,
)
from tests.queryapp.queries import ARTICLES, TAGGED

AMOUNT = int(os.environ.get("ORMCACHE_TEST_CORPUS", "3000"))


def planned(queryset: Any) -> Plan:
    structure, _ = walk(queryset.query)
    return plan_of(queryset.query, structure)


def tables(found: Plan) -> dict[str, str]:
    """``{"article": "id title"}``: the columns in alphabetical order."""
    return {
        name.removeprefix("queryapp_"): " ".join(sorted(columns))
        for name, columns in found.tables.items()
    }


TAGGED_ARTICLES: Any = Article.tags.through.objects.values("article")
TAGS = {"article": "id", "article_tags": "article_id tag_id"}
AUTHORS = {"article": "author_id id", "author": "id"}
# What ordering by an author follows: its country, by name, then the name.
BY_AUTHOR = {"author": "country_id id name", "country": "id name"}

EXPECTED: list[tuple[Callable[[], Any], dict[str, str]]] = [
    # Rows are fetched by primary key: their columns are no part of it.
    (lambda: ARTICLES, {"article": "id"}),
    (lambda: ARTICLES.only("title"), {"article": "id"}),
    (lambda: ARTICLES.distinct(), {"article": "id"}),
    (lambda: ARTICLES[:20], {"article": "id"}),
    (lambda: ARTICLES.none(), {"article": "id"}),
    (
        lambda: ARTICLES.filter(author=3, published=True).order_by("-created")[:20],
        {"article": "author_id created id published"},
    ),
    # Conditions.
    (lambda: ARTICLES.filter(Q(title="a") | ~Q(views=1)), {"article": "id title views"}),
    (lambda: ARTICLES.filter(views__gt=F("rating")), {"article": "id rating views"}),
    (lambda: ARTICLES.filter(views__range=(F("rating"), 9)), {"article": "id rating views"}),
    (lambda: ARTICLES.filter(views__in=[F("rating"), 9]), {"article": "id rating views"}),
    (lambda: ARTICLES.filter(data__a__b=1), {"article": "data id"}),
    (lambda: ARTICLES.filter(created__year=2026), {"article": "created id"}),
    (
        lambda: ARTICLES.filter(Case(When(views=1, then=Value(True)), default=Value(False))),
        {"article": "id views"},
    ),
    # Generated columns follow from any other.
    (lambda: ARTICLES.filter(shout="a!"), {"article": "*"}),
    (lambda: ARTICLES.order_by("shout"), {"article": "*"}),
    (
        lambda: Tag.objects.filter(articles__shout="a!"),
        {"tag": "id", "article": "*", "article_tags": "article_id tag_id"},
    ),
    # Relations.
    (lambda: ARTICLES.filter(author__pk=1), {"article": "author_id id"}),
    (lambda: ARTICLES.filter(editor__isnull=True), {"article": "editor_id id"}),
    (lambda: ARTICLES.filter(author__name="a"), {**AUTHORS, "author": "id name"}),
    (
        lambda: ARTICLES.filter(author__country__code="x", editor__name="y"),
        {
            "article": "author_id editor_id id",
            "author": "country_id id name",
            "country": "code id",
        },
    ),
    (lambda: ARTICLES.filter(country="x"), {"article": "id land"}),
    (lambda: ARTICLES.filter(country__name="x"), {"article": "id land", "country": "code name"}),
    (
        lambda: ARTICLES.filter(author__profile__biography="x"),
        {**AUTHORS, "profile": "author_id biography"},
    ),
    (lambda: Category.objects.filter(parent__title="x"), {"category": "id parent_id title"}),
    (lambda: Category.objects.filter(children__title="x"), {"category": "id parent_id title"}),
    (lambda: ARTICLES.filter(tags=1), TAGS),
    (lambda: ARTICLES.filter(tags__name="x"), {**TAGS, "tag": "id name"}),
    (lambda: ARTICLES.exclude(tags__name="x"), {**TAGS, "tag": "id name"}),
    (lambda: ARTICLES.exclude(tags=None), TAGS),
    (
        lambda: ARTICLES.exclude(author__articles__title="x"),
        {"article": "author_id id title"},
    ),
    (
        lambda: ARTICLES.filter(tags__name="x").filter(tags__weight=1),
        {**TAGS, "tag": "id name weight"},
    ),
    (
        lambda: ARTICLES.filter(notes__text="x"),
        {"article": "id", "note": "content_type_id object_id text"},
    ),
    # The other end of a relation: its key in the joined table.
    (lambda: Author.objects.filter(articles=3).order_by(), AUTHORS),
    (lambda: Author.objects.filter(articles__in=[3, 4]).order_by(), AUTHORS),
    (lambda: Author.objects.filter(articles=None).order_by(), AUTHORS),
    (lambda: Author.objects.filter(articles__isnull=True).order_by(), AUTHORS),
    (
        lambda: Author.objects.filter(edited__in=ARTICLES.filter(views=1)).order_by(),
        {"article": "editor_id id views", "author": "id"},
    ),
    (
        lambda: Author.objects.filter(profile=None).order_by(),
        {"author": "id", "profile": "author_id id"},
    ),
    (
        lambda: Country.objects.filter(article=3).order_by(),
        {"article": "id land", "country": "code id"},
    ),
    (
        lambda: Place.objects.filter(restaurant=3).order_by(),
        {"place": "id", "restaurant": "place_ptr_id"},
    ),
    (
        lambda: ARTICLES.filter(notes=None),
        {"article": "id", "note": "content_type_id id object_id"},
    ),
    (lambda: Note.objects.filter(object_id=1), {"note": "id object_id"}),
    (
        lambda: ARTICLES.annotate(f=_filtered(Q(tags__weight=1))).filter(f__name="x"),
        {**TAGS, "tag": "id name weight"},
    ),
    (
        lambda: ARTICLES.annotate(f=_filtered(Q(author__active=True))).filter(f__name="x"),
        {
            "article": "author_id id",
            "article_tags": "article_id tag_id",
            "tag": "id name",
            "author": "active id",
        },
    ),
    # Orderings.
    (lambda: ARTICLES.order_by("author_id"), {"article": "author_id id"}),
    (lambda: ARTICLES.order_by("author__pk"), {"article": "author_id id"}),
    (lambda: ARTICLES.order_by("author"), {**BY_AUTHOR, "article": "author_id id"}),
    (lambda: ARTICLES.order_by("-editor"), {**BY_AUTHOR, "article": "editor_id id"}),
    (lambda: ARTICLES.order_by("author__name"), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.order_by(F("author__name").desc()), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.order_by(Lower("author__name")), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.order_by("tags__weight"), {**TAGS, "tag": "id weight"}),
    (lambda: ARTICLES.order_by("created__date"), {"article": "created id"}),
    (lambda: ARTICLES.order_by(Exists(TAGGED)), {**TAGS, "tag": "id"}),
    (lambda: Author.objects.all(), BY_AUTHOR),
    (lambda: Author.objects.order_by(), {"author": "id"}),
    (lambda: LiveArticle.objects.all(), {"article": "created id"}),
    (lambda: LiveArticle.objects.order_by("title"), {"article": "id title"}),
    (lambda: Front.objects.all(), {"front": "article_id id rank", "article": "id title"}),
    (
        lambda: Front.objects.order_by("article__author"),
        {**BY_AUTHOR, "front": "article_id id", "article": "author_id id"},
    ),
    # select_related: only that the joined rows are there.
    (lambda: ARTICLES.select_related("author"), AUTHORS),
    (
        lambda: ARTICLES.select_related("author__profile", "editor", "country"),
        {
            "article": "author_id editor_id id land",
            "author": "id",
            "profile": "author_id",
            "country": "code",
        },
    ),
    (
        lambda: all_related(ARTICLES),
        {"article": "author_id id", "author": "id"},
    ),
    (
        lambda: ARTICLES.annotate(f=_filtered(Q())).select_related("author").filter(f__name="x"),
        {"article": "author_id id", "article_tags": "article_id tag_id", "author": "id",
         "tag": "id name"},
    ),
    # Data.
    (lambda: ARTICLES.values("title"), {"article": "id title"}),
    (lambda: ARTICLES.values_list("views", flat=True), {"article": "id views"}),
    (lambda: ARTICLES.values("author__name"), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.values("tags"), TAGS),
    (lambda: ARTICLES.values("shout"), {"article": "*"}),
    (lambda: ARTICLES.values("data__a"), {"article": "data id"}),
    (lambda: ARTICLES.dates("day", "year"), {"article": "day id"}),
    (lambda: ARTICLES.datetimes("created", "day"), {"article": "created id"}),
    (lambda: ARTICLES.annotate(v=F("author__name")), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.annotate(v=Lower("title")), {"article": "id title"}),
    (lambda: ARTICLES.annotate(n=Count("tags")), TAGS),
    (lambda: ARTICLES.alias(n=Count("tags")).filter(n__gt=1), TAGS),
    (
        lambda: ARTICLES.annotate(n=Count("tags", filter=Q(tags__weight=1))),
        {**TAGS, "tag": "id weight"},
    ),
    (
        lambda: ARTICLES.values("author").annotate(top=Max("price")),
        {"article": "author_id id price"},
    ),
    (
        lambda: ARTICLES.annotate(r=Window(RowNumber(), "author", order_by="-views")),
        {"article": "author_id id views"},
    ),
    (
        lambda: ARTICLES.annotate(v=Coalesce("editor__name", "title")),
        {"article": "editor_id id title", "author": "id name"},
    ),
    (lambda: ARTICLES.distinct("author__name"), {**AUTHORS, "author": "id name"}),
    (lambda: ARTICLES.distinct("created__year"), {"article": "created id"}),
    # Subqueries.
    (lambda: ARTICLES.filter(Exists(TAGGED)), {**TAGS, "tag": "id"}),
    (lambda: ARTICLES.filter(~Exists(TAGGED.filter(weight=1))), {**TAGS, "tag": "id weight"}),
    (lambda: ARTICLES.annotate(e=Exists(TAGGED.filter(name="x"))), {**TAGS, "tag": "id name"}),
    (
        lambda: ARTICLES.annotate(v=Subquery(_profiles().values("biography")[:1])),
        {"article": "author_id id", "profile": "author_id biography id"},
    ),
    (
        lambda: ARTICLES.annotate(v=Subquery(_profiles("author__name").values("pk")[:1])),
        {"article": "author_id id", "profile": "author_id id", "author": "id name"},
    ),
    (
        lambda: ARTICLES.filter(author__in=Author.objects.filter(active=True)),
        {"article": "author_id id", "author": "active id"},
    ),
    (
        lambda: ARTICLES.filter(author__in=Author.objects.filter(active=True)[:3]),
        {**BY_AUTHOR, "article": "author_id id", "author": "active country_id id name"},
    ),
    (
        lambda: ARTICLES.filter(country__in=Country.objects.filter(name="x")),
        {"article": "id land", "country": "code id name"},
    ),
    (
        lambda: ARTICLES.filter(title__in=Tag.objects.filter(weight=1).values("name")),
        {"article": "id title", "tag": "id name weight"},
    ),
    (
        lambda: ARTICLES.filter(pk__in=Restaurant.objects.filter(stars=1).values("name")),
        {"article": "id", "restaurant": "place_ptr_id stars", "place": "id name"},
    ),
    # Inheritance.
    (lambda: Restaurant.objects.order_by(), {"restaurant": "place_ptr_id", "place": "id"}),
    (lambda: Restaurant.objects.all(), {"restaurant": "place_ptr_id", "place": "id name"}),
    (
        lambda: Restaurant.objects.filter(name="x").values("stars"),
        {"restaurant": "place_ptr_id stars", "place": "id name"},
    ),
    (
        lambda: Restaurant.objects.order_by().values("stars"),
        {"restaurant": "place_ptr_id stars"},
    ),
    (lambda: Place.objects.filter(restaurant__stars=1).order_by("pk"),
     {"place": "id", "restaurant": "place_ptr_id stars"}),
    (
        lambda: Place.objects.select_related("restaurant").order_by("pk"),
        {"place": "id", "restaurant": "place_ptr_id"},
    ),
    (
        lambda: Bar.objects.order_by("owner__name"),
        {
            "bar": "restaurant_ptr_id",
            "restaurant": "owner_id place_ptr_id",
            "place": "id",
            "author": "id name",
        },
    ),
    (
        lambda: Bar.objects.order_by("name").values("pk"),
        {"bar": "restaurant_ptr_id", "restaurant": "place_ptr_id", "place": "id name"},
    ),
    # Keys of several columns.
    (lambda: Cell.objects.filter(text="x"), {"cell": "place sheet text"}),
    (lambda: Cell.objects.filter(pk=(1, "a")).order_by("pk"), {"cell": "place sheet"}),
    (lambda: Cell.objects.filter(pk__in=[(1, "a")]), {"cell": "place sheet"}),
    (
        lambda: Cell.objects.filter(pk__in=Cell.objects.filter(text="x")),
        {"cell": "place sheet text"},
    ),
    # Combinations.
    (
        lambda: ARTICLES.filter(views=1).union(ARTICLES.filter(author__name="x")),
        {"article": "author_id id views", "author": "id name"},
    ),
    (
        lambda: ARTICLES.filter(views=1).union(ARTICLES.filter(rating=1)).order_by("title"),
        {"article": "id rating title views"},
    ),
    (
        lambda: ARTICLES.values("title").union(Author.objects.values("name")),
        {**BY_AUTHOR, "article": "id title"},
    ),
    (
        lambda: ARTICLES.filter(views=1).union(ARTICLES.filter(rating=1)).order_by("author__name"),
        {"article": "author_id id rating views", "author": "id name"},
    ),
    (
        lambda: ARTICLES.order_by("pk").difference(LiveArticle.objects.filter(views=1)),
        {"article": "created id views"},
    ),
    (
        lambda: ARTICLES.filter(pk__in=ARTICLES.values("pk").union(TAGGED_ARTICLES)),
        {"article": "id", "article_tags": "article_id id"},
    ),
]  # fmt: skip


def _filtered(condition: Q) -> FilteredRelation:
    return FilteredRelation("tags", condition=condition)


def _profiles(*order: str) -> Any:
    return Profile.objects.filter(author=OuterRef("author")).order_by(*order)


def test_the_tables_and_columns_a_query_depends_on() -> None:
    wrong = {}
    for position, (make, expected) in enumerate(EXPECTED):
        found = tables(planned(make()))
        if found != expected:
            wrong[position] = (expected, found)
    assert {} == wrong


def test_every_table_of_a_project_has_its_model() -> None:
    for make, _ in EXPECTED:
        found = planned(make())
        assert set(found.tables) == set(found.models)
        for name, model in found.models.items():
            assert name == model._meta.db_table
            assert model is model._meta.concrete_model


def test_aggregates_read_their_columns() -> None:
    def read(queryset: Any, **aggregates: Any) -> dict[str, str]:
        structure, _, resolved = walk_aggregate(queryset.query, aggregates)
        return tables(plan_of(resolved, structure))

    assert {"article": "id price"} == read(ARTICLES, a=Max("price"))
    assert {"article": "id price views"} == read(ARTICLES.filter(views=1), a=Max("price"))
    assert {**AUTHORS, "author": "id name"} == read(ARTICLES, a=Max("author__name"))
    assert TAGS == read(ARTICLES, a=Count("tags"))
    assert TAGS == read(ARTICLES.annotate(n=Count("tags")), a=Sum("n"))
    assert {**TAGS, "article": "id views", "tag": "id weight"} == read(
        ARTICLES, a=Sum("views", filter=Q(tags__weight=1))
    )
    assert {"article": "id price views"} == read(ARTICLES.order_by("views")[:3], a=Max("price"))
    assert {"article": "id price views"} == read(ARTICLES, a=Sum("views"), b=F("a") + Max("price"))


# Against the SQL --------------------------------------------------------------------------------

SOURCE = re.compile(
    r'(?:FROM|JOIN) "(\w+)"(?: (?!INNER|LEFT|ON|WHERE|GROUP|ORDER|LIMIT)"?(\w+)"?)?'
)
GROUP_BY = re.compile(r" GROUP BY .*?(?= HAVING | ORDER BY | LIMIT |$)")
COLUMN = re.compile(r'"?(\w+)"?\."(\w+)"')


def missing(found: Plan, sql: str) -> Iterator[tuple[str, str]]:
    """The tables and columns that the SQL names and the plan does not."""
    alias_of = defaultdict(set)
    for table, alias in SOURCE.findall(sql):
        alias_of[alias or table].add(table)
        if table not in found.tables:
            yield table, "*"
    for alias, column in COLUMN.findall(sql):
        # Sibling subqueries may use one alias for two tables.
        known = [found.tables.get(table, frozenset()) for table in alias_of[alias]]
        if not any(column in columns or "*" in columns for columns in known):
            yield alias, column


def test_every_table_and_column_of_the_sql_is_a_dependency() -> None:
    checked = 0
    for steps in positions(AMOUNT, seed=42):
        queryset = build(steps)
        if queryset is None:
            continue
        try:
            found = planned(queryset)
        except Uncacheable:
            continue
        rows_apart = queryset.query.default_cols
        for dialect in dialects():
            sql = compiled(queryset.query, dialect)[0]
            if sql in ("empty", "error"):
                continue
            if rows_apart:
                # The columns of rows stand in the select list, and where that is grouped by.
                sql = "" if queryset.query.combinator else GROUP_BY.sub("", sql[_from(sql) :])
            assert [] == list(missing(found, sql)), (steps, sql, found.tables)
            checked += 1
    assert AMOUNT // 2 < checked


def _from(sql: str) -> int:
    depth = 0
    for match in re.finditer(r"[()]|FROM", sql):
        if match[0] == "FROM" and depth == 0:
            return match.start()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
    raise AssertionError(sql)


def test_no_database_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the analysis opened a cursor")

    for connection in connections.all():
        monkeypatch.setattr(connection, "cursor", fail)
    for make, _ in EXPECTED:
        planned(make())


def test_planning_changes_nothing_in_the_query() -> None:
    for steps in positions(200, seed=9):
        queryset, untouched = build(steps), build(steps)
        before = walk(queryset.query)
        try:
            plan_of(queryset.query, ("not remembered", *steps))
        except Uncacheable:
            continue
        assert before == walk(queryset.query), steps
        sql = [compiled(each.query, dialects()[0]) for each in (queryset, untouched)]
        assert sql[0] == sql[1]


def test_a_plan_is_remembered_by_structure() -> None:
    one = planned(ARTICLES.filter(title="a")[:3])
    other = planned(ARTICLES.filter(title="b")[5:9])
    assert one is other
    assert one is not planned(ARTICLES.filter(title__gt="a")[:3])


# Declared expressions ---------------------------------------------------------------------------


class Shout(Func):
    function = "UPPER"
    output_field = CharField()


class Blind(Expression):
    """Shows no sources."""

    def __init__(self) -> None:
        super().__init__(output_field=IntegerField())

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "title", []


@pytest.fixture
def _declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stability, "_declared", set())
    stable(Shout)
    stable(Blind)
    yield
    HANDLERS.pop(Shout, None)
    HANDLERS.pop(Blind, None)


@pytest.mark.usefixtures("_declared")
def test_a_declared_expression_reads_its_sources_or_everything() -> None:
    assert {"article": "id title"} == tables(planned(ARTICLES.annotate(v=Shout("title"))))
    assert {"article": "*"} == tables(planned(ARTICLES.annotate(v=Blind())))
    assert {"article": "*", "author": "*"} == tables(
        planned(ARTICLES.filter(author__name="x").annotate(v=Blind()))
    )


def test_a_query_that_does_not_resolve_is_refused() -> None:
    queryset = ARTICLES.order_by("title")
    queryset.query.order_by = ("nothing",)
    with pytest.raises(Uncacheable, match="does not resolve"):
        plan_of(queryset.query, ("unknown",))
