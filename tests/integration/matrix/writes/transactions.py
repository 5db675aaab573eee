"""Writes in transactions of every form, in hooks and in signal handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from tests.integration.matrix.world import MARIADB, POSTGRES, World
from tests.integration.matrix.writes.types import Write, save, save_some, sql
from tests.testapp.models import Article, Author, Comment, Tag


def in_savepoints(world: World) -> None:
    article = world.article
    with transaction.atomic():
        save(article, title="outer")
        try:
            with transaction.atomic():
                save(article, title="inner", author=world.bob)
                raise ValueError
        except ValueError:
            pass
        save_some(article, views=77)


def inner_only(world: World) -> None:
    with transaction.atomic():
        with transaction.atomic():
            save(world.article, author=world.bob)
        Tag.objects.create(name="outer")


def rolled_back(world: World) -> None:
    with transaction.atomic():
        save(world.article, title="never")
        Article.objects.filter(published=True).delete()
        transaction.set_rollback(True)


def raised(world: World) -> None:
    try:
        with transaction.atomic():
            list(Article.objects.order_by("pk"))
            Article.objects.update(title="never", author=world.bob)
            list(Article.objects.order_by("pk"))
            raise ValueError
    except ValueError:
        pass


def read_between(world: World) -> None:
    """What a transaction reads of its own must not be kept, nor what it read before."""
    with transaction.atomic():
        list(Article.objects.filter(author=world.ann).order_by("pk"))
        Article.objects.update(views=44)
        list(Article.objects.filter(author=world.ann).order_by("pk"))
        list(Article.objects.order_by("pk").values("title", "author__name"))
        Author.objects.get(pk=world.ann.pk)
        save(world.ann, name="between")


def raw_savepoint(world: World) -> None:
    with transaction.atomic():
        save(world.ann, name="kept")
        sql("SAVEPOINT own")
        save(world.bob, name="undone")
        sql("ROLLBACK TO SAVEPOINT own")
        Tag.objects.create(name="after")


def savepoint_api(world: World) -> None:
    savepoint = getattr(transaction, "savepoint_create", None) or transaction.savepoint
    with transaction.atomic():
        sid = savepoint()
        save(world.ann, name="undone")
        transaction.savepoint_rollback(sid)
        sid = savepoint()
        save(world.bob, name="kept")
        transaction.savepoint_commit(sid)


def raw_begin(world: World) -> None:
    sql("START TRANSACTION" if MARIADB else "BEGIN")
    sql("UPDATE testapp_tag SET name = 'begun' WHERE name = 'a'")
    sql("UPDATE testapp_author SET name = 'begun'")
    sql("COMMIT")


def raw_rollback(world: World) -> None:
    sql("BEGIN")
    sql("UPDATE testapp_tag SET name = 'undone' WHERE name = 'a'")
    sql("DELETE FROM testapp_comment")
    sql("ROLLBACK")


@contextmanager
def without_autocommit() -> Iterator[None]:
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def autocommit_off(world: World) -> None:
    ann, bob = world.ann, world.bob
    with without_autocommit():
        save(ann, name="first")
        transaction.commit()
        save(bob, name="undone")
        transaction.rollback()
        Tag.objects.create(name="second")
        transaction.commit()


def autocommit_back_on(world: World) -> None:
    """Turning it on again commits."""
    ann = world.ann
    transaction.set_autocommit(False)
    save(ann, name="pending")
    list(Author.objects.order_by("pk"))
    transaction.set_autocommit(True)


def on_commit(world: World) -> None:
    with transaction.atomic():
        save(world.ann, name="committed")
        transaction.on_commit(lambda: save(world.bob, name="hooked"))
        transaction.on_commit(lambda: list(Author.objects.order_by("pk")))
        transaction.on_commit(lambda: sql("UPDATE testapp_tag SET name = 'hooked' WHERE name='a'"))


def on_commit_of_rollback(world: World) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: save(world.bob, name="never"))
        save(world.ann, name="never")
        transaction.set_rollback(True)


def durable(world: World) -> None:
    with transaction.atomic(durable=True):
        Author.objects.filter(slug="ann").update(name="durable")


def without_savepoint(world: World) -> None:
    with transaction.atomic(), transaction.atomic(savepoint=False):
        save(world.ann, name="no savepoint")


def handled(signal: Any, sender: Any, handle: Callable[..., Any], write: Write) -> Write:
    """``write`` while ``handle`` is connected."""

    def run(world: World) -> None:
        receiver = lambda **kwargs: handle(world, **kwargs)  # noqa: E731
        signal.connect(receiver, sender=sender, weak=False)
        try:
            write(world)
        finally:
            signal.disconnect(receiver, sender=sender)

    return run


def count_views(world: World, instance: Any, **kwargs: Any) -> None:
    Article.objects.filter(pk=instance.article_id).update(views=500)


def rename_author(world: World, instance: Any, **kwargs: Any) -> None:
    save(world.ann, name="by signal")


def read_early(world: World, instance: Any, **kwargs: Any) -> None:
    """A receiver that reads what is being written."""
    Article.objects.get(pk=instance.pk)
    list(Article.objects.filter(author=world.ann).order_by("pk"))


def many_in_one(world: World) -> None:
    with transaction.atomic():
        article = Article.objects.create(title="one", author=world.ann)
        article.tags.set(world.tags)
        Comment.objects.create(article=article, text="one")
        world.articles[0].delete()
        Article.objects.filter(author=world.bob).update(views=12)
        sql("UPDATE testapp_category SET title = 'one'")
        Author.objects.filter(slug="bob").delete()


WRITES: dict[str, Write] = {
    "savepoint rolled back": in_savepoints,
    "savepoint kept": inner_only,
    "rollback": rolled_back,
    "rollback by error": raised,
    "reads between writes": read_between,
    "raw savepoint": raw_savepoint,
    "savepoint API": savepoint_api,
    "raw BEGIN and COMMIT": raw_begin,
    "raw BEGIN and ROLLBACK": raw_rollback,
    "set_autocommit(False)": autocommit_off,
    "on_commit": on_commit,
    "on_commit of a rollback": on_commit_of_rollback,
    "atomic(durable)": durable,
    "atomic(savepoint=False)": without_savepoint,
    "many in one": many_in_one,
    "post_save handler": handled(
        post_save,
        Comment,
        count_views,
        lambda w: Comment.objects.create(article=w.article, text="signal"),
    ),
    "post_delete handler": handled(
        post_delete, Comment, count_views, lambda w: w.comment.delete()
    ),
    "m2m_changed handler": handled(
        m2m_changed, Article.tags.through, rename_author, lambda w: w.article.tags.clear()
    ),
    "pre_save handler that reads": handled(
        pre_save, Article, read_early, lambda w: save(w.article, title="early", author=w.bob)
    ),
    "post_save handler that reads": handled(
        post_save, Article, read_early, lambda w: save(w.article, title="late", author=w.bob)
    ),
    "cursor in atomic": lambda w: _cursor_in_atomic(),
}

if not POSTGRES:  # Its driver refuses that in a transaction.
    WRITES["set_autocommit(True) commits"] = autocommit_back_on


def _cursor_in_atomic() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_article SET title = 'cursor' WHERE views = 1")
        list(Article.objects.order_by("pk"))
        cursor.execute("DELETE FROM testapp_label")
