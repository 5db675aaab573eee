"""Bulk statements invalidate the rows they touch, up to a number; beyond it the whole table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F, OuterRef, Subquery
from django.test.utils import CaptureQueriesContext

from ormcache import bypass, runtime
from ormcache.database import servers
from ormcache.schema import watched
from ormcache.stats import counters
from ormcache.writes import announce, returning, watch
from ormcache.writes.hooks import state_of
from ormcache.writes.pending import MOST_ROWS
from tests.integration.interleave import LONGEST, after, elsewhere, once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Comment, Restaurant, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["as it is", "as MySQL"])
def vendor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides MariaDB what MySQL does, which returns rows from no DELETE either."""
    if request.param == "as MySQL":
        if connection.vendor != "mysql":
            pytest.skip("about MySQL")
        monkeypatch.setattr(returning, "_deletes_return", lambda connection: False)


@pytest.fixture
def article(ormcache_redis: RedisServer) -> Article:
    author = Author.objects.create(name="ann", slug="ann")
    return Article.objects.create(title="kept", author=author)


@pytest.fixture
def authors(article: Article) -> list[Author]:
    """Ann and Bob with articles, all rows of them cached, and Cid without."""
    others = [Author.objects.create(name=name, slug=name) for name in ("bob", "cid")]
    for author in (article.author, others[0]):
        for number in range(3):
            Article.objects.create(title=f"{author.name} {number}", author=author)
    Article.objects.in_bulk(Article.nocache.values_list("pk", flat=True))
    return [article.author, *others]


def is_cached(instance: Any) -> bool:
    """Whether the row's cell answers; what it answers has to be right in any case."""
    hits = counters["row_hit"]
    found = type(instance).objects.get(pk=instance.pk)
    answered = hits < counters["row_hit"]
    stored = type(instance).nocache.values().get(pk=instance.pk)
    assert stored == {name: getattr(found, name) for name in stored}
    return answered


# How many rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [MOST_ROWS, MOST_ROWS + 1])
def test_how_many_rows_an_update_names(article: Article, amount: int, vendor: None) -> None:
    kept, *rest = _comments(article, amount)
    assert amount == Comment.objects.filter(text="many").update(text="edited")
    assert "edited" == Comment.objects.get(pk=rest[-1].pk).text
    assert (amount == MOST_ROWS) is is_cached(kept)


@pytest.mark.parametrize("amount", [MOST_ROWS, MOST_ROWS + 1])
def test_how_many_rows_a_delete_names(article: Article, amount: int, vendor: None) -> None:
    doomed = Article.objects.create(title="doomed", author=article.author)
    kept, *rest = _comments(article, amount, doomed)
    assert amount + 1 == doomed.delete()[0]
    assert not Comment.objects.filter(pk=rest[-1].pk).exists()
    with pytest.raises(Comment.DoesNotExist):
        Comment.objects.get(pk=rest[-1].pk)
    assert (amount == MOST_ROWS) is is_cached(kept)


def test_many_more_rows_than_are_taken(article: Article) -> None:
    """The rest of what was returned must not stay behind, nor the count be another."""
    kept = _comments(article, 5 * MOST_ROWS)[0]
    assert 5 * MOST_ROWS == Comment.objects.filter(text="many").update(text="edited")
    assert 5 * MOST_ROWS == Comment.nocache.filter(text="edited").count()
    assert not is_cached(kept)
    assert is_cached(kept)
    assert 5 * MOST_ROWS == Comment.objects.filter(text="edited")._raw_delete("default")
    assert 1 == Comment.nocache.count()


def _comments(article: Article, amount: int, on: Article | None = None) -> list[Comment]:
    """A comment whose row is cached, and that many others, the last cached as well."""
    kept = Comment.objects.create(article=article, text="kept")
    made = Comment.nocache.bulk_create(
        [Comment(article=on or article, text="many") for _ in range(amount)]
    )
    last = Comment.nocache.order_by("-pk")[0]
    Comment.objects.in_bulk([kept.pk, last.pk])
    return [kept, *made[:-1], last]


