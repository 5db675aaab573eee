"""A second connection: a thread of its own, which keeps a transaction open between steps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DatabaseError, connection, transaction

T = TypeVar("T")


class Session:
    """Everything in it runs in the thread; the calls return when that is done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._open: Any = None

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def run(self, function: Callable[..., T], *args: Any) -> T:
        return self._thread.submit(function, *args).result()

    def begin(self) -> None:
        self.run(self._begin)

    def end(self, *, commit: bool) -> None:
        self.run(self._end, commit)

    def close(self) -> None:
        if self.is_open:
            self.end(commit=False)
        self.run(lambda: connection.close())
        self._thread.shutdown()

    def _begin(self) -> None:
        block = transaction.atomic()
        try:
            block.__enter__()
        except DatabaseError:
            return  # SQLite, while the other connection writes.
        self._open = block

    def _end(self, commit: bool) -> None:
        block, self._open = self._open, None
        if not commit:
            transaction.set_rollback(True)
        try:
            block.__exit__(None, None, None)
        except DatabaseError:
            return  # A deferred constraint.
