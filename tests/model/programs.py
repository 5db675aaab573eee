"""What the actors do: ordinary code on a model, of which nothing knows that it is checked."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Func, TextField

from ormcache import runtime, stable
from ormcache.outage import outbox
from tests.model.database import TABLE
from tests.model.explore import Read, Write
from tests.testapp.models import Comment


@stable
class TextOfTwo(Func):
    """The text of row 2, which nothing in the query shows: only ``depends_on`` can tell."""

    template = f'(SELECT c.text FROM "{TABLE}" c WHERE c.id = 2 AND %(expressions)s > 0)'
    arity = 1
    output_field = TextField()


# Reads


def row(pk: int) -> Read:
    """One row by its key."""

    def read() -> dict[str, Any]:
        return {"text": getattr(Comment.objects.filter(pk=pk).first(), "text", None)}

    def get() -> dict[str, Any]:
        try:
            return {"text": Comment.objects.get(pk=pk).text}
        except Comment.DoesNotExist:
            return read()

    return Read(f"row {pk}", get)


def count(name: str = "count", **conditions: Any) -> Read:
    """How many rows there are of a partition, of a text, or at all."""

    def read() -> dict[str, Any]:
        return {"count": Comment.objects.filter(**conditions).count()}

    return Read(f"{name} {' '.join(map(str, conditions.values()))}".rstrip(), read)


def rows_of(article: int) -> Read:
    """The rows of a partition as instances: a list of pointers, and each row."""

    def read() -> dict[Any, Any]:
        found = list(Comment.objects.filter(article=article))
        return {"pks": sorted(each.pk for each in found), **{each.pk: each.text for each in found}}

    def oracle() -> dict[Any, Any]:
        everything = {each.pk: each.text for each in Comment.objects.all()}
        return read() | everything

    return Read(f"rows of {article}", read, oracle)


def matching(text: str, article: int = 1) -> Read:
    """The rows of a partition that have a text, as instances."""

    def read() -> dict[Any, Any]:
        found = list(Comment.objects.filter(article=article, text=text))
        return {"pks": sorted(each.pk for each in found)}

    return Read(f"rows of {article} with {text}", read)


def depending(article: int) -> Read:
    """Values that depend on row 2 by declaration alone."""

    def read() -> dict[str, Any]:
        found = Comment.objects.filter(article=article).annotate(two=TextOfTwo(F("id")))
        found = found.cache(depends_on=[Comment(pk=2)])
        return {"two": list(found.values_list("two", flat=True))}

    return Read("depends on 2", read)


def in_snapshot(pk: int) -> Read:
    """One row in a transaction that has chosen its snapshot before. What it is told itself may be
    old, that is what such transactions are for; what it leaves in the cache may not."""

    def read() -> dict[str, Any]:
        with transaction.atomic():
            Comment.nocache.count()
            return {"text": Comment.objects.get(pk=pk).text}

    return Read(f"snapshot of {pk}", read, is_checked=False)


def after_its_snapshot(each: Read) -> Read:
    """The same in a transaction that has chosen its snapshot before. Only what it leaves in the
    cache counts."""

    def read() -> dict[Any, Any]:
        with transaction.atomic():
            Comment.nocache.count()
            return dict(each.program())

    return replace(each, program=read, is_checked=False)


def named(name: str, each: Read) -> Read:
    return replace(each, name=name)


def later(each: Read) -> Read:
    """The same when the outbox was last looked into a while ago."""

    def read() -> dict[Any, Any]:
        time.sleep(outbox.INTERVAL)
        return dict(each.program())

    oracle = each.oracle or each.program
    return Read(f"{each.name} later", read, oracle, each.is_checked, looks=True)


def after_reading(each: Read, first: Read | None = None) -> Read:
    """A read by a process that has read before. What it is told first is not checked."""
    before = first or each

    def read() -> dict[Any, Any]:
        before.program()
        _begin()
        return dict(each.program())

    return replace(each, program=read, oracle=each.oracle or each.program)


def after_writing(write: Write, each: Read) -> Read:
    """A read by a process that has written before."""

    def read() -> dict[Any, Any]:
        write.program()
        _begin()
        return dict(each.program())

    return replace(each, program=read, oracle=each.oracle or each.program, write=write)


def _begin() -> None:
    store: Any = runtime.current().store
    store.begin()


# Writes


def update(name: str, pk: int, **values: Any) -> Write:
    return Write(name, lambda: Comment.objects.filter(pk=pk).update(**values))


def save(name: str, pk: int, article: int, text: str) -> Write:
    return Write(name, lambda: Comment(pk=pk, article_id=article, text=text).save())


def bulk(name: str, among: int, **values: Any) -> Write:
    """An UPDATE that does not name its rows; the database returns them."""
    return Write(name, lambda: Comment.objects.filter(article=among).update(**values))


def insert(name: str, article: int, text: str, pk: int | None = None) -> Write:
    return Write(name, lambda: Comment.objects.create(pk=pk, article_id=article, text=text))


def delete(name: str, pk: int) -> Write:
    return Write(name, lambda: Comment.objects.filter(pk=pk).delete())


def exchange(name: str, one: int, other: int, text: str) -> Write:
    """Two rows written in one transaction: they exchange two texts."""

    def write() -> None:
        with transaction.atomic():
            Comment.objects.filter(pk=one).update(text=f"no {text}")
            Comment.objects.filter(pk=other).update(text=text)

    return Write(name, write)


def statement(name: str, change: str, where: str, *, atomic: bool) -> Write:
    """SQL by hand, whose rows nobody knows; in a transaction, or committing by itself."""

    def execute() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'UPDATE "{TABLE}" SET {change} WHERE {where}')

    def write() -> None:
        if not atomic:
            return execute()
        with transaction.atomic():
            execute()

    return Write(name, write)


def naming(name: str, pk: int, text: str) -> Write:
    """SQL by hand that names its row, commits by itself and returns something."""

    def write() -> None:
        with connection.cursor() as cursor:
            key = f'"{TABLE}"."id"'
            sql = f'UPDATE "{TABLE}" SET "text" = %s WHERE {key} = %s RETURNING {key}'
            cursor.execute(sql, [text, pk])

    return Write(name, write)
