"""What a query relies on, in words: the same that ``dependencies`` turns into stamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import models
from django.db.models.query import QuerySet

from ormcache.analysis import dependencies, fingerprint
from ormcache.analysis.plan import EVERY_COLUMN
from ormcache.exceptions import Uncacheable
from ormcache.explain.explanation import Dependency
from ormcache.reads.related import Branch
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on, watched_tables


def of_template(
    template: dependencies.Template, query: Any, *, source: str = "query"
) -> Iterator[Dependency]:
    """By table, what the entry of a query relies on; without ``query`` by whole tables."""
    narrow = {}
    if query is not None:
        narrow = {each.table: each for each in template.filters if each.tokens(query)}
    for name in template.coarse.tables:
        narrowing, columns = narrow.get(name), template.plan.tables[name]
        where = ""
        if narrowing is not None:
            # A row whose partition changes comes or goes.
            where, columns = narrowing.text(query), columns - {narrowing.partition.column}
        yield _of_table(name, columns, where, source)


def of_declared(items: Iterable[Any], label: str, vendor: str) -> Iterator[Dependency]:
    """What ``depends_on`` names."""
    for item in items:
        if isinstance(item, QuerySet):
            structure, _ = fingerprint.walk(item.query)
            template = dependencies.of_query(item.query, structure, label, vendor)
            yield from of_template(template, None, source="depends_on")
        elif isinstance(item, type) or not _is_row(item, vendor):
            model: Any = item if isinstance(item, type) else type(item)
            for each in (model, *model._meta.get_parent_list()):
                table = each._meta.db_table
                yield _of_table(table, frozenset({EVERY_COLUMN}), "", "depends_on")
        else:
            where = f"{item._meta.pk.column} = {item.pk!r}"
            text = f"the row of {item._meta.db_table} where {where}, named in depends_on"
            yield Dependency(item._meta.db_table, text, where, (EVERY_COLUMN,), "depends_on")


def of_rows(
    schema: Schema, pks: Sequence[Any] | None, branches: list[Branch]
) -> Iterator[Dependency]:
    """The rows of a result, which are read from their own cells, and those they lead to."""
    which, where = "it points at", ""
    if pks is not None:
        column, named = schema.table.pk_column, ", ".join(map(repr, pks))
        where = f"{column} = {named}" if len(pks) == 1 else f"{column} in ({named})"
        which = f"where {where}"
    for each in schema.tables:
        text = f"the rows of {each.name} {which}, each by its own cell"
        yield Dependency(each.name, text, where, (EVERY_COLUMN,), "rows")
    for branch in branches:
        yield from _of_branch(branch)


def _of_branch(branch: Branch) -> Iterator[Dependency]:
    name = branch.schema.table.name
    text = f"the rows of {name} that {branch.path} leads to, each by its own cell"
    yield Dependency(name, text, "", (EVERY_COLUMN,), "rows")
    for each in branch.branches:
        yield from _of_branch(each)


def _is_row(item: models.Model, vendor: str) -> bool:
    try:
        return schema_on(type(item), vendor).table.normalise(item.pk) is not None
    except Uncacheable:
        return False


def _of_table(name: str, columns: frozenset[str], where: str, source: str) -> Dependency:
    named = ", named in depends_on" if source == "depends_on" else ""
    table = watched_tables()[name].table
    if table is None:
        text = f"any write to {name}, whose rows are not cached{named}"
        return Dependency(name, text, "", (EVERY_COLUMN,), source)
    rows = f"every row of {name}" + (f" where {where}" if where else "")
    # A row under another primary key is another row.
    columns -= {table.pk_column}
    read = ""
    if columns == {EVERY_COLUMN}:
        read = ", and any of its columns"
    elif columns:
        read = f", and its columns {', '.join(sorted(columns))}"
    text = f"{rows}: coming or going{read}{named}"
    return Dependency(name, text, where, tuple(sorted(columns)), source)
