"""Lists of model instances: pointers from a list entry, rows from their cells."""

from __future__ import annotations

import copy
import operator
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models.query import ModelIterable

from ormcache.analysis import fingerprint
from ormcache.database.sight import count_refused
from ormcache.exceptions import Uncacheable
from ormcache.reads.asked import Asked
from ormcache.reads.build import builder, introduce
from ormcache.reads.entries import MISSING, ListEntry, count_uncached
from ormcache.reads.related import (
    Branch,
    Followed,
    Vanished,
    attach,
    branches_of,
    follow,
    stored_paths,
    tables_of,
)
from ormcache.reads.rows import Wanted, read_rows
from ormcache.reads.select import Row, as_loaded
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on
from ormcache.stats import counters
from ormcache.writes.hooks import state_of
from ormcache.writes.pending import TableWrites


class Pointers:
    """How a queryset of instances is answered from the cache; made anew for each evaluation.

    Raises ``Uncacheable`` when it cannot be.
    """

    def __init__(self, queryset: Any, using: str) -> None:
        self._queryset = queryset
        self._using = using
        query = queryset.query
        vendor = connections[using].vendor
        self.schema = schema_on(queryset.model, vendor)
        self._attnames = loaded_attnames(self.schema, query)
        self.branches: list[Branch] = (
            branches_of(self.schema, query.select_related, query.max_depth, vendor)
            if query.select_related
            else []
        )
        for branch in self.branches:
            if branch.near not in self._attnames:
                raise Uncacheable(f"it defers {branch.path} and follows it")
        self._annotations = [*query.extra_select, *query.annotation_select]
        self._paths = stored_paths(self.branches)
        self.needs_entry = bool(self._paths)
        """Whether some relation can only be followed with the pointers of a list entry."""

    def by_pks(self, pks: Sequence[Any]) -> list[Any]:
        """The instances of these rows; those that do not exist are left out. No list entry is
        needed: the query names its rows. They come in the order of their keys, which is the one
        databases give them in where none is asked for."""
        if not pks:
            return []
        state = state_of(connections[self._using])
        own = [table.name for table in self.schema.tables]
        if not state.sight.may_read([*own, *tables_of(self.branches)]):
            count_refused(state.sight.reason)
            return self._by_key()
        if state.pending is not None and self._is_written(pks, state.pending.tables):
            # Each level would be a query of its own where Django needs one.
            counters["bypassed"] += 1
            return self._by_key()
        loaded: _Loaded | None = None
        try:
            wanted = Wanted(self.schema, sorted(dict.fromkeys(pks)))
            read_rows([wanted], self._using)
            there = [pk for pk in wanted.pks if pk in wanted.rows]
            loaded = self._loaded(there, wanted, [])
        except Exception as error:
            if not isinstance(error, Vanished):
                count_uncached(error, self._queryset.model)
        # Not where the error was handled: what Django raises would have it as its context.
        return self._by_key() if loaded is None else self._instances(loaded)

    def by_list(self) -> list[Any]:
        """The instances a list entry points at, or, when there is none, those of the database."""
        entry = loaded = None
        try:
            entry, loaded = self._look()
        except Exception as error:
            count_uncached(error, self._queryset.model)
        if loaded is not None:
            counters["sql_saved"] += 1
            return self._instances(loaded)
        return self._plain() if entry is None else self._ask(entry)

    def _look(self) -> tuple[ListEntry | None, _Loaded | None]:
        """What the entry leads to; without that, the entry that is to be filled, if any."""
        structure, values = fingerprint.walk(self._queryset.query)
        entry = ListEntry(
            self._queryset, b"rows", structure, values, self._queryset.query, self._using
        )
        if entry.is_dirty:
            counters["bypassed"] += 1
            return None, None
        found = entry.fetch(self._is_valid)
        if found is MISSING:
            return entry, None
        try:
            return None, self._load(*found)
        except Vanished:
            # A row of the list is gone: the list is, too.
            counters["list_vanished"] += 1
            entry.drop()
            found = entry.fetch(self._is_valid)
        # Found again: rows go faster than their lists.
        return (entry if found is MISSING else None), None

    def _is_written(self, pks: Sequence[Any], written: Mapping[str, TableWrites]) -> bool:
        """Whether the running transaction wrote to these rows, or to a table they lead to."""
        own = [written[table.name] for table in self.schema.tables if table.name in written]
        return any(each.touches(pk) for each in own for pk in pks) or any(
            name in written for name in tables_of(self.branches)
        )

    def _is_valid(self, found: Any) -> bool:
        """Whether what the store holds has the shape of this list: nobody else vouches for it."""
        if type(found) is not list or len(found) != 2:
            return False
        pks, columns = found
        return (
            type(pks) is list
            and type(columns) is list
            and len(columns) == len(self._annotations) + len(self._paths)
            and all(type(column) is list and len(column) == len(pks) for column in columns)
            and set(map(type, pks)) <= {self.schema.table.pk_type}
        )

    def _ask(self, entry: ListEntry) -> list[Any]:
        """Ask the database as Django does, in this reader's turn, and store what the rows point
        at."""
        with entry.turn as turn:
            if turn.prefix is None:
                return self._plain()
            asked = Asked(self._queryset, self._using, self._annotations, self._paths)
            started = time.perf_counter()
            instances = asked.instances()
            cost = time.perf_counter() - started
            try:
                self._store(entry, asked.pointers(), cost)
            except Vanished:
                # Rows come and go faster than the two reads, or a pointer leads nowhere.
                pass
            except Exception as error:
                count_uncached(error, self._queryset.model)
        return instances

    def _store(self, entry: ListEntry, pointed: list[Any], cost: float) -> None:
        """Store the entry, once the rows it points at are in their cells."""
        pks, columns = pointed
        if entry.packs(pointed):
            self._load(pks, columns)
            entry.store(cost)

    def _plain(self) -> list[Any]:
        """What Django would do, on the database that a fill reads: a copy of it may lag behind."""
        return list(ModelIterable(self._queryset._on(self._using)))

    def _by_key(self) -> list[Any]:
        """What Django would do, in the order in which a hit gives rows that are named by key:
        pages of one process must not mix two orders."""
        asked = Asked(self._queryset, self._using, (), ())
        instances = asked.instances()
        pks, *_ = asked.pointers()
        places = sorted(range(len(pks)), key=pks.__getitem__)
        return [instances[place] for place in places]

    def _load(self, pks: list[Any], columns: list[list[Any]]) -> _Loaded:
        wanted = Wanted(self.schema, list(dict.fromkeys(pks)))
        if pks:
            read_rows([wanted], self._using)
            if len(wanted.rows) < len(wanted.pks):
                raise Vanished
        return self._loaded(pks, wanted, columns)

    def _loaded(self, pks: Sequence[Any], wanted: Wanted, columns: list[list[Any]]) -> _Loaded:
        rows = [wanted.rows[pk] for pk in pks]
        if self.schema.mutable and len(pks) > len(wanted.pks):
            # A row that stands in the list twice: two instances must not share a value.
            rows = [copy.deepcopy(row) for row in rows]
        followed: list[Followed] = []
        if self.branches:
            stored = dict(zip(self._paths, columns[len(self._annotations) :], strict=True))
            followed = follow(self.branches, rows, stored, self._using)
        return _Loaded(rows, columns, followed)

    def _instances(self, loaded: _Loaded) -> list[Any]:
        """Make the instances. What a model does to them runs here, and nothing else may fail."""
        queryset, schema, rows = self._queryset, self.schema, loaded.rows
        db = queryset.db
        fetch_mode = getattr(queryset, "_fetch_mode", None)
        build = builder(queryset.model, self._attnames, db, fetch_mode)
        if schema.raw:
            of_model = schema.model, schema.attnames, schema.raw
            rows = [as_loaded(*of_model, row, self._using) for row in rows]
        if len(self._attnames) == len(schema.attnames):
            instances = [build(row) for row in rows]
        else:
            pick = [schema.attnames.index(name) for name in self._attnames]
            instances = [build([row[i] for i in pick]) for row in rows]
        introduce(instances, fetch_mode)
        if loaded.followed:
            attach(loaded.followed, instances, self._using, db, fetch_mode)
        for name, column in zip(self._annotations, loaded.columns, strict=False):
            for instance, value in zip(instances, column, strict=True):
                setattr(instance, name, value)
        if queryset._known_related_objects:
            _hang_known(queryset, instances)
        return instances


