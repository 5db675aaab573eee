"""A write leaves alone the lists of other partitions and those that ask for other columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models import F
from django.test.utils import isolate_apps

import ormcache.analysis.dependencies
from ormcache import runtime
from ormcache.analysis import dependencies
from ormcache.coherence.writer import Released, Writer
from ormcache.exceptions import StoreError
from ormcache.models import CachedModel
from ormcache.schema.partitions import Partition, Scheme
from ormcache.schema.tables import table_of
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from tests.integration.aliases import sql
from tests.integration.interleave import once
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Comment, Profile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def authors(ormcache_redis: RedisServer) -> list[Author]:
    authors = [Author.objects.create(name=name, slug=name) for name in ("ann", "bob", "cid")]
    for author in authors[:2]:
        for number in range(3):
            Article.objects.create(
                title=f"{author.name} {number}", author=author, editor=authors[1]
            )
    Article.objects.in_bulk(Article.nocache.values_list("pk", flat=True))
    return authors


def of(author: Author) -> list[str]:
    found = Article.objects.filter(author=author, published=False).order_by("-views", "pk")
    return [article.title for article in found]


def survives(read: Callable[[], Any], write: Callable[[], Any]) -> bool:
    """Whether the cached result outlives the write; it has to be right in any case."""
    read()
    read()
    write()
    misses = counters["list_miss"]
    got = read()
    survived = misses == counters["list_miss"]
    from ormcache import bypass

    with bypass():
        assert read() == got
    return survived


def first_of(author: Author) -> Article:
    return Article.objects.filter(author=author).order_by("pk")[0]


def test_a_column_nobody_asks_for(authors: list[Author]) -> None:
    ann = authors[0]
    article = first_of(ann)

    def edit() -> None:
        article.title = "edited"
        article.save()

    assert survives(lambda: of(ann), edit)
    assert survives(lambda: of(ann), lambda: article.save())
    assert survives(lambda: of(ann), lambda: article.save(update_fields=["body"]))


def test_a_column_of_another_partition(authors: list[Author]) -> None:
    ann, bob, _ = authors
    article = first_of(ann)
    Article.objects.get(pk=article.pk)
    article.views += 10
    assert survives(lambda: of(bob), lambda: article.save())
    Article.objects.get(pk=article.pk)
    article.views += 10
    assert not survives(lambda: of(ann), lambda: article.save())


def test_a_counter_that_nobody_orders_by(authors: list[Author]) -> None:
    ann = authors[0]
    article = first_of(ann)

    def titles() -> list[str]:
        return [each.title for each in Article.objects.filter(author=ann).order_by("pk")]

    def count() -> None:
        # Twice: the second time the old row is not in the cache.
        for _ in range(2):
            Article.objects.filter(pk=article.pk).update(views=F("views") + 1)

    assert survives(titles, count)


def test_an_unknown_old_row_reaches_every_partition_by_the_column(
    authors: list[Author],
) -> None:
    ann = authors[0]
    article = first_of(ann)

    def write() -> None:
        # With the first the cell goes: whose article it is, the second cannot tell.
        Article.objects.filter(pk=article.pk).update(body="x")
        Article.objects.filter(pk=article.pk).update(views=99)

    assert not survives(lambda: of(ann), write)


def test_a_new_row_in_another_partition(authors: list[Author]) -> None:
    ann, bob, _ = authors
    assert survives(lambda: of(bob), lambda: Article.objects.create(title="new", author=ann))
    assert not survives(lambda: of(ann), lambda: Article.objects.create(title="new", author=ann))
    assert survives(
        lambda: of(bob),
        lambda: Article.objects.bulk_create([Article(title="bulk", author=ann)]),
    )


def test_a_deleted_row_in_another_partition(authors: list[Author]) -> None:
    ann, bob, _ = authors

    def delete_first() -> None:
        Article.objects.get(pk=Article.nocache.filter(author=ann)[0].pk).delete()

    assert survives(lambda: of(bob), delete_first)
    assert not survives(lambda: of(ann), delete_first)


def test_a_row_that_moves_between_partitions(authors: list[Author]) -> None:
    ann, bob, cid = authors

    def move(to: Author) -> Callable[[], None]:
        def write() -> None:
            article = Article.objects.filter(title="ann 0").get()
            article.author = to
            article.save()

        return write

    assert survives(lambda: of(bob), move(cid))
    assert not survives(lambda: of(cid), move(bob))
    assert not survives(lambda: of(bob), move(ann))
    assert not survives(lambda: of(ann), move(cid))


def test_a_move_of_a_row_that_is_not_cached(authors: list[Author]) -> None:
    """The save sets every partition anew: where the row was before, nothing tells."""
    ann, bob, cid = authors
    article = first_of(ann)

    def move() -> None:
        Article.objects.filter(pk=article.pk).update(body="not cached any more")
        article.author = cid
        article.save()

    assert not survives(lambda: of(ann), move)
    article = first_of(bob)

    def move_by_update() -> None:
        Article.objects.filter(pk=article.pk).update(body="not cached any more")
        Article.objects.filter(pk=article.pk).update(author=cid, editor=cid, category=None)

    assert not survives(lambda: of(bob), move_by_update)


def test_a_move_by_update(authors: list[Author]) -> None:
    ann, bob, cid = authors
    article = first_of(ann)
    assert not survives(
        lambda: of(cid), lambda: Article.objects.filter(pk=article.pk).update(author=cid)
    )
    Article.objects.get(pk=article.pk)
    assert survives(
        lambda: of(ann), lambda: Article.objects.filter(pk=article.pk).update(author=bob.pk)
    )
    Article.objects.get(pk=article.pk)
    assert not survives(
        lambda: of(bob), lambda: Article.objects.filter(pk=article.pk).update(author=F("editor"))
    )


def test_null_is_a_partition(authors: list[Author]) -> None:
    ann, bob, _ = authors

    def unedited() -> list[str]:
        return [a.title for a in Article.objects.filter(editor=None).order_by("pk")]

    assert survives(unedited, lambda: Article.objects.create(title="e", author=ann, editor=bob))
    assert not survives(unedited, lambda: Article.objects.create(title="u", author=ann))


def test_several_values(authors: list[Author]) -> None:
    ann, bob, cid = authors

    def both() -> list[str]:
        return [a.title for a in Article.objects.filter(author__in=[ann, bob]).order_by("pk")]

    assert survives(both, lambda: Article.objects.create(title="c", author=cid))
    assert not survives(both, lambda: Article.objects.create(title="b", author=bob))


def test_a_unique_text_column(authors: list[Author]) -> None:
    def by_slug() -> str:
        return Author.objects.get(slug="ann").name

    kept = connection.vendor != "mysql"
    assert kept is survives(by_slug, lambda: Author.objects.create(name="d", slug="d"))
    assert not survives(
        lambda: Author.objects.filter(slug="ann").count(),
        lambda: Author.objects.filter(name="ann").update(slug="other"),
    )


def test_a_condition_on_a_joined_table(authors: list[Author]) -> None:
    def joined() -> list[str]:
        found = Article.objects.filter(author__slug="ann").order_by("pk")
        return [article.title for article in found]

    bob = Author.objects.get(pk=authors[1].pk)
    bob.active = False
    assert survives(joined, lambda: bob.save())
    if connection.vendor != "mysql":
        assert survives(joined, lambda: Author.objects.create(name="e", slug="e"))


def test_a_reverse_manager_and_its_count(authors: list[Author]) -> None:
    ann, bob, _ = authors
    article = first_of(ann)
    Comment.objects.create(article=article, text="one")

    def comments() -> tuple[int, list[str]]:
        return article.comments.count(), [c.text for c in article.comments.order_by("pk")]

    other = first_of(bob)
    assert survives(comments, lambda: other.comments.create(text="elsewhere"))
    assert not survives(comments, lambda: article.comments.create(text="here"))


def test_a_one_to_one_from_behind(authors: list[Author]) -> None:
    ann, bob, _ = authors
    Profile.objects.create(author=ann, biography="a")

    def biography() -> str:
        return Author.objects.get(pk=ann.pk).profile.biography

    assert survives(biography, lambda: Profile.objects.create(author=bob, biography="b"))


def test_created_and_saved_in_one_transaction(authors: list[Author]) -> None:
    ann, bob, _ = authors

    def write() -> None:
        with transaction.atomic():
            article = Article.objects.create(title="x", author=ann)
            article.body = "more"
            article.save()

    returns = connection.vendor != "mysql"
    assert survives(lambda: of(bob), write) or not returns
    assert not survives(lambda: of(ann), write)


@pytest.mark.skipif(connection.vendor == "mysql", reason="its counters go back with a COMMIT only")
def test_a_row_that_takes_the_key_of_one_deleted_before_it(authors: list[Author]) -> None:
    """In one transaction, as when a table is loaded anew."""
    ann, bob = authors[:2]
    table = Profile._meta.db_table
    old = Profile.objects.create(author=ann)
    pk = old.pk
    of_each = [Profile.objects.filter(author=author) for author in (ann, bob)]

    def counts() -> list[int]:
        return [queryset.count() for queryset in of_each]

    assert [1, 0] == counts()
    with transaction.atomic():
        old.delete()
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                last = "UPDATE sqlite_sequence SET seq = %s WHERE name = %s"
                cursor.execute(last, [pk - 1, table])
            else:
                name = f"pg_get_serial_sequence('{table}', 'id')"
                cursor.execute(f"SELECT setval({name}, %s, false)", [pk])
        assert pk == Profile.objects.create(author=bob).pk
    assert [0, 1] == counts()


def test_a_savepoint_does_not_hide_where_a_row_was(authors: list[Author]) -> None:
    """The row moves away and back: both partitions may have seen it in between."""
    ann, _, cid = authors

    def write() -> None:
        with transaction.atomic():
            article = Article.objects.get(title="ann 1")
            article.author = cid
            article.save()
            try:
                with transaction.atomic():
                    article.author = ann
                    article.save()
                    raise ValueError
            except ValueError:
                pass

    assert not survives(lambda: of(ann), write)
    Article.objects.filter(title="ann 1").update(author=ann)
    assert not survives(lambda: of(cid), write)


def test_writers_of_another_scheme_reach_every_list(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions of the code partition differently: the one must not miss the other's lists."""
    ann = authors[0]
    article = Article.objects.filter(author=ann).order_by("-pk")[0]
    table = table_of(Article)
    newer = type(table.scheme)(b"new!", table.scheme.partitions[:0])
    of(ann)
    of(ann)
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "scheme_on", lambda self, vendor: newer)
        article.views = 50
        article.save()
    assert article.title == of(ann)[0]


