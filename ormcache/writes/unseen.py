"""Writes whose end nobody sees: in a transaction begun on the driver, in a pipeline.

They are marked before they run, as in autocommit. As nobody tells of the commit the marks stay,
and what was written is invalidated once more when the driver is next seen idle: the marks may
have expired before the commit.
"""

from __future__ import annotations

import logging

from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache.exceptions import InvalidationFailed
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.pending import Pending

logger = logging.getLogger("ormcache")


class Unseen:
    """Those of one connection."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[Invalidation, Pending]] = []

    def __bool__(self) -> bool:
        return bool(self._kept)

    def keep(self, invalidation: Invalidation, pending: Pending) -> None:
        """``invalidation`` has marked what ``pending`` says, and is not to be released yet."""
        self._kept.append((invalidation, pending))

    def release(self, *, committed: bool = True) -> None:
        """The end was seen after all."""
        while self._kept:
            self._kept.pop()[0].release(committed=committed)

    def settle(self, label: str, connection: BaseDatabaseWrapper) -> None:
        """It is over, whatever became of it."""
        # Taken out: noting something in the outbox is a statement, which looks again.
        kept, self._kept = self._kept, []
        try:
            while kept:
                marked, pending = kept[-1]
                again = Invalidation(label, connection)
                again.mark_done(pending, in_transaction=False)
                kept.pop()
                again.release()
                marked.release()
        except InvalidationFailed as error:
            logger.warning("ormcache.unseen.kept: %s", error)
        finally:
            # For the next time.
            self._kept = kept + self._kept
