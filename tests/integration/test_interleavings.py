"""Random writes between the steps of a random read: whatever it leaves in the cache has to be
right, after further writes as well."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

import ormcache
from ormcache import runtime
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Tag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]

SECONDS = 20
STEPS = 5
"""Of a read: commands to the store and statements."""
MOST = 6
"""Rows."""

Read = Callable[[], Any]
A = Article.objects
OFTEN = A.filter(published=True, views__gt=5)


def anns() -> Any:
    return A.filter(author=Author.nocache.earliest("pk"), views__gt=5)


def tag() -> Tag:
    return Tag.nocache.earliest("pk")


def pks(queryset: Any) -> list[int]:
    return [each.pk for each in queryset]


READS: dict[str, Read] = {
    "count": lambda: OFTEN.count(),
    "sum": lambda: OFTEN.aggregate(Sum("views")),
    "exists": lambda: A.filter(published=False, views__gt=15).exists(),
    "values": lambda: list(OFTEN.order_by("pk").values_list("pk", "views")),
    "list": lambda: pks(OFTEN.order_by("pk")),
    "head": lambda: pks(OFTEN.order_by("views", "pk")[:2]),
    "page": lambda: pks(OFTEN.order_by("views", "pk")[1:3]),
    "partition": lambda: anns().count(),
    "partition, list": lambda: pks(anns().order_by("-views", "pk")[:3]),
    "link": lambda: A.filter(tags=tag(), published=True).count(),
    "link, list": lambda: pks(A.filter(tags=tag(), views__gt=5).order_by("pk")),
    "links": lambda: list(A.filter(tags__name__in="ab").order_by("pk").values_list("pk", "views")),
}  # fmt: skip


def change(rng: random.Random) -> None:
    """One column, mostly of the youngest row, which others are likely to have written, too; and
    mostly with its old values in the cache: what changes is known exactly."""
    values: list[dict[str, Any]] = [
        {"views": rng.choice([0, 20])},
        {"published": rng.random() < 0.5},
        {"author": rng.choice(Author.nocache.all())},
        {"title": "t"},
    ]
    known = pks(Article.nocache.order_by("pk"))
    if known:
        pk = known[-1] if rng.random() < 0.85 else rng.choice(known)
        if rng.random() < 0.9:
            A.filter(pk=pk).first()
        A.filter(pk=pk).update(**rng.choices(values, [6, 6, 1, 1])[0])


def create(rng: random.Random) -> None:
    if Article.nocache.count() < MOST:
        author = rng.choice(Author.nocache.all())
        A.create(title="new", author=author, published=rng.random() < 0.8, views=20)


def delete(rng: random.Random) -> None:
    each = Article.nocache.order_by("?").first()
    if each is not None:
        if rng.random() < 0.8:
            A.get(pk=each.pk)
        each.delete()


def link(rng: random.Random) -> None:
    each = Article.nocache.order_by("?").first()
    if each is not None:
        rng.choice([each.tags.add, each.tags.remove])(rng.choice(Tag.nocache.all()))


def several(rng: random.Random) -> None:
    with transaction.atomic():
        for _ in range(2):
            rng.choice(WRITES[:-2])(rng)


def undone(rng: random.Random) -> None:
    with transaction.atomic():
        with transaction.atomic():
            rng.choice(WRITES[:-2])(rng)
            transaction.set_rollback(True)
        rng.choice(WRITES[:-2])(rng)


WRITES = [change, create, delete, link, several, undone]


def write(rng: random.Random) -> None:
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        rng.choices(WRITES, [10, 3, 1, 1, 1, 1])[0](rng)


@contextmanager
def before_step(number: int, do: Callable[[], None]) -> Iterator[None]:
    """Somebody else does something before the reader's step of this number, if it gets there."""
    store: Any = runtime.current().store
    left = [number]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            elsewhere(do)

    def execute(run: Any, *given: Any) -> Any:
        step()
        return run(*given)

    def told(call: Any) -> Any:
        def instead(*given: Any) -> Any:
            if left[0] > 0:
                step()
            return call(*given)

        return instead

    store.run, store.mget = told(store.run), told(store.mget)
    try:
        with connection.execute_wrapper(execute):
            yield
    finally:
        del store.run, store.mget


def test_interleavings(ormcache_redis: RedisServer) -> None:
    seed = int(os.environ.get("ORMCACHE_TEST_SEED") or random.SystemRandom().getrandbits(32))
    seconds = float(os.environ.get("ORMCACHE_TEST_SECONDS") or SECONDS)
    rng = random.Random(seed)
    for slug in ("ann", "bob"):
        Author.objects.create(name=slug, slug=slug)
    for name in "abc":
        Tag.objects.create(name=name)
    for _ in range(4):
        create(rng)
    found, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        name = rng.choice(["count", "sum", *READS])
        READS[name]()
        write(rng)
        with before_step(rng.randint(1, STEPS), lambda: write(rng)):
            READS[name]()
        write(rng)
        for other in {name, rng.choice(list(READS))}:
            with ormcache.bypass():
                expected = READS[other]()
            assert expected == READS[other](), f"{other}, after {found} reads of seed {seed}"
            found += 1
    print(f"{found} reads")
