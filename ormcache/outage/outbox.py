"""The outbox: invalidations that a transaction could not make, noted where it commits.

An entry is written in the very transaction it is about, so both are committed or neither is.
Whoever reaches the store afterwards replays it before a cached value is believed again
(``ormcache.outage.check``). It is then kept for a while, for all to see that somebody was cut off
from the store. The idea is that of the transactional outbox.
"""

from __future__ import annotations

import enum
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache import interrupts, runtime
from ormcache.cells import new_left_token
from ormcache.coherence.writer import MARK_MS
from ormcache.database.servers import set_apart
from ormcache.stats import counters

logger = logging.getLogger("ormcache")

INTERVAL = 1.0
"""Seconds for which a process believes that the outbox is empty after it was found so."""
KEPT = 30.0
"""Seconds an entry is kept after everybody had the time to see it."""
_BATCH = 500


class State(enum.Enum):
    """What a look into the outbox shows."""

    EMPTY = enum.auto()
    REPLAYED = enum.auto()
    """Nothing waits, but somebody was cut off from the store a moment ago."""
    WAITING = enum.auto()


def is_private(connection: Any) -> bool:
    """Whether the database lives in this process's memory: no other connection reaches it, so it
    has no outbox."""
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


# Of databases in memory, by label: what their outbox would hold.
_remembered: dict[str, set[bytes]] = {}


def remember(database: str, keys: Sequence[bytes]) -> None:
    """Keep cells to invalidate in the process, which is as good as in a database of its own."""
    kept = _remembered.setdefault(database, set())
    kept.update(keys)
    counters["outbox_put"] += 1
    # What this process believes was found out before.
    runtime.current().store.contact += 1


def recall(database: str) -> None:
    """Invalidate what was kept in the process. Raises ``StoreError``, and keeps it then."""
    keys = _remembered.pop(database, None)
    if not keys:
        return
    try:
        _invalidate(sorted(keys))
    except BaseException:
        _remembered.setdefault(database, set()).update(keys)
        raise
    counters["outbox_replayed"] += 1


def put(connection: BaseDatabaseWrapper, keys: Sequence[bytes], running_until: float = 0.0) -> int:
    """Note cells to invalidate, in the running transaction if there is one. Returns the key of
    the entry.

    Before ``running_until`` (Unix seconds) it is replayed again and again. Raises the database's
    error, as when the table is missing.
    """
    model = _model()
    entry = model(
        namespace=runtime.current().config.namespace,
        keys=json.dumps([key.decode("latin-1") for key in sorted(set(keys))]),
        running_until=running_until,
        kept_until=max(time.time(), running_until) + KEPT,
    )
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    # Not save(): nobody's signal receivers must run here.
    returned = model._base_manager._insert(
        [entry],
        fields=fields,
        using=connection.alias,
        returning_fields=[model._meta.pk],
    )
    counters["outbox_put"] += 1
    return int(returned[0][0])


def settle(connection: BaseDatabaseWrapper, entry: int, keys: Sequence[bytes]) -> int:
    """The statement the entry was put before is over: from now on one replay is enough. Returns
    the key of the entry, which is another if it took longer than the first one was kept."""
    entries = _model()._base_manager.using(connection.alias).filter(pk=entry)
    # It waits again: whoever replayed it while the statement ran may have been too early.
    if entries.update(waiting=True, running_until=0.0, kept_until=time.time() + KEPT):
        return entry
    return put(connection, keys)


def is_announced(connection: BaseDatabaseWrapper) -> bool:
    """Whether everybody has seen some entry that will still be there for a while."""
    entries = _model()._base_manager.using(connection.alias)
    since = time.time() - KEPT / 2
    known = entries.filter(namespace=runtime.current().config.namespace, announced__gt=since)
    return bool(known.exists())