@pytest.mark.parametrize("lives", [True, False], ids=["released", "killed"])
def test_the_lists_stamp_passes_to_another_scheme_before_the_commit(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    """While a newer version of the code is rolled out, and the stamp was lost."""
    table = table_of(Article)
    title = Partition("title", table.positions["title"], str, Article._meta.get_field("title"))
    newer = Scheme(b"new!", (*table.scheme.partitions, title))
    mark = Writer.mark

    def count(*, anew: bool = False) -> int:
        """In a process of the newer code, whose lists are told apart by title as well."""

        def scheme_on(each: Any, vendor: str) -> Scheme:
            return newer if each is table else each.scheme

        with monkeypatch.context() as patch:
            patch.setattr(type(table), "scheme_on", scheme_on)
            dependencies.forget()
            queryset = Article.objects.filter(title="m")
            found = (queryset.reset() if anew else queryset).count()
        dependencies.forget()
        return found

    def lose_and_count() -> None:
        lists = runtime.current().keys(state_of(connection).label, table.name).lists
        runtime.current().reader.drop([lists])
        assert 0 == count()

    step = once(lose_and_count)

    def mark_and_step(*args: Any, **kwargs: Any) -> Any:
        marked = mark(*args, **kwargs)
        step()
        return marked

    article = Article.objects.first()
    assert article is not None
    assert 0 == Article.objects.filter(title="m").count()
    Article.objects.get(pk=article.pk)
    monkeypatch.setattr(Writer, "mark", mark_and_step)
    if not lives:
        monkeypatch.setattr(Writer, "release", lambda *_: Released(0, []))
    changed, stale = counters["release_scheme_changed"], counters["list_stale"]
    Article.objects.filter(pk=article.pk).update(title="m")
    assert changed + lives == counters["release_scheme_changed"]
    if not lives:
        # Stale until the timeout: whoever makes it anew counts that.
        assert 0 == count()
        assert 1 == count(anew=True)
    assert stale + (not lives) == counters["list_stale"]
    assert 1 == count()


def test_what_a_release_found_counts_though_the_stamp_cannot_be_dropped(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Writer, keys: Any) -> None:
        raise StoreError("gone in between")

    monkeypatch.setattr(Writer, "release", lambda *_: Released(2, [b"stamp"]))
    monkeypatch.setattr(Writer, "drop", refuse)
    names = ("release_mark_lost", "release_scheme_changed", "release_failed")
    before = [counters[name] for name in names]
    Author.objects.filter(pk=authors[0].pk).update(name="n")
    assert [2, 1, 1] == [counters[name] - old for name, old in zip(names, before, strict=True)]


def test_readers_of_another_scheme_rely_on_whole_tables(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = authors[0]
    Article.objects.order_by("pk").exists()
    assert not runtime.current().store.breaker.is_open
    table = table_of(Article)
    newer = type(table.scheme)(b"new!", table.scheme.partitions)
    of(authors[1])
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "scheme_on", lambda self, vendor: newer)

        ormcache.analysis.dependencies.forget()
        of(ann)
        hits = counters["list_hit"]
        of(ann)
        assert hits + 1 == counters["list_hit"]
    ormcache.analysis.dependencies.forget()
    article = Article.objects.filter(author=ann).order_by("-pk")[0]
    article.views = 50
    article.save()
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "scheme_on", lambda self, vendor: newer)
        ormcache.analysis.dependencies.forget()
        assert article.title == of(ann)[0]
    ormcache.analysis.dependencies.forget()


