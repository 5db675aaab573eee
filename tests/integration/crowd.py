"""Readers in other threads, and lists whose leases and expiry a test sets by hand."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections

from ormcache import cells
from tests.integration.interleave import LONGEST
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

LIST: Any = Author.objects.order_by("name")
VALUES: Any = LIST.values_list("name", flat=True)


def names() -> list[str]:
    return [each.name for each in LIST.all()]


def rename(author: Author, name: str) -> None:
    Author.objects.filter(pk=author.pk).update(name=name)


@contextmanager
def unseen() -> Iterator[None]:
    """Writes that no cache can know of: only time ends what is cached."""
    hooks, connection.execute_wrappers = connection.execute_wrappers, []
    try:
        yield
    finally:
        connection.execute_wrappers = hooks


def change_unseen(name: str) -> None:
    with unseen(), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_author SET name = %s", [name])


def add_unseen(name: str) -> None:
    with unseen(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO testapp_author (name, slug, active, created)"
            " SELECT %s, %s, active, created FROM testapp_author LIMIT 1",
            [name, name],
        )


def lease_key(queryset: Any = LIST) -> bytes:
    return queryset._list_entry()._lease()  # type: ignore[no-any-return]


def put_lease(server: RedisServer, px: int | None = 60_000, queryset: Any = LIST) -> None:
    """Another process is at it."""
    with server.client() as client:
        client.set(lease_key(queryset), cells.pack_lease(bytes(8), bytes(8)), px=px)


def has_lease(server: RedisServer) -> bool:
    with server.client() as client:
        return bool(client.exists(lease_key()))


def rewrite(server: RedisServer, *, soft_in: float, cost: float, queryset: Any = LIST) -> None:
    """Let the list expire in ``soft_in`` seconds, after a fill that took ``cost``."""
    entry = queryset._list_entry().entry
    stamps = bytes(len(entry.stamps) * cells.STAMP_SIZE)
    end = cells.value_offset(cells.value_prefix(bytes(8), bytes(8), stamps))
    times = struct.pack(">df", time.time() + soft_in, cost)
    with server.client() as client:
        cell = client.get(entry.key)
        client.set(entry.key, cell[: end - len(times)] + times + cell[end:], keepttl=True)


class Reading:
    """A reader in another thread."""

    def __init__(self, read: Callable[[], Any] = names) -> None:
        self._got: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True)
        self._thread.start()

    def _run(self, read: Callable[[], Any]) -> None:
        try:
            self._got.append(read())
        except BaseException as error:
            self._got.append(error)
        finally:
            connections.close_all()

    @property
    def result(self) -> Any:
        self._thread.join(LONGEST)
        return self._got[0] if self._got else "the reader hangs"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.002)