# Rows that are locked first ---------------------------------------------------------------------


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_an_update_of_unknown_rows(
    authors: list[Author], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Article.nocache.get(title="bob 0")
    with _isolation(level, monkeypatch):
        assert 3 == Article.objects.filter(title__startswith="ann").update(published=True)
    assert is_cached(kept)
    assert all(article.published for article in Article.objects.filter(title__startswith="ann"))
    assert 3 == Article.objects.filter(published=True).update(views=F("views") + 1)
    assert is_cached(kept)
    assert 0 == Article.objects.filter(pk__in=[], title="x").update(views=1)
    assert is_cached(kept)


@pytest.mark.mariadb
def test_the_cost_is_one_statement(authors: list[Author]) -> None:
    assert ["SELECT", "UPDATE"] == _statements(Article.objects.filter(title="ann 0"))
    assert ["UPDATE"] == _statements(Article.objects.filter(pk=1))
    with connection.cursor() as cursor:
        # Whether reading begins a snapshot is not known any more.
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    assert ["UPDATE"] == _statements(Article.objects.filter(title="ann 0"))
    connection.close()


def _statements(queryset: Any) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        queryset.update(published=True)
    words = [query["sql"].split()[0] for query in queries]
    return [word for word in words if word in ("SELECT", "UPDATE")]


def test_rows_that_begin_to_match_meanwhile(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The UPDATE touches a row that was not locked with the others: it is one more."""
    if connection.vendor != "mysql":
        pytest.skip("no other statement goes before it")
    late = Article.nocache.get(title="bob 0")

    def join_in() -> None:
        Article.objects.filter(pk=late.pk).update(title="ann late")
        Article.objects.get(pk=late.pk)

    after(monkeypatch, announce, "lock_rows", once(join_in))
    assert 4 == Article.objects.filter(title__startswith="ann").update(published=True)
    assert Article.objects.get(pk=late.pk).published


@pytest.mark.mariadb
def test_a_connection_that_counts_changed_rows_only(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One locked row changes nothing and one more row changes: the same count."""
    first, late = Article.nocache.get(title="ann 0"), Article.nocache.get(title="bob 0")
    Article.objects.filter(pk=first.pk).update(published=True)

    def join_in() -> None:
        Article.objects.filter(pk=late.pk).update(title="ann late")
        Article.objects.get(pk=late.pk)

    def publish() -> None:
        options = {**connection.settings_dict.get("OPTIONS", {}), "client_flag": 0}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        after(monkeypatch, announce, "lock_rows", once(join_in))
        assert 3 == Article.objects.filter(title__startswith="ann").update(published=True)

    elsewhere(publish)
    assert Article.objects.get(pk=late.pk).published


@pytest.mark.mariadb
def test_nothing_waits_for_rows_that_do_not_match(authors: list[Author]) -> None:
    """Neither would the UPDATE alone."""
    with _held(Article.nocache.get(title="bob 0")), connection.cursor() as cursor:
        cursor.execute("SET innodb_lock_wait_timeout = 1")
        assert 3 == Article.objects.filter(title__startswith="ann").update(published=True)
        cursor.execute("SET innodb_lock_wait_timeout = DEFAULT")


@pytest.mark.mariadb
def test_a_lock_that_cannot_be_had(authors: list[Author]) -> None:
    """Django does as after any failed UPDATE: no more queries in this transaction."""
    held = Article.nocache.get(title="ann 0")
    with _held(held), connection.cursor() as cursor:
        cursor.execute("SET innodb_lock_wait_timeout = 1")
        with transaction.atomic():
            with pytest.raises(OperationalError):
                Article.objects.filter(title__startswith="ann").update(published=True)
            assert connection.needs_rollback
        cursor.execute("SET innodb_lock_wait_timeout = DEFAULT")
    assert not Article.objects.get(pk=held.pk).published


@pytest.mark.mariadb
def test_a_snapshot_is_not_begun_before_the_update(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read after the UPDATE is as new as it would be without the cache."""
    ann, bob, _ = authors

    def rename() -> None:
        Author.objects.filter(pk=bob.pk).update(name="bobby")

    with _isolation("repeatable read", monkeypatch), transaction.atomic():
        after(monkeypatch, announce, "lock_rows", once(rename))
        assert 4 == Article.objects.filter(author=ann).update(published=True)
        assert "bobby" == Author.nocache.get(pk=bob.pk).name


@pytest.mark.mariadb
def test_an_old_snapshot_hides_no_row(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Article.nocache.get(title="bob 0")
    with _isolation("repeatable read", monkeypatch), transaction.atomic():
        assert 7 == Article.nocache.count()
        elsewhere(lambda: Article.objects.filter(pk=late.pk).update(title="ann late"))
        elsewhere(lambda: Article.objects.get(pk=late.pk))
        assert 4 == Article.objects.filter(title__startswith="ann").update(published=True)
    assert Article.objects.get(pk=late.pk).published


def test_old_partitions_of_an_update_that_sets_them(authors: list[Author]) -> None:
    """Locked rows are seen before the statement: where they go from is known."""
    ann, bob, cid = authors
    # Their rows leave the cache, so that nothing else tells where they are.
    Article.objects.filter(title__startswith="ann").update(body="x")

    def of(author: Author) -> list[str]:
        found = Article.objects.filter(author=author).order_by("title")
        return list(found.values_list("title", flat=True))

    assert ["ann 0", "ann 1", "ann 2", "kept"] == of(ann) == of(ann)
    assert ["bob 0", "bob 1", "bob 2"] == of(bob) == of(bob)
    assert [] == of(cid) == of(cid)
    assert 3 == Article.objects.filter(title__startswith="ann").update(author=cid)
    misses = counters["list_miss"]
    assert ["bob 0", "bob 1", "bob 2"] == of(bob)
    assert (connection.vendor == "mysql") is (misses == counters["list_miss"])
    assert ["kept"] == of(ann)
    assert ["ann 0", "ann 1", "ann 2"] == of(cid)


@pytest.mark.parametrize("selects_first", [False, True])
def test_conditions_on_other_tables(
    authors: list[Author], selects_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On MySQL Django itself selects the keys first: the UPDATE names its rows."""
    is_exact = connection.vendor != "mysql"
    if selects_first:
        if is_exact:
            pytest.skip("about MySQL")
        monkeypatch.setattr(connection.features, "update_can_self_select", False)
        is_exact = True
    ann = authors[0]
    kept = Article.nocache.get(title="bob 0")
    of_ann = Article.objects.filter(author__name="ann")
    name = Subquery(Author.objects.filter(pk=OuterRef("author")).values("name")[:1])
    for values in ({"published": True}, {"views": F("views") + 2}, {"body": name}):
        Article.objects.in_bulk([kept.pk])
        assert 4 == of_ann.update(**values)
        assert is_exact is is_cached(kept)
    for article in Article.objects.filter(author=ann):
        assert (True, 2, "ann") == (article.published, article.views, article.body)
    inner = Author.objects.filter(name="ann")
    assert 4 == Article.objects.filter(author__in=inner).update(published=False)
    assert not any(article.published for article in Article.objects.all())
    many = [Article(title="many", author=ann) for _ in range(MOST_ROWS - 3)]
    Article.nocache.bulk_create(many)
    Article.objects.in_bulk([kept.pk])
    assert MOST_ROWS + 1 == of_ann.update(published=True)
    assert not is_cached(kept)
    assert 0 == Article.objects.filter(published=False, author=ann).count()


@pytest.mark.mariadb
@pytest.mark.parametrize(
    "condition",
    [
        lambda: Article.objects.filter(author__in=Author.objects.filter(active=True)),
        lambda: Article.objects.filter(author__name="ann").order_by("pk"),
        lambda: Article.objects.order_by("?").filter(tags=None),
        lambda: Article.objects.extra(where=["RAND() < 2"]),
        lambda: Article.objects.filter(pk__in=Article.objects.filter(views=0).values("pk")),
    ],
)
def test_what_does_not_follow_from_the_row_alone_is_not_locked(
    authors: list[Author], condition: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        pytest.fail("locked")

    monkeypatch.setattr(announce, "lock_rows", refuse)
    condition().update(published=True)
    for article in Article.nocache.all():
        is_cached(article)


def test_an_update_of_inherited_columns_or_of_keys(article: Article) -> None:
    kept, *rest = [Restaurant.objects.create(name=name) for name in ("Inn", "Bar", "Pub")]
    tag, other = [Tag.objects.create(name=name) for name in "ab"]
    Restaurant.objects.in_bulk([each.pk for each in (kept, *rest)])
    Tag.objects.in_bulk([tag.pk, other.pk])
    assert 2 == Restaurant.objects.exclude(name="Inn").update(name="x", serves_pizza=True)
    # Django asks for the keys of these rows first.
    assert is_cached(kept)
    assert 2 == Restaurant.objects.filter(serves_pizza=True).update(serves_pizza=False)
    assert is_cached(kept)
    assert [False] * 2 == [Restaurant.objects.get(pk=each.pk).serves_pizza for each in rest]
    Tag.objects.filter(name="a").update(id=tag.pk + 1000)
    assert not is_cached(other)
    assert not Tag.objects.filter(pk=tag.pk).exists()
    assert "a" == Tag.objects.get(pk=tag.pk + 1000).name


def _held_by(row: Any, ready: threading.Event, done: threading.Event) -> None:
    with transaction.atomic():
        type(row).nocache.filter(pk=row.pk).update(body="held")
        ready.set()
        done.wait(LONGEST)


class _held:
    """Another connection holds the lock of a row."""

    def __init__(self, row: Any) -> None:
        self._row = row

    def __enter__(self) -> None:
        ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=lambda: elsewhere(lambda: _held_by(self._row, ready, self._done)), daemon=True
        )
        self._thread.start()
        assert ready.wait(LONGEST)

    def __exit__(self, *args: Any) -> None:
        self._done.set()
        self._thread.join(LONGEST)


class _isolation:
    """The connection at another isolation level, where it has such."""

    def __init__(self, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._level = level
        self._patch = monkeypatch

    def __enter__(self) -> None:
        if connection.vendor == "mysql":
            options = {**connection.settings_dict["OPTIONS"], "isolation_level": self._level}
            self._patch.setitem(connection.settings_dict, "OPTIONS", options)
            self._again()

    def __exit__(self, *args: Any) -> None:
        self._patch.undo()
        self._again()

    def _again(self) -> None:
        connection.close()
        servers.forget_answers()


# Upserts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [MOST_ROWS, MOST_ROWS + 1])
def test_how_many_rows_an_upsert_names(article: Article, amount: int) -> None:
    author, kept = article.author, Author.objects.create(name="kept", slug="kept")
    Author.objects.in_bulk([author.pk, kept.pk])
    new = [Author(name="new", slug=f"new-{number}") for number in range(amount - 1)]
    upsert([Author(name="again", slug="ann"), *new])
    assert (amount == MOST_ROWS) is is_cached(kept)
    assert not is_cached(author) or amount > MOST_ROWS
    assert "again" == Author.objects.get(pk=author.pk).name
    assert amount + 1 == Author.objects.count()


def test_an_upsert_reaches_every_list(article: Article) -> None:
    def names() -> tuple[list[str], int]:
        found = Author.objects.filter(active=True).order_by("slug")
        return [author.name for author in found], found.count()

    def bob() -> list[Author]:
        # Of a partition: a new row in it changes no stamp of the whole table that it relies on.
        return list(Author.objects.filter(slug="bob"))

    assert (["ann"], 1) == names() == names()
    assert [] == bob() == bob()
    upsert([Author(name="again", slug="ann"), Author(name="bob", slug="bob")])
    assert (["again", "bob"], 2) == names()
    assert 1 == len(bob())


def test_an_upsert_by_key(article: Article) -> None:
    author, other = article.author, Author.objects.create(name="other", slug="other")
    Author.objects.in_bulk([author.pk, other.pk])
    upsert([Author(pk=author.pk, name="by key", slug="ann")], "pk")
    assert "by key" == Author.objects.get(pk=author.pk).name
    assert is_cached(other)


def upsert(objs: list[Author], unique: str = "slug") -> None:
    Author.objects.bulk_create(
        objs,
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=None if connection.vendor == "mysql" else [unique],
    )


# Rows the database deletes with them ------------------------------------------------------------


def test_what_the_database_deletes_along_with_them(
    article: Article, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``on_delete=DB_CASCADE`` (Django 6.1): no statement names the rows that refer to these."""
    comment = Comment.objects.create(article=article, text="goes, too")
    Comment.objects.get(pk=comment.pk)
    cascades = {"testapp_article": frozenset({"testapp_comment"})}
    monkeypatch.setattr(watched, "_database_cascades", lambda: cascades)
    watch.forget()
    with transaction.atomic():
        Comment.nocache.filter(pk=comment.pk)._raw_delete("default")
        state_of(connection).writes().tables.clear()
        Article.objects.filter(title="kept")._raw_delete("default")
    watch.forget()
    with pytest.raises(Comment.DoesNotExist):
        Comment.objects.get(pk=comment.pk)


LINKS = Article.tags.through


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.parametrize(
    "write",
    [
        lambda link, _: link.delete(),
        lambda link, _: link.get().delete(),
        lambda link, tag: link.update(tag=tag),
        lambda link, tag: link.update(article=Article.nocache.get(title="kept")),
    ],
    ids=["delete", "delete one", "update", "move"],
)
def test_a_row_that_others_wrote_after_a_savepoint(
    article: Article, vendor: None, write: Callable[[Any, Tag], Any]
) -> None:
    """What it was before the savepoint does not tell which lists it is in."""
    other = Article.objects.create(title="other", author=article.author, published=True)
    tags = [Tag.objects.create(name=name) for name in "ab"]
    link = LINKS.objects.filter(pk=LINKS.objects.create(article=article, tag=tags[0]).pk)

    def read() -> list[Any]:
        return [
            [other.tags.count(), Article.objects.filter(tags=tag, published=True).count()]
            for tag in tags
        ]

    with transaction.atomic():
        with transaction.atomic():
            link.delete()
            transaction.set_rollback(True)
        elsewhere(lambda: link.all().update(article=other))
        assert [[1, 1], [1, 0]] == elsewhere(read)
        write(link, tags[1])
    found = read()
    with bypass():
        assert read() == found


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_a_row_that_moves_before_it_is_written_again(
    article: Article, vendor: None, verb: str
) -> None:
    """The second statement shows where the first has put it, not where it was."""
    bob = Author.objects.create(name="bob", slug="bob")

    def read() -> list[int]:
        return [author.articles.count() for author in (article.author, bob)]

    assert [1, 0] == read()
    row = Article.objects.filter(title="kept")
    with transaction.atomic():
        row.update(author=bob)
        row.update(views=5) if verb == "update" else row.delete()
    assert [0, int(verb == "update")] == read()


def test_readers_beside_a_write_to_the_whole_table_leave_no_leases(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be filled under the mark, and a lease kept everybody from it for seconds."""
    ann = authors[0]
    seen = []
    step = once(lambda: seen.append(Author.objects.get(pk=ann.pk).name))
    after(monkeypatch, runtime.current().writer, "mark", step)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = upper(name)")
    assert ["ann"] == seen
    assert not is_cached(ann)
    assert is_cached(ann)