@dataclass(slots=True)
class _Loaded:
    """What is needed to make the instances of a list: rows, the further columns of its entry, and
    the rows that ``select_related`` leads to."""

    rows: Sequence[Row]
    columns: list[list[Any]]
    followed: list[Followed]


def loaded_attnames(schema: Schema, query: Any) -> tuple[str, ...]:
    """The attributes a query loads: all, or what ``only`` and ``defer`` leave."""
    if not query.default_cols:
        # Of ``queryset & queryset.values(…)``: instances of the columns of the latter.
        raise Uncacheable("it makes instances of columns selected by hand")
    names, deferring = query.deferred_loading
    if not names:
        # Also of only(): whoever names nothing loads all.
        return schema.attnames
    fields = schema.model._meta.concrete_fields
    unknown = names.difference(*((field.name, field.attname) for field in fields))
    if any("__" in name for name in unknown):
        raise Uncacheable("it defers fields of related models")
    if unknown:
        raise Uncacheable(f"only() or defer() names {min(unknown)!r}, which is no column")
    key = schema.model._meta.pk
    loaded = []
    for field in fields:
        named = field.name in names or field.attname in names
        # Only the model's own key is always loaded, not that of a parent.
        if field is key or named != deferring:
            loaded.append(field.attname)
    return tuple(loaded)


def _hang_known(queryset: Any, instances: list[Any]) -> None:
    """Hang the object a related manager started from on what it found, as Django does."""
    for relation, known in queryset._known_related_objects.items():
        names = [
            relation.attname if name == "self" else queryset.model._meta.get_field(name).attname
            for name in relation.from_fields
        ]
        get = operator.attrgetter(*names)
        for instance in instances:
            if relation.is_cached(instance) or any(n not in instance.__dict__ for n in names):
                continue
            other = known.get(get(instance))
            if other is not None:
                setattr(instance, relation.name, other)
