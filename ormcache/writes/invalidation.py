"""From what a transaction wrote to the cells it marks, before the commit and after."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ormcache import runtime
from ormcache.coherence.writer import MARK_MS, Marked, new_token
from ormcache.stats import counters
from ormcache.writes.changes import TableChanges
from ormcache.writes.errors import InvalidationFailed
from ormcache.writes.pending import Pending

logger = logging.getLogger("ormcache")

STATEMENT_MARK_MS = 60_000
"""Life of marks set before a statement that commits by itself: it may wait for a lock first."""


class Invalidation:
    """The marks of one transaction: ``mark`` before its COMMIT, ``release`` after it.

    Never released when the outcome is unknown: the marks then expire by themselves.
    """

    def __init__(self, database: str, vendor: str) -> None:
        self._database = database
        self._vendor = vendor
        self._token = new_token()
        self._marked: list[bytes] = []
        self._unlink: list[bytes] = []

    def mark(self, pending: Pending, ttl_ms: int = MARK_MS, *, holds_locks: bool = True) -> None:
        """Mark every cell the transaction touches: one round trip for the rows and what is known
        to change, a second for what the old rows show to have changed.

        Without ``holds_locks`` on the rows, what their cells held tells nothing: others may still
        commit before the statement does.

        Raises ``InvalidationFailed`` when the store does not take the marks, and nothing else:
        after any other error Django would not roll back.
        """
        try:
            self._mark(pending, ttl_ms, holds_locks)
        except Exception as error:
            counters["store_error"] += 1
            raise InvalidationFailed(
                f"The transaction was not committed: its rows could not be invalidated ({error}). "
                "Readers would have been served old data."
            ) from error

    def _mark(self, pending: Pending, ttl_ms: int, holds_locks: bool) -> None:
        changes = [
            TableChanges(
                runtime.current().keys(self._database, name),
                writes,
                writes.table.roster_on(self._vendor) if writes.table else None,
            )
            for name, writes in pending.tables.items()
        ]
        known = [key for each in changes for key in each.known_stamps()]
        rows = [(each, pk) for each in changes for pk in each.writes.rows]
        marked = self._send(
            [*(each.keys.row(pk) for each, pk in rows), *known],
            ttl_ms,
            [key for each in changes for key in (each.keys.generation, each.keys.lists)],
            [key for each in changes for key in each.reverse_keys()],
        )
        self._unlink = [key for members in marked.lists for key in members]
        more: set[bytes] = set()
        for each, generation, lists in zip(
            changes, marked.looked_up[::2], marked.looked_up[1::2], strict=True
        ):
            each.generation, each.epoch = generation, marked.epoch
            more.update(_all_or_whole(each, each.inserted_stamps(lists)))
        for (each, pk), old in zip(rows, marked.old, strict=False):
            more.update(_all_or_whole(each, each.row_stamps(pk, old if holds_locks else None)))
        more.difference_update(known)
        if more:
            self._send(sorted(more), ttl_ms)

    def _send(
        self,
        keys: list[bytes],
        ttl_ms: int,
        look_up: list[bytes] | None = None,
        list_sets: list[bytes] | None = None,
    ) -> Marked:
        # Noted first: a mark whose reply is lost may be there all the same.
        self._marked += keys
        counters["mark"] += len(keys)
        return runtime.current().writer.mark(
            self._token, keys, look_up=look_up or (), list_sets=list_sets or (), ttl_ms=ttl_ms
        )

    def release(self) -> None:
        """Make the marked cells free again: one round trip. Never raises: the database has
        committed, and marks that stay expire by themselves."""
        marked, self._marked = self._marked, []
        if not marked:
            return
        try:
            lost = runtime.current().writer.release(self._token, marked, self._unlink)
        except Exception as error:
            counters["release_failed"] += 1
            logger.warning("ormcache.release.failed: %s", error)
            return
        counters["release"] += len(marked)
        counters["release_mark_lost"] += lost


def _all_or_whole(changes: TableChanges, stamps: Iterator[bytes]) -> list[bytes]:
    """The stamps; those of the whole table when they cannot be worked out."""
    try:
        return list(stamps)
    except Exception:
        logger.exception("ormcache.invalidation.coarse: %s", changes.keys.table)
        return [changes.keys.generation, changes.keys.lists]