def test_an_update_of_many_touches_its_rows_only(authors: list[Author]) -> None:
    ann, bob, _ = authors
    mine = Article.objects.filter(author=bob).order_by("pk")[0]

    def publish() -> None:
        count = Article.objects.filter(title__startswith="ann").update(published=True)
        assert 3 == count

    assert survives(lambda: of(bob), publish)
    hits = counters["row_hit"]
    Article.objects.get(pk=mine.pk)
    assert hits + 1 == counters["row_hit"]
    assert [] == of(ann)
    assert 3 == Article.objects.filter(title__startswith="ann").update(published=False)
    assert 3 == len(of(ann))
    assert 0 == Article.objects.filter(title="nothing").update(published=True)


def test_a_cascade_touches_its_rows_only(authors: list[Author]) -> None:
    ann, bob, _ = authors
    for article in Article.objects.order_by("pk"):
        Comment.objects.create(article=article, text=article.title)
    doomed, other = first_of(ann), first_of(bob)
    kept = other.comments.get()
    Comment.objects.get(pk=kept.pk)

    def comments() -> list[str]:
        return [comment.text for comment in other.comments.order_by("pk")]

    assert survives(comments, lambda: doomed.delete())
    hits = counters["row_hit"]
    Comment.objects.get(pk=kept.pk)
    assert hits + 1 == counters["row_hit"]
    assert not Comment.objects.filter(article=doomed.pk or 0).exists()


