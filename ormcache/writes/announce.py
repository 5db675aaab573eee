"""Writes announced by those who know exactly what they write.

Each announcement notes the rows and columns, then lets the statement pass the watch. Whatever is
not announced is found by ``writes.sqlwatch``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, models, transaction
from django.db.models.fields.files import FieldFile

from ormcache.schema import Table
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.invalidation import Invalidation
from ormcache.writes.locking import lock_rows
from ormcache.writes.pending import UNKNOWN, Pending, TableWrites
from ormcache.writes.returning import Returning
from ormcache.writes.transaction import own_atomic
from ormcache.writes.watched import watched_tables


def insert(
    model: type[models.Model],
    objs: Sequence[Any],
    fields: Sequence[Any],
    using: str,
    run: Callable[[], Any],
    *,
    replaces: Sequence[Any] | None,
) -> Any:
    """``run`` an INSERT of ``objs`` into the model's own table. Rows that are there already may
    be given new values of the fields ``replaces``. Returns what ``run`` returns."""
    name = model._meta.db_table
    watched = watched_tables().get(name)
    connection = connections[using]
    state = state_of(connection)
    with own_atomic(state):
        writes = state.writes().table(name, watched.table if watched else None)
        writes.membership = True
        # Where the database gives the key, no older row can have had it.
        generated = [not obj._is_pk_set() for obj in objs]
        with state.announcing("INSERT", name):
            result = run()
        if replaces is not None:
            keys = _returned_pks(writes.table, model, result, len(objs))
            _note_upserts(writes, keys, replaces)
        elif writes.table is not None:
            keys = _returned_pks(writes.table, model, result, len(objs))
            _note_inserts(writes, objs, fields, generated, keys)
        return result


def _note_upserts(writes: TableWrites, keys: list[Any], replaced: Sequence[Any]) -> None:
    """Note rows by the keys they were returned with: which are new, nobody knows."""
    if None in keys:
        writes.write_all()
        return
    values = {field.column: UNKNOWN for field in replaced}
    writes.insert_unknown()
    for key in keys:
        writes.write_row(key, values)


def _note_inserts(
    writes: TableWrites,
    objs: Sequence[Any],
    fields: Sequence[Any],
    generated: list[bool],
    keys: list[Any],
) -> None:
    """Note new rows by their partitions, with the values they were inserted with."""
    table: Any = writes.table
    # Of several models with one table, it is not surely this one that the table's are those of.
    given = {field.column: field.attname for field in fields}
    partitions = table.roster.partitions
    for obj, is_generated, key in zip(objs, generated, keys, strict=True):
        values = {
            each.column: _plain(obj.__dict__.get(given.get(each.column, ""), UNKNOWN))
            for each in partitions
        }
        writes.insert_row(key if is_generated else None, values)


def _returned_pks(
    table: Table | None, model: type[models.Model], returned: Any, count: int
) -> list[Any]:
    """The keys an INSERT of ``model`` returned, ``None`` for each where it returned none."""
    columns = [field.column for field in model._meta.db_returning_fields]
    if (
        table is None
        or not isinstance(returned, list)
        or len(returned) != count
        or table.pk_column not in columns
        or any(len(row) != len(columns) for row in returned)
    ):
        return [None] * count
    position = columns.index(table.pk_column)
    return [table.normalise(row[position]) for row in returned]


@contextmanager
def updating(
    changes: Sequence[tuple[Any, Any]],
    pks: Iterable[Any] | None,
    using: str,
) -> Iterator[None]:
    """Around an UPDATE that sets ``changes`` (fields and their values).

    ``pks`` are the rows it can touch at most, ``None`` for unknown. The values are held against
    those the rows had.
    """
    connection = connections[using]
    state = state_of(connection)
    with own_atomic(state):
        by_table: dict[str, list[tuple[Any, Any]]] = {}
        for field, value in changes:
            by_table.setdefault(field.model._meta.db_table, []).append((field, value))
        named = None if pks is None else list(pks)
        for name, fields in by_table.items():
            watched = watched_tables().get(name)
            writes = state.writes().table(name, watched.table if watched else None)
            _note_update(writes, fields, named)
        with state.announcing("UPDATE", *by_table):
            yield


def touching(
    model: type[models.Model],
    using: str,
    run: Callable[[], int],
    changes: Sequence[tuple[Any, Any]] | None = None,
    condition: Callable[[], Any] = lambda: None,
) -> int:
    """``run`` an UPDATE or, without ``changes``, a DELETE of rows only the database knows.

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
        verb = "DELETE" if changes is None else "UPDATE"
        if table is None or writes.whole:
            with state.announcing(verb, name):
                return run()
        returning = Returning(connection, table)
        locked = None
        if not returning.can(verb) and (query := condition()) is not None:
            with transaction.mark_for_rollback_on_error(using):
                locked = lock_rows(state, table, query)
        state.returning = returning
        try:
            with state.announcing(verb, name):
                count = run()
        except BaseException:
            # Whatever it did before it failed may still be committed.
            writes.write_all()
            raise
        finally:
            state.returning = None
        rows = returning.rows if locked is None else locked
        is_all = bool(rows) or not count if locked is None else len(locked) == (count or 0)
        if rows is None or not is_all:
            writes.write_all()
        else:
            _note_touched(writes, rows, changes, are_old=locked is not None)
        return count


def _note_touched(
    writes: TableWrites,
    rows: dict[Any, dict[str, Any]],
    changes: Sequence[tuple[Any, Any]] | None,
    *,
    are_old: bool,
) -> None:
    """Note rows with their partitions, as they were before the statement or are after it."""
    values = {field.column: _plain(value, field) for field, value in changes or ()}
    for pk, partitions in rows.items():
        # What a row is before this statement need not be what was committed.
        committed = writes.partitions.get(pk, {}) if pk in writes.rows else partitions
        if changes is None:
            writes.delete_row(pk)
        else:
            writes.write_row(pk, values)
        if writes.whole:
            return
        # Nor is what the statement itself has set.
        writes.partitions[pk] = {
            column: value
            for column, value in partitions.items()
            if (are_old or column not in values) and committed.get(column, UNKNOWN) == value
        }


def _note_update(
    writes: TableWrites, fields: list[tuple[Any, Any]], pks: list[Any] | None
) -> None:
    table = writes.table
    if table is None:
        return
    values = {field.column: _plain(value, field) for field, value in fields}
    rows = None if pks is None else [table.normalise(pk) for pk in pks]
    if rows is None or None in rows or table.pk_column in values:
        writes.write_all()
        return
    for pk in rows:
        writes.write_row(pk, values)


def _plain(value: Any, field: Any = None) -> Any:
    """A value as the row will hold it, as far as that is known before the write."""
    if hasattr(value, "resolve_expression"):
        return UNKNOWN
    if isinstance(value, FieldFile):
        return str(value)
    if isinstance(value, models.Model):
        # Of a relation, given as the object it leads to.
        target = getattr(field, "target_field", None)
        return value.__dict__.get(target.attname, UNKNOWN) if target else UNKNOWN
    return value


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
    if lookup.lookup_name == "exact" and not hasattr(rhs, "resolve_expression"):
        named = [rhs]
    elif lookup.lookup_name == "in" and isinstance(rhs, list | tuple | set | frozenset):
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
            note(state.writes().table(name, table))
    counters["invalidate"] += 1
    invalidation = Invalidation(state.label, state.connection)
    invalidation.mark_done(now, in_transaction=state.in_transaction)
    invalidation.release()
