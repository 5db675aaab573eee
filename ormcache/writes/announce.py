"""Writes announced by those who know exactly what they write.

Each announcement notes the rows and columns, then lets the statement pass the watch. Whatever is
not announced is found by ``writes.watch``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ormcache.schema.conversions import comparison
from ormcache.schema.tables import Table
from ormcache.schema.watched import watched_tables
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.locking import lock_rows
from ormcache.writes.noting import Announcement, note_inserts, note_update, values_of
from ormcache.writes.pending import UNKNOWN, Pending, TableWrites
from ormcache.writes.returning import Returning
from ormcache.writes.transaction import is_refusal, own_atomic


def insert(model: type[models.Model], using: str, run: Callable[[], Any]) -> Any:
    """``run`` an INSERT into the model's own table. Returns what ``run`` returns."""
    name = model._meta.db_table
    watched = watched_tables().get(name)
    state = state_of(connections[using])
    with own_atomic(state):
        writes = state.writes().table(name, watched.table if watched else None)
        writes.membership = True
        announcement = Announcement("INSERT", name)
        with _noting(writes, announcement, state.connection):
            with state.announcing(announcement):
                result = run()
            note_inserts(writes, model, announcement, result)
        return result


@contextmanager
def _noting(
    writes: TableWrites, announcement: Announcement, connection: BaseDatabaseWrapper
) -> Iterator[None]:
    """Around a statement and the noting of what it did. An interrupt may cut off both: the
    transaction may be committed all the same. Of what the server refused nothing is left, but on
    MySQL, where a table may know no transactions."""
    try:
        yield
    except BaseException as error:
        is_undone = (
            isinstance(error, Exception)
            and len(announcement.passed) <= 1
            and connection.vendor != "mysql"
            and is_refusal(connection, error)
        )
        if not is_undone:
            writes.write_all()
        raise


@contextmanager
def updating(model: type[models.Model], pks: Iterable[Any] | None, using: str) -> Iterator[None]:
    """Around an UPDATE of the model's own table.

    ``pks`` are the rows it can touch at most, ``None`` for unknown. The values are held against
    those the rows had.
    """
    name = model._meta.db_table
    watched = watched_tables().get(name)
    state = state_of(connections[using])
    with own_atomic(state):
        writes = state.writes().table(name, watched.table if watched else None)
        announcement = Announcement("UPDATE", name)
        try:
            with state.announcing(announcement):
                yield
        finally:
            # Of several statements nobody knows which is the one of these rows.
            named = list(pks) if pks is not None and len(announcement.passed) == 1 else None
            for sql, params in announcement.passed:
                note_update(writes, sql, params, named)


def touching(
    model: type[models.Model],
    using: str,
    run: Callable[[], int],
    verb: str,
    condition: Callable[[], Any] = lambda: None,
) -> int:
    """``run`` an UPDATE or a DELETE of rows only the database knows, as ``verb`` says.

    Where it can return them they are invalidated one by one, else the whole table is; unless
    ``condition`` gives the query that finds them by their own columns, and they can be locked
    and listed first. Returns what ``run`` returns.
    """
    name = model._meta.db_table
    watched = watched_tables().get(name)
    table = watched.table if watched else None
    connection = connections[using]
    state = state_of(connection)
    with own_atomic(state):
        writes = state.writes().table(name, table)
        announcement = Announcement(verb, name)
        if table is None or writes.whole:
            with state.announcing(announcement):
                return run()
        returning = Returning(connection, table)
        locked = None
        if not returning.can(verb) and (query := condition()) is not None:
            with transaction.mark_for_rollback_on_error(using):
                locked = lock_rows(state, table, query)
        with _noting(writes, announcement, connection):
            state.returning = returning
            try:
                with state.announcing(announcement):
                    count = run()
            finally:
                state.returning = None
            rows = returning.rows if locked is None else locked
            is_all = bool(rows) or not count if locked is None else len(locked) == (count or 0)
            if locked is not None and len(announcement.passed) > 1:
                # Others may have come between the lock and the second statement.
                is_all = False
            if rows is None or not is_all:
                writes.write_all()
            else:
                _note_touched(writes, rows, announcement, are_old=locked is not None)
        return count