def test_a_move_before_an_update_of_many(authors: list[Author]) -> None:
    """The statement returns where the row is now, which is not where readers saw it."""
    ann, _, cid = authors
    article = first_of(ann)
    Article.objects.filter(pk=article.pk).update(body="not cached any more")

    def write() -> None:
        with transaction.atomic():
            Article.objects.filter(pk=article.pk).update(author=cid)
            Article.objects.filter(title=article.title).update(published=True)

    assert not survives(lambda: of(ann), write)


def test_a_many_to_many_of_another_row(authors: list[Author]) -> None:
    from tests.testapp.models import Tag

    one, other = Article.objects.order_by("pk")[:2]
    tags = [Tag.objects.create(name=name) for name in "abc"]
    other.tags.set(tags)

    def names() -> list[str]:
        return [tag.name for tag in other.tags.order_by("name")]

    assert survives(names, lambda: one.tags.add(tags[0]))
    assert survives(names, lambda: one.tags.set(tags[1:]))
    assert survives(names, lambda: one.tags.remove(tags[1]))
    assert survives(names, lambda: one.tags.clear())
    assert not survives(names, lambda: other.tags.remove(tags[0]))
    assert not survives(names, lambda: tags[0].articles.add(other))
    assert not survives(names, lambda: tags[1].articles.clear())


@pytest.mark.mariadb
@pytest.mark.parametrize(("column", "highest"), [("integer", 2**31 - 1), ("tinyint", 127)])
@isolate_apps("tests.testapp")
def test_numbers_beyond_the_column(ormcache_redis: RedisServer, column: str, highest: int) -> None:
    """INSERT IGNORE makes the nearest number of them, and the column may be narrower than its
    field."""

    class Seat(CachedModel):
        number = models.IntegerField(unique=True)

        class Meta:
            app_label = "testapp"

    def taken() -> int:
        return Seat.objects.filter(number=highest).count()

    with connection.schema_editor() as editor:
        editor.create_model(Seat)
    try:
        sql(f"ALTER TABLE testapp_seat MODIFY number {column} NOT NULL")
        assert [0, 0] == [taken(), taken()]
        Seat.objects.bulk_create([Seat(number=highest + 1)], ignore_conflicts=True)
        assert [1, 1] == [taken(), taken()]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Seat)
