"""From the statements that pass to the rows, columns and values they write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models
from django.db.models.fields import AutoFieldMixin

from ormcache.schema.tables import Table
from ormcache.writes.pending import UNKNOWN, TableWrites
from ormcache.writes.sql.written import Written, written


class Announcement:
    """A write of one table whose statement is about to pass the watch.

    Who announces it knows the rows. ``passed`` holds the texts that came, with their parameters.
    """

    def __init__(self, verb: str, table: str) -> None:
        self.verb = verb
        self.table = table
        self.passed: list[tuple[str, Any]] = []

    def takes(self, sql: str, tables: frozenset[str], params: Any) -> bool:
        """Whether a statement is the announced one: what fields do while it is made is not."""
        if self.table not in tables or not sql.startswith(self.verb):
            return False
        self.passed.append((sql, params))
        return True

    def statements(self) -> list[tuple[Written | None, Any]]:
        """What passed, read."""
        return [(_written_to(self.table, sql), params) for sql, params in self.passed]


def _written_to(table: str, sql: str) -> Written | None:
    found = written(sql)
    return found if found is not None and found.table.casefold() == table.casefold() else None


def values_of(statement: Written, params: Any) -> dict[str, Any]:
    """What an UPDATE gives to its columns."""
    rows = statement.rows(params)
    return rows[0] if rows else dict.fromkeys(statement.columns, UNKNOWN)


def note_update(
    writes: TableWrites, sql: str, params: Any, named: Iterable[Any] | None = None
) -> None:
    """Note an UPDATE of the table. Its rows are those it names by primary key; of any other it is
    known that it touches at most the rows ``named``, unless that is ``None``."""
    table = writes.table
    if table is None:
        return
    statement = _written_to(table.name, sql)
    if statement is None or table.pk_column in statement.columns:
        writes.write_all()
        return
    pks = named
    if statement.key is not None and statement.key[0] == table.pk_column:
        pks = statement.keys(params)
    keys = None if pks is None else [table.normalise(pk) for pk in pks]
    if keys is None or None in keys:
        writes.write_all()
        return
    values = values_of(statement, params)
    for key in keys:
        writes.write_row(key, values)


def note_inserts(
    writes: TableWrites, model: type[models.Model], announced: Announcement, returned: Any
) -> None:
    """Note what an INSERT of ``model`` has added; ``returned`` are the columns it gave back, row
    by row."""
    table = writes.table
    if table is None:
        return
    rows: list[dict[str, Any]] = []
    replaced: set[str] = set()
    for statement, params in announced.statements():
        found = None if statement is None else statement.rows(params)
        if statement is None or (found is None and statement.replaced):
            writes.write_all()
            return
        if found is None:
            writes.insert_unknown()
            return
        rows += found
        replaced.update(statement.replaced)
    keys = _returned_pks(table, model, returned, len(rows))
    if replaced:
        _note_upserts(writes, keys, replaced)
        return
    partitions = [each.column for each in table.scheme.partitions]
    for values, key in zip(rows, keys, strict=True):
        given = {column: values.get(column, UNKNOWN) for column in partitions}
        writes.insert_row(key if _is_generated(table, values) else None, given)


def _note_upserts(writes: TableWrites, keys: Sequence[Any], replaced: Iterable[str]) -> None:
    """Note rows by the keys they were returned with: which are new, nobody knows."""
    if None in keys:
        writes.write_all()
        return
    values = dict.fromkeys(replaced, UNKNOWN)
    writes.insert_unknown()
    for key in keys:
        writes.write_row(key, values)


def _is_generated(table: Table, values: dict[str, Any]) -> bool:
    """Whether the database gave the key: then no older row can have had the same."""
    field = table.fields[table.positions[table.pk_column]]
    given = values.get(table.pk_column)
    return isinstance(field, AutoFieldMixin) and (given is None or given is UNKNOWN)


def _returned_pks(table: Table, model: type[models.Model], returned: Any, count: int) -> list[Any]:
    """The keys an INSERT of ``model`` returned, ``None`` for each where it returned none."""
    # Of several models with one table, it is not surely this one that the table's are those of.
    columns = [field.column for field in model._meta.db_returning_fields]
    if (
        not isinstance(returned, list)
        or len(returned) != count
        or table.pk_column not in columns
        or any(len(row) != len(columns) for row in returned)
    ):
        return [None] * count
    position = columns.index(table.pk_column)
    return [table.normalise(row[position]) for row in returned]
