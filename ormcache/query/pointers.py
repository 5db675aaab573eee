"""Lists of model instances: pointers from a list entry, rows from their cells."""

from __future__ import annotations

import copy
import operator
import time
from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models.query import ValuesListIterable

from ormcache.exceptions import StoreError, Uncacheable
from ormcache.query import fingerprint
from ormcache.query.instances import builder
from ormcache.query.lists import MISSING, ListEntry, count_uncached
from ormcache.query.related import Branch, Vanished, branches_of, follow, stored_paths
from ormcache.query.revalidation import Changes, Pointed, is_untouched, list_holds
from ormcache.query.rows import Wanted, read_rows
from ormcache.query.select import loaded
from ormcache.schema import Schema, schema_on
from ormcache.stats import counters


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
        """The instances of these rows, in the order of ``pks``; those that do not exist are left
        out. No list entry is needed: the query names its rows."""
        wanted = Wanted(self.schema, list(dict.fromkeys(pks)))
        read_rows([wanted], self._using)
        there = [pk for pk in wanted.pks if pk in wanted.rows]
        try:
            return self._instances(there, wanted, [])
        except Vanished:
            return self._plain()

    def by_list(self) -> list[Any]:
        """The instances a list entry points at, or, when there is none, those of the database."""
        structure, values = fingerprint.walk(self._queryset.query)
        entry = ListEntry(
            self._queryset, b"rows", structure, values, self._queryset.query, self._using
        )
        if entry.is_dirty:
            counters["bypassed"] += 1
            return self._plain()
        try:
            found = entry.fetch(self._is_valid)
            if found is not MISSING:
                try:
                    instances = self._load(*found)
                    counters["sql_saved"] += 1
                    return instances
                except Vanished:
                    # A row of the list is gone: the list is, too.
                    counters["list_vanished"] += 1
                    entry.drop()
                    found = entry.fetch(self._is_valid)
            # Found again: rows go faster than their lists.
            return self._fill(entry) if found is MISSING else self._plain()
        except StoreError as error:
            count_uncached(error)
            return self._plain()

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

    def _fill(self, entry: ListEntry) -> list[Any]:
        """Ask the database for the pointers, store them, and read the rows as on a hit."""
        with entry.turn as turn:
            if turn.prefix is None:
                return self._plain()
            found = entry.revalidate(self._holds, self._is_valid)
            if turn.prefix is None and found is MISSING:
                return self._plain()
            started = time.perf_counter()
            pks, columns = self._select(self._queryset) if found is MISSING else found
            try:
                instances = self._load(pks, columns)
            except Vanished:
                # Rows come and go faster than the two reads, or a pointer leads nowhere.
                return self._plain()
            if found is MISSING:
                entry.store(
                    [pks, columns], time.perf_counter() - started, list(dict.fromkeys(pks))
                )
        return instances

    def _holds(self, stored: Pointed, changes: Changes) -> bool:
        holds = list_holds(self._queryset, stored, changes, self._select)
        if holds is None:
            holds = is_untouched(self._queryset.query, changes, self._using)
        return holds

    def _plain(self) -> list[Any]:
        """What Django would do, on the database that a fill reads: a copy of it may lag behind."""
        return plain(self._queryset._on(self._using))

    def _select(self, queryset: Any) -> Pointed:
        """Primary keys and the other columns an entry holds: annotations, stored pointers."""
        names = [*self._annotations, *(f"{path}__pk" for path in self._paths)]
        pointers = queryset._chain()
        pointers._db = self._using
        pointers = pointers.values_list("pk", *names)
        rows: list[tuple[Any, ...]] = list(ValuesListIterable(pointers))
        if not rows:
            return [[], [[] for _ in names]]
        pks, *columns = (list(column) for column in zip(*rows, strict=True))
        return [pks, columns]

    def _load(self, pks: list[Any], columns: list[list[Any]]) -> list[Any]:
        wanted = Wanted(self.schema, list(dict.fromkeys(pks)))
        if pks:
            read_rows([wanted], self._using)
            if len(wanted.rows) < len(wanted.pks):
                raise Vanished
        return self._instances(pks, wanted, columns)

    def _instances(
        self, pks: Sequence[Any], wanted: Wanted, columns: list[list[Any]]
    ) -> list[Any]:
        queryset, schema = self._queryset, self.schema
        db = queryset.db
        fetch_mode = getattr(queryset, "_fetch_mode", None)
        build = builder(queryset.model, self._attnames, db, fetch_mode)
        rows = [wanted.rows[pk] for pk in pks]
        if schema.mutable and len(pks) > len(wanted.pks):
            # A row that stands in the list twice: two instances must not share a value.
            rows = [copy.deepcopy(row) for row in rows]
        if schema.raw:
            of_model = schema.model, schema.attnames, schema.raw
            rows = [loaded(*of_model, row, self._using) for row in rows]
        if len(self._attnames) == len(schema.attnames):
            instances = [build(row) for row in rows]
        else:
            pick = [schema.attnames.index(name) for name in self._attnames]
            instances = [build([row[i] for i in pick]) for row in rows]
        if getattr(fetch_mode, "track_peers", False):
            _introduce(instances)
        if self.branches:
            stored = dict(zip(self._paths, columns[len(self._annotations) :], strict=True))
            follow(self.branches, instances, rows, stored, self._using, db, fetch_mode)
        for name, column in zip(self._annotations, columns, strict=False):
            for instance, value in zip(instances, column, strict=True):
                setattr(instance, name, value)
        if queryset._known_related_objects:
            _hang_known(queryset, instances)
        return instances


def plain(queryset: Any) -> list[Any]:
    """What Django would do."""
    return list(queryset._iterable_class(queryset))


def loaded_attnames(schema: Schema, query: Any) -> tuple[str, ...]:
    """The attributes a query loads: all, or what ``only`` and ``defer`` leave."""
    names, deferring = query.deferred_loading
    if not names and deferring:
        return schema.attnames
    if any("__" in name for name in names):
        raise Uncacheable("it defers fields of related models")
    loaded = []
    for field in schema.model._meta.concrete_fields:
        named = field.name in names or field.attname in names
        if field.primary_key or named != deferring:
            loaded.append(field.attname)
    return tuple(loaded)


def _introduce(instances: list[Any]) -> None:
    """``FETCH_PEERS``: each instance knows those it was loaded with (Django 6.1)."""
    from weakref import ref

    peers = [ref(instance) for instance in instances]
    for instance in instances:
        instance._state.peers = peers


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
