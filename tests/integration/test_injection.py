"""An exception wherever one can strike in the cache, as a time limit may: one at a time.

Signals and other threads are heard where a function begins and where one written in C has
returned. After each, reads are right, nobody waits, and no reply is another's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
import redis
from django.db import connection, transaction

import ormcache
from ormcache.exceptions import StoreError
from ormcache.outage.check import check_outbox_now
from ormcache.writes.hooks import state_of
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

PACKAGES = (os.path.dirname(ormcache.__file__), os.path.dirname(redis.__file__))
STEP = 3 if os.environ.get("ORMCACHE_TEST_THOROUGH") else 29
"""One point of so many is tried; another one in each run."""


class TimeLimit(Exception):
    """As of a job: no error of the cache, of Django, of a driver."""


class Injection:
    """Raises at the point of that number in the cache or the driver of Redis, in this thread."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.left = at
        self.error = error
        self.where = ""

    def __enter__(self) -> Injection:
        sys.setprofile(self._strike)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _strike(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if (
            event not in ("call", "c_return")
            or not code.co_filename.startswith(PACKAGES)
            # Python itself swallows what strikes while it closes a generator.
            or code.co_name == "<genexpr>"
            # As good as in Django, which calls it in a ``finally`` of its own.
            or (event, code.co_name) == ("call", "set_autocommit")
        ):
            return
        self.left -= 1
        if self.left == 0:
            sys.setprofile(None)
            self.where = f"{event} {code.co_filename}:{frame.f_lineno}"
            raise self.error


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    return Author.objects.create(name="0", slug="a")


def read(pk: int) -> tuple[str, list[str], int]:
    return (
        Author.objects.get(pk=pk).name,
        [each.name for each in Author.objects.order_by("name")],
        Author.objects.count(),
    )


def get(author: Author) -> None:
    Author.objects.get(pk=author.pk)


def fetch(author: Author) -> None:
    list(Author.objects.order_by("name"))


def fill(author: Author) -> None:
    ormcache.invalidate(Author)
    fetch(author)


def look(author: Author) -> None:
    with suppress(StoreError):
        check_outbox_now(state_of(connection))


def another(author: Author) -> str:
    return str(int(Author.nocache.get(pk=author.pk).name) + 1)


def save(author: Author) -> None:
    author.name = another(author)
    author.save()


def update(author: Author) -> None:
    Author.objects.filter(slug="a").update(name=another(author))


def update_and_commit(author: Author) -> None:
    """An application that swallows the limit, and commits."""
    new = another(author)
    with transaction.atomic(), suppress(TimeLimit):
        Author.objects.filter(slug="a").update(name=new)


def statement(author: Author) -> None:
    new = another(author)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = %s", [new])


@pytest.mark.parametrize(
    "do", [get, fetch, fill, look, save, update, update_and_commit, statement]
)
@pytest.mark.parametrize("error", [TimeLimit, TimeoutError])
def test_an_exception_at_every_point(
    author: Author, do: Callable[[Author], None], error: type[BaseException]
) -> None:
    read(author.pk)
    at = 1 + os.getpid() % STEP
    tried = 0
    while True:
        read(author.pk)
        injection = Injection(at, error)
        came_out = False
        try:
            with injection:
                do(author)
        except error:
            came_out = True
        finally:
            sys.setprofile(None)
        if not injection.where:
            break
        tried += 1
        place = injection.where
        assert came_out or do is update_and_commit, place
        assert not connection.in_atomic_block, place
        assert connection.get_autocommit(), place
        with ormcache.bypass():
            expected = read(author.pk)
        assert [expected] * 2 == [read(author.pk), read(author.pk)], place
        assert expected == elsewhere(lambda: read(author.pk)), place
        at += STEP
    assert tried
