"""What a read through the cache asks the database, and how it fails, is what Django does."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import Count, F, Q
from django.db.models.signals import post_init, pre_init
from django.test.utils import CaptureQueriesContext, isolate_apps
from pytest_django import DjangoAssertNumQueries

import ormcache
from ormcache import modelset, runtime
from ormcache.exceptions import Uncacheable
from ormcache.models import CachedModel
from ormcache.reads import pointers
from ormcache.reads.related import Vanished
from ormcache.schema import watched
from ormcache.schema.tables import schema_of
from ormcache.writes.hooks import state_of
from tests.integration.matrix.reads import READS
from tests.integration.matrix.values import evaluate
from tests.integration.matrix.world import build
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Note, Profile, Tag

pytestmark = pytest.mark.django_db(transaction=True)

# Rows named by their keys have a statement of their own, compiled once.
_BY_KEY = re.compile(r"WHERE \S+\.\S+ (= \S+|IN \(.*\))( LIMIT \d+)?$|WHERE \(\S+ = \d+ OR .*\)$")
_PROBE = "SELECT JSON("


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


@pytest.fixture
def authors() -> list[Author]:
    return [Author.objects.create(name=f"n{i}", slug=f"s{i}") for i in range(4)]


def statements(read: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        evaluate(read)
    return [query["sql"] for query in captured if query["sql"].startswith("SELECT")]


# The SQL of a miss


@pytest.mark.slow
def test_the_sql_of_a_miss_is_djangos() -> None:
    """Besides it only rows are asked for, by their keys."""
    build()
    differing = {}
    for name, read in READS.items():
        with ormcache.bypass():
            plain = others(statements(read))
        runtime.current().store.run([("FLUSHDB",)])
        missed = others(statements(read))
        if plain != missed:
            differing[name] = plain, missed
    assert {} == differing


def others(found: list[str]) -> list[str]:
    """Statements that do not name rows by their keys; what is asked again is a hit."""
    kept = [sql for sql in found if not _BY_KEY.search(sql) and not sql.startswith(_PROBE)]
    return list(dict.fromkeys(kept))


def test_a_list_without_an_order_comes_as_the_database_gives_it() -> None:
    """An index of its own answers a query for the keys alone, in another order."""
    for number in range(9, 0, -1):
        Author.objects.create(name="n", slug=f"s{number}")
    first, second, third, *_ = Author.nocache.order_by("pk").values_list("pk", flat=True)
    reads: list[Callable[[], list[Author]]] = [
        lambda: list(Author.objects.all()),
        lambda: list(Author.objects.filter(name="n")),
        lambda: list(Author.objects.all()[2:5]),
        lambda: list(Author.objects.filter(pk__in=[third, first, second])),
        lambda: list(Author.objects.filter(pk__in=[third, second]).select_related("profile")),
    ]
    for read in reads:
        with ormcache.bypass():
            expected = read()
        assert [expected] * 3 == [read(), read(), read()]


def test_rows_named_by_key_come_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of their keys. The database gave them in its own, of PostgreSQL that of the last
    writes, wherever it was asked in place of the cache."""
    for number in range(6):
        Author.objects.create(name="n", slug=f"s{number}")
    for slug in ("s0", "s2"):
        Author.nocache.filter(slug=slug).update(name="moved")
    keys = sorted(Author.nocache.values_list("pk", flat=True))
    reads: list[Callable[[], list[int]]] = [
        lambda: [each.pk for each in Author.objects.filter(pk__in=keys[::-1])],
        lambda: [each.pk for each in Author.objects.filter(pk__in=keys).only("slug")],
        lambda: list(Author.objects.in_bulk(keys[::-1])),
    ]

    def found() -> list[list[int]]:
        return [read() for read in reads]

    assert [keys] * 3 == found()
    assert [keys] * 3 == found()
    with transaction.atomic():
        Author.objects.filter(pk=keys[1]).update(name="written")
        assert [keys] * 3 == found()
    assert [keys] * 3 == found()
    with connection.execute_wrapper(lambda execute, *args: execute(*args)):
        assert [keys] * 3 == found()

    def fails(*args: Any) -> Any:
        raise Vanished

    monkeypatch.setattr(pointers, "read_rows", fails)
    assert [keys] * 3 == found()
    monkeypatch.undo()
    keys = []
    with transaction.atomic():
        Author.objects.all().delete()
        assert [keys] * 3 == found()