def announce(connection: BaseDatabaseWrapper, entry: int) -> None:
    """Everybody has had the time to see the entry, which was committed."""
    now = time.time()
    with own_connection(connection) as other, other.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_table(other)} SET announced = %s, kept_until = %s WHERE id = %s",
            [now, now + KEPT, entry],
        )


def look(connection: BaseDatabaseWrapper) -> State:
    """What the outbox holds for this site. Not counted as a query of the application."""
    connection.ensure_connection()
    # The connection's own cursor, without the wrapper that counts and logs.
    cursor: Any = connection.create_cursor()
    try:
        with set_apart(connection):
            cursor.execute(
                f"SELECT waiting FROM {_table(connection)} WHERE namespace = %s "
                "ORDER BY waiting DESC LIMIT 1",
                [runtime.current().config.namespace],
            )
            found = cursor.fetchone()
    finally:
        cursor.close()
    if found is None:
        return State.EMPTY
    return State.WAITING if found[0] else State.REPLAYED


@contextmanager
def own_connection(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another connection to the same database, closed afterwards: it sees the newest commits,
    whatever transaction the first one is in."""
    other: Any = connection.copy()
    other.settings_dict["AUTOCOMMIT"] = True
    options = other.settings_dict["OPTIONS"]
    # Of a pool the first may hold the last; on SQLite it may hold the lock.
    options.pop("pool", None)
    if connection.vendor == "sqlite":
        options["timeout"] = 0.1
    try:
        yield other
    finally:
        other.close()


def replay(connection: BaseDatabaseWrapper) -> int:
    """Invalidate what the waiting entries name. Returns how many there were.

    Marking drops the value of a cell and the lease of whoever is about to fill it.
    Safe when several do it at once, and when it is cut off half-way.

    Raises ``StoreError``, or the database's error.
    """
    namespace = runtime.current().config.namespace
    done, last = 0, 0
    with connection.cursor() as cursor:
        table, keys = _table(connection), connection.ops.quote_name("keys")
        while True:
            cursor.execute(
                f"SELECT id, {keys}, running_until FROM {table} WHERE namespace = %s "
                f"AND waiting = %s AND id > %s ORDER BY id LIMIT {_BATCH}",
                [namespace, True, last],
            )
            entries = cursor.fetchall()
            if not entries:
                return done
            named = {key for _, text, _ in entries for key in json.loads(text)}
            _invalidate(sorted(key.encode("latin-1") for key in named))
            over = [entry for entry, _, until in entries if until <= time.time()]
            places = ", ".join(["%s"] * len(over))
            if over and _write(
                cursor, f"UPDATE {table} SET waiting = %s WHERE id IN ({places})", [False, *over]
            ):
                counters["outbox_replayed"] += len(over)
            done += len(entries)
            last = entries[-1][0]


def clear(connection: BaseDatabaseWrapper) -> None:
    """Delete the entries that have been replayed and were kept for long enough."""
    with connection.cursor() as cursor:
        _write(
            cursor,
            f"DELETE FROM {_table(connection)} "
            "WHERE namespace = %s AND waiting = %s AND kept_until < %s",
            [runtime.current().config.namespace, False, time.time()],
        )


def _write(cursor: Any, sql: str, params: list[Any]) -> bool:
    try:
        cursor.execute(sql, params)
    except Error as error:
        interrupts.pass_on(error)
        # What stays is replayed again, here or elsewhere, until somebody may write.
        logger.debug("ormcache.outbox.kept: %s", error)
        return False
    return True


def _invalidate(keys: list[bytes]) -> None:
    """The marks are left to expire, and say so: no list waits for them. A writer may have taken
    the old row for the committed one and marked too little by it: nothing may be filled until its
    own, older marks are over."""
    writer = runtime.current().writer
    token = new_left_token()
    for start in range(0, len(keys), _BATCH):
        writer.mark(token, keys[start : start + _BATCH], ttl_ms=MARK_MS)


def _table(connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(_model()._meta.db_table)


def _model() -> Any:
    return apps.get_model("ormcache", "OutboxEntry")