def _note_touched(
    writes: TableWrites,
    rows: dict[Any, dict[str, Any]],
    announcement: Announcement,
    *,
    are_old: bool,
) -> None:
    """Note rows with their partitions, as they were before the statement or are after it."""
    given: list[dict[str, Any]] = []
    if announcement.verb == "UPDATE":
        for statement, params in announcement.statements():
            if statement is None:
                writes.write_all()
                return
            given.append(values_of(statement, params))
    written = {column for values in given for column in values}
    if writes.table is not None and writes.table.pk_column in written:
        writes.write_all()
        return
    for pk, partitions in rows.items():
        # What a row is before this statement need not be what was committed.
        committed = writes.partitions.get(pk, {}) if pk in writes.rows else partitions
        if announcement.verb == "DELETE":
            writes.delete_row(pk)
        for values in given:
            writes.write_row(pk, values)
        if writes.whole:
            return
        # Nor is what the statement itself has set.
        writes.partitions[pk] = {
            column: value
            for column, value in partitions.items()
            if (are_old or column not in written) and committed.get(column, UNKNOWN) == value
        }


def is_own_table(model: type[models.Model], names: Iterable[str]) -> bool:
    """Whether an UPDATE of these fields changes no inherited table and no key."""
    concrete = model._meta.concrete_model
    try:
        fields = [model._meta.get_field(name) for name in names]
    except FieldDoesNotExist:
        # Django says best what is wrong with it, unless a queryset further down knows it.
        return False
    return all(
        field.concrete and field.model is concrete and not getattr(field, "primary_key", True)
        for field in fields
    )


def literal_pks(query: Any, table: Table | None) -> list[Any] | None:
    """The primary keys a query names outright, at most those rows; ``None`` if it names none."""
    where = query.where
    if table is None or where.negated or (where.connector != "AND" and len(where.children) > 1):
        return None
    # Not query.base_table: it remembers the None of a query that has no alias yet.
    alias = next(iter(query.alias_map), None)
    for child in where.children:
        pks = _named_by(child, alias, table)
        if pks is not None:
            return pks
    return None


def _named_by(lookup: Any, alias: str | None, table: Table) -> list[Any] | None:
    """The primary keys one condition allows, ``None`` if it is about something else."""
    lhs = getattr(lookup, "lhs", None)
    # A foreign key's prefetch compares tuples, even of one column (Django 5.2).
    targets = getattr(lhs, "targets", None) or (getattr(lhs, "target", None),)
    target = targets[0]
    if (
        len(targets) > 1
        or target is None
        or target.column != table.pk_column
        or target.model._meta.db_table != table.name
        or getattr(lhs, "alias", None) != alias
    ):
        return None
    rhs = lookup.rhs
    kind = comparison(lookup)
    if kind == "exact" and not hasattr(rhs, "resolve_expression"):
        named = [rhs]
    elif kind == "in" and isinstance(rhs, list | tuple | set | frozenset):
        named = list(rhs)
    else:
        return None
    if hasattr(lhs, "targets"):
        named = [
            value[0] for value in named if isinstance(value, list | tuple) and len(value) == 1
        ]
        if len(named) != len(rhs):
            return None
    return None if any(hasattr(value, "resolve_expression") for value in named) else named


def invalidate_rows(table: Table, pks: Iterable[Any], using: str) -> None:
    """Rows were changed by something Django cannot see: drop them and every list that could
    depend on them, now and again when the running transaction commits."""

    def note(writes: TableWrites) -> None:
        for pk in pks:
            key = table.normalise(pk)
            if key is None:
                writes.write_all()
            else:
                writes.write_row(key, dict.fromkeys(table.positions, UNKNOWN))
        # Nobody knows what the rows were, nor whether some came or went.
        writes.insert_unknown()

    pks = list(pks)
    _invalidate_now([(table.name, table, note)], using)


def invalidate_tables(names: Iterable[str], using: str) -> None:
    """Everything of these tables was changed by something Django cannot see."""
    targets = []
    for name in names:
        watched = watched_tables().get(name)
        targets.append((name, watched.table if watched else None, TableWrites.write_all))
    _invalidate_now(targets, using)


def _invalidate_now(targets: Sequence[tuple[str, Table | None, Any]], using: str) -> None:
    state = state_of(connections[using])
    now = Pending()
    for name, table, note in targets:
        note(now.table(name, table))
        if state.in_transaction:
            # Written whenever it was: no savepoint takes it back.
            for writes in state.writes().lasting(name, table):
                note(writes)
    counters["invalidate"] += 1
    invalidation = Invalidation(state.label, state.connection)
    invalidation.mark_done(now, in_transaction=state.in_transaction)
    invalidation.release()