def test_what_a_miss_stores_is_what_the_sql_gave(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Annotations and pointers of the entry are those of the rows, in their order: of rows that
    come twice, of relations that lead nowhere, of what a prefetch selects."""
    for author in authors[1:3]:
        Profile.objects.create(author=author, biography=author.slug)
    for author in authors:
        for title in "ab":
            article = Article.objects.create(title=title + author.slug, author=author)
            article.tags.add(Tag.objects.get_or_create(name=title)[0])
    reads: list[Callable[[], Any]] = [
        lambda: [
            (each.slug, getattr(each, "profile", None), each.n)
            for each in Author.objects.select_related("profile").annotate(n=Count("articles"))
        ],
        lambda: [
            (each.title, each.author.name, getattr(each.author, "profile", None))
            for each in Article.objects.select_related("author__profile").order_by("-title")[1:6]
        ],
        lambda: [
            (each.pk, each.title)
            for each in Author.objects.order_by("articles__title").annotate(
                title=F("articles__title")
            )
        ],
        lambda: [each.slug for each in Author.objects.filter(articles__views=0).distinct()],
        lambda: [
            [tag.name for tag in each.tags.all()]
            for each in Article.objects.prefetch_related("tags").order_by("title")
        ],
        lambda: [each.name for each in Author.objects.only("name").filter(slug__gt="s0")],
    ]
    for read in reads:
        with ormcache.bypass():
            expected = read()
        assert expected
        assert expected == read()
        with django_assert_num_queries(0):
            assert expected == read()


def test_a_miss_and_a_hit_make_each_instance_once(authors: list[Author]) -> None:
    """Receivers of ``pre_init`` and ``post_init`` are called as often as by Django; a list whose
    entry points at a row that is gone made some of its instances twice."""
    for author in authors:
        Profile.objects.create(author=author)
    made: list[str] = []

    def note(sender: Any, **kwargs: Any) -> None:
        made.append(sender.__name__)

    def read(manager: Any) -> list[str]:
        made.clear()
        list(manager.select_related("profile").order_by("name"))
        return sorted(made)

    pre_init.connect(note)
    post_init.connect(note)
    try:
        expected = read(Author.nocache)
        assert 16 == len(expected)
        assert [expected] * 3 == [read(Author.objects) for _ in range(3)]
        gone = list(Profile.nocache.values_list("pk", flat=True))
        profiles = schema_of(Profile).table.name
        with connection.cursor() as cursor:
            execute, connection.execute_wrappers = connection.execute_wrappers, []
            cursor.execute(f"DELETE FROM {profiles}")
            connection.execute_wrappers = execute
        keys = runtime.current().keys(state_of(connection).label, profiles)
        runtime.current().store.run([("UNLINK", *map(keys.row, gone))])
        assert ["Author"] * 8 == read(Author.objects)
    finally:
        pre_init.disconnect(note)
        post_init.disconnect(note)


def test_a_transaction_that_wrote_the_row_asks_once(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """It asked for the row, for each relation, and for what lay beyond: a statement each."""
    Profile.objects.create(author=authors[0])
    article = Article.objects.create(title="t", author=authors[0])
    wanted = Article.objects.select_related("author__profile")
    with transaction.atomic():
        Article.objects.filter(pk=article.pk).update(title="u")
        with django_assert_num_queries(1):
            assert "u" == wanted.get(pk=article.pk).title
        with django_assert_num_queries(1):
            (found,) = wanted.filter(pk=article.pk)
            assert (authors[0], "u") == (found.author.profile.author, found.title)
    with transaction.atomic():
        Author.objects.filter(pk=authors[0].pk).update(name="new")
        with django_assert_num_queries(1):
            assert "new" == wanted.get(pk=article.pk).author.name


# Shapes and fields


def test_a_combination_ordered_by_what_it_does_not_select(authors: list[Author]) -> None:
    """The database has to select the column all the same; it belongs to no result."""

    def union(manager: Any) -> Any:
        halves = [manager.filter(slug__lt="s2"), manager.filter(slug__gte="s2")]
        return halves[0].union(halves[1]).order_by("-name")

    reads: list[Callable[[Any], Any]] = [
        lambda manager: list(union(manager).values("id")),
        lambda manager: list(union(manager).values_list("id", flat=True)),
        lambda manager: list(union(manager).values_list("id", "slug")),
        lambda manager: list(union(manager.select_related("profile"))),
    ]
    for read in reads:
        expected = read(Author.nocache)
        assert [expected] * 3 == [read(Author.objects) for _ in range(3)]


def test_named_rows_with_a_further_column(authors: list[Author]) -> None:
    def read(manager: Any) -> list[Any]:
        named = manager.order_by("pk").values_list("slug", "name", named=True)
        return [
            (each.slug, tuple(each), each._fields) for each in named.annotate(n=Count("articles"))
        ]

    expected = read(Author.nocache)
    assert [expected] * 3 == [read(Author.objects) for _ in range(3)]


@pytest.mark.parametrize("name", ["only()", "defer, then only", "only(pk)"])
def test_naming_nothing_loads_all(authors: list[Author], name: str) -> None:
    def read(manager: Any) -> list[set[str]]:
        queryset = {
            "only()": manager.only(),
            "defer, then only": manager.defer("name").only("name"),
            "only(pk)": manager.only("pk"),
        }[name]
        found = [queryset.get(pk=authors[0].pk), *queryset.order_by("pk"), *queryset.all()]
        return [each.get_deferred_fields() for each in found]

    expected = read(Author.nocache)
    assert [expected] * 2 == [read(Author.objects) for _ in range(2)]


@pytest.mark.parametrize("method", ["only", "defer"])
@pytest.mark.parametrize("name", ["nope", "profile__nope"])
def test_an_unknown_field(authors: list[Author], method: str, name: str) -> None:
    """The row was served from its cell before anybody had looked for the field."""
    Author.objects.get(pk=authors[0].pk)
    queryset = getattr(Author.objects, method)(name)
    for read in (
        lambda: queryset.get(pk=authors[0].pk),
        lambda: list(queryset.filter(pk=authors[0].pk)),
        lambda: list(queryset.all()),
    ):
        with pytest.raises(FieldDoesNotExist):
            read()


def test_an_update_of_the_other_end_of_a_relation(authors: list[Author]) -> None:
    """It fails as it does without a cache, whatever Django makes of it."""
    for name in ("articles", "profile", "contributed_articles", "nope"):
        with pytest.raises(Exception) as expected:  # noqa: PT011
            Author.nocache.update(**{name: 1})
        with pytest.raises(expected.type) as raised:
            Author.objects.update(**{name: 1})
        assert str(expected.value) == str(raised.value)


def test_links_are_counted_without_a_join(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    article = Article.objects.create(title="t", author=authors[0])
    article.tags.add(Tag.objects.create(name="a"), Tag.objects.create(name="b"))
    for read in (article.tags.count, article.tags.exists, Tag.objects.all()[0].articles.count):
        (sql,) = statements(read)
        assert "JOIN" not in sql
        with django_assert_num_queries(0):
            assert read()
    assert 2 == article.tags.count()
    Tag.objects.all()[0].delete()
    assert 1 == article.tags.count()
    # With conditions Django joins, too.
    assert 1 == article.tags.filter(name="b").count()
    (found,) = Article.objects.prefetch_related("tags")
    with django_assert_num_queries(0):
        assert 1 == found.tags.count()


def test_a_foreign_key_that_leads_nowhere(authors: list[Author]) -> None:
    """The application of its model is not installed: writes to all other tables failed."""
    with isolate_apps("tests.testapp"):

        class Lost(models.Model):
            where = models.ForeignKey("gone.Model", models.DO_NOTHING)
            author = models.ForeignKey(Author, models.DO_NOTHING)

            class Meta:
                app_label = "testapp"

        class CachedLost(CachedModel):
            where = models.ForeignKey("gone.Model", models.DO_NOTHING, related_name="+")

            class Meta:
                app_label = "testapp"

        class LostChild(CachedModel):
            parent = models.OneToOneField(
                "gone.Model", models.DO_NOTHING, parent_link=True, primary_key=True
            )

            class Meta:
                app_label = "testapp"

    tables = watched.watched_tables()
    for model in (CachedLost, LostChild):
        with pytest.raises(Uncacheable):
            schema_of(model)
        assert tables[model._meta.db_table].table is None
    assert tables[Lost._meta.db_table].table is None
    Author.objects.filter(pk=authors[0].pk).update(name="new")
    assert "new" == Author.objects.get(pk=authors[0].pk).name


def test_a_relation_of_two_columns(
    authors: list[Author], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """It is no pointer to a row: such a query is Django's, and says so."""
    pair: Any = models.ForeignObject(
        Author,
        models.DO_NOTHING,
        from_fields=["author", "text"],
        to_fields=["id", "name"],
        related_name="notes_by_both",
    )
    pair.contribute_to_class(Note, "both")
    notes: Any = Note.objects
    options: Any = Note._meta
    try:
        notes.create(author=authors[1], text="n1")
        found = notes.select_related("both")
        for _ in range(2):
            with django_assert_num_queries(1):
                assert "n1" == found.all()[0].both.name
        assert ["select_related follows both, which is not one column of its model"] == list(
            found.explain_cache().reasons
        )
    finally:
        options.local_fields.remove(pair)
        options._expire_cache()
        options.apps.clear_cache()
        modelset.changed()


def test_nothing_opens_no_connection(authors: list[Author]) -> None:
    """What asks for nothing costs nothing, as in Django."""
    connection.close()
    nothing = Author.objects.none()
    reads: list[Callable[[], Any]] = [
        lambda: list(nothing.all()),
        lambda: list(nothing.values("name")),
        nothing.count,
        nothing.exists,
        lambda: nothing.aggregate(n=Count("pk")),
        lambda: list(Author.objects.filter(pk__in=[])),
        lambda: pickle.loads(pickle.dumps(nothing.all())),
    ]
    for read in reads:
        read()
        assert connection.connection is None
    assert not nothing.explain_cache().cached


# Keys beyond the column


@isolate_apps("tests.testapp")
@pytest.mark.parametrize("kind", [models.SmallAutoField, models.AutoField, models.BigAutoField])
def test_a_key_beyond_the_column(kind: Any) -> None:
    """Django knows that there is no such row, where the database keeps to the width of columns."""

    class Small(CachedModel):
        id = kind(primary_key=True)

        class Meta:
            app_label = "testapp"

    class Plain(models.Model):
        id = kind(primary_key=True)

        class Meta:
            app_label = "testapp"
            managed = False
            db_table = "testapp_small"

    ranges = BaseDatabaseOperations.integer_field_ranges
    least, greatest = ranges[kind.__name__]
    reads: list[Callable[[Any, int], Any]] = [
        lambda manager, key: manager.get(pk=key),
        lambda manager, key: manager.get(Q(id=key)),
        lambda manager, key: list(manager.filter(pk=key)),
        lambda manager, key: list(manager.filter(pk__in=[key])),
        lambda manager, key: manager.in_bulk([key]),
    ]
    with connection.schema_editor() as editor:
        editor.create_model(Small)
    try:
        Small.objects.create(pk=1)
        Small.objects.create(pk=greatest)
        for read in reads:
            for key in (1, greatest, greatest + 1, least - 1, 2**62, 2**64):
                expected = asked_and_found(partial(read, Plain._default_manager, key))
                for _ in range(2):
                    found = asked_and_found(partial(read, Small.objects, key))
                    assert found[0] <= expected[0]
                    assert found[1:] == expected[1:]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Small)


def asked_and_found(read: Callable[[], Any]) -> tuple[int, str]:
    """The number of statements, and what came of them."""
    with CaptureQueriesContext(connection) as captured:
        try:
            found = str(read())
        except Exception as error:
            found = type(error).__name__
    asked = [each["sql"] for each in captured if each["sql"].startswith("SELECT")]
    return len(asked), found.replace("Small", "Plain")
