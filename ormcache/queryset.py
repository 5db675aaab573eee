"""The queryset of a CachedModel: ordinary ORM code, answered from the cache where it can be."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, models, router
from django.db.models.query import (
    MAX_GET_RESULTS,
    ModelIterable,
    QuerySet,
)
from django.db.models.sql.query import Query

from ormcache import interrupts, runtime
from ormcache.analysis import fingerprint
from ormcache.analysis.genuine import over_cached, overridden, own_compiler
from ormcache.analysis.plan import plan_of
from ormcache.analysis.resolved import resolved
from ormcache.database.servers import is_copy
from ormcache.exceptions import Uncacheable
from ormcache.explain.explanation import Explanation
from ormcache.explain.findings import explain
from ormcache.reads.arguments import check_key, check_words, read_timeout
from ormcache.reads.build import builder
from ormcache.reads.by_pk import named_pk, named_pks
from ormcache.reads.bypass import Bypass, bypassed
from ormcache.reads.depends_on import check_declared
from ormcache.reads.entries import (
    NOCACHE,
    PLAIN_OPTIONS,
    EntryOptions,
    ListEntry,
    count_uncached,
    read_data,
)
from ormcache.reads.pointers import Pointers
from ormcache.reads.rows import read_row
from ormcache.reads.select import Row, as_loaded
from ormcache.reads.shapes import SHAPES, names, rows_of
from ormcache.schema.options import DEFAULT, options_of
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on, schema_or_none
from ormcache.stats import counters
from ormcache.writes.announce import insert, is_own_table, literal_pks, touching, updating

_M = TypeVar("_M", bound=models.Model)


class CachedQuerySet(QuerySet[_M, _M]):
    """A QuerySet that reads through the cache and announces what it writes."""

    _is_caching_queryset = True
    _cache_options: EntryOptions = PLAIN_OPTIONS

    if TYPE_CHECKING:
        # Django's own, which its type stubs leave out.
        _db: str | None
        _hints: dict[str, Any]
        _query: Any
        _deferred_filter: Any
        _known_related_objects: dict[Any, Any]
        _prefetch_done: bool
        _prefetch_related_lookups: tuple[Any, ...]

    # The verbs

    def cache(
        self,
        key: str | None = None,
        timeout: Any = DEFAULT,
        depends_on: Any = (),
        **wrong: Any,
    ) -> CachedQuerySet[_M]:
        """A clone with options for its list entry; this queryset is left as it is.

        ``key`` names the entry: it answers every query of this shape under the key, whatever the
        query compares plain columns with by order, as in ``created__lte=now()``. All other values
        are told apart. ``timeout``: seconds, a timedelta, ``None`` for no expiry. ``depends_on``:
        instances, models or querysets whose change invalidates the entry too. Raises ``TypeError``
        or ``ValueError`` for anything else.
        """
        check_words(wrong)
        check_key(key)
        if timeout is not DEFAULT:
            timeout = read_timeout(timeout)
        declared = check_declared(depends_on, self._primary()) if depends_on != () else ()
        return self._with_options(EntryOptions(key, timeout, declared, self._cache_options.reset))

    def reset(self) -> CachedQuerySet[_M]:
        """A clone that on evaluation runs the SQL and overwrites the cached list."""
        old = self._cache_options
        return self._with_options(EntryOptions(old.key, old.timeout, old.depends_on, True))

    def nocache(self) -> CachedQuerySet[_M]:
        """A clone that goes to the database, with all it prefetches, and fills nothing."""
        return self._with_options(NOCACHE)

    def clean(self) -> None:
        """Drop this queryset's cached entry now. Runs no SQL, returns nothing."""
        try:
            self._list_entry().drop()
        except Exception as error:
            count_uncached(error, self.model)

    def execute(self) -> None:
        """Evaluate now, again if it was evaluated before. Returns nothing."""
        self._result_cache = None
        self._prefetch_done = False
        self._fetch_all()

    def explain_cache(self, verb: str = "", *args: Any, **kwargs: Any) -> Explanation:
        """Whether and how this queryset is answered from the cache, why not, what it depends on
        and what Redis holds of it. Print it, or take ``as_dict()``.

        ``verb``: ``"get"``, ``"first"``, ``"last"``, ``"count"``, ``"exists"`` or
        ``"aggregate"``, with the arguments of that method, to explain it in place of the
        evaluation. Asks Redis in one or two round trips, runs no SQL, changes and counts nothing.
        Raises ``ValueError`` for another verb.
        """
        return explain(self, verb, args, kwargs)

    async def aexplain_cache(self, verb: str = "", *args: Any, **kwargs: Any) -> Explanation:
        """``explain_cache`` for async code."""
        return await sync_to_async(self.explain_cache)(verb, *args, **kwargs)

    async def aclean(self) -> None:
        """``clean`` for async code."""
        await sync_to_async(self.clean)()

    async def aexecute(self) -> None:
        """``execute`` for async code."""
        await sync_to_async(self.execute)()

    # Reads

    def get(self, *args: Any, **kwargs: Any) -> _M:
        if self._cache_options.key is not None and (args or kwargs):
            # The key names the list, not whichever row is asked of it.
            return self._without_key().get(*args, **kwargs)
        try:
            pk = None if _is_down() else named_pk(self, args, kwargs)
            connection: Any = self._connection() if pk is not None else None
            schema = connection and schema_on(self.model, connection.vendor)
            row = read_row(schema, pk, connection) if schema else None
        except Exception as error:
            count_uncached(error, self.model)
            schema = None
        if schema is None:
            return super().get(*args, **kwargs)
        return self._instance(schema, row, connection.alias)

    def count(self) -> int:
        connection = self._connection() if self._result_cache is None else None
        if connection is None:
            return super().count()
        found = self._data("count", connection.alias, QuerySet.count, _is_count)
        return super().count() if found is None else int(found)

    def exists(self) -> bool:
        connection = self._connection() if self._result_cache is None else None
        if connection is None:
            return super().exists()
        found = self._data("exists", connection.alias, QuerySet.exists, _is_bool)
        return super().exists() if found is None else bool(found)

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        run = super().aggregate
        connection = self._connection()
        if connection is None or not (args or kwargs):
            return run(*args, **kwargs)
        walked: Any = None
        try:
            self._check("aggregate")
            # As in Django, where a positional expression takes the place of its namesake.
            named = kwargs | {arg.default_alias: arg for arg in args}
            walked = fingerprint.walk_aggregate(self.query, named)
        except Exception as error:
            interrupts.pass_on(error)
            # Django says best what is wrong with the expressions.
            if isinstance(error, Uncacheable):
                count_uncached(error, self.model)
        if walked is None:
            return run(*args, **kwargs)
        primary = connection.alias
        found: dict[str, Any] = read_data(
            self,
            b"aggregate",
            walked,
            primary,
            lambda: QuerySet.aggregate(self._on(primary), *args, **kwargs),
            lambda read: type(read) is dict and read.keys() == named.keys(),
        )
        return found

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            connection = self._connection()
            if connection is not None:
                self._result_cache = self._fetch(connection.alias)
        super()._fetch_all()

    def _prefetch_related_objects(self) -> None:
        with Bypass() if self._cache_options.off else nullcontext():
            super()._prefetch_related_objects()  # type: ignore[misc]

    def _fetch(self, primary: str) -> list[Any] | None:
        """The result, ``None`` if it is not cached."""
        kind: Any = self._iterable_class
        if type(self.query) is not Query:
            try:
                on = self._resolved()
            except Exception as error:
                count_uncached(error, self.model)
                return None
            return on._fetch(primary)  # type: ignore[no-any-return]
        if kind is ModelIterable:
            return self._cached_models(primary)
        if kind in SHAPES:
            return self._fetch_values(primary)
        if issubclass(kind, ModelIterable):
            return list(over_cached(kind)(self))
        count_uncached(Uncacheable(f"{kind.__name__} is a shape of its own"), self.model)
        return None

    def _cached_models(self, primary: str) -> list[Any] | None:
        """The instances of Django's own iterable, ``None`` if they are not cached."""
        try:
            self._check_own("list")
            pointers = Pointers(self, primary)
            pks = None if pointers.needs_entry else named_pks(self)
            if pks is None:
                self._check_lists()
        except Exception as error:
            count_uncached(error, self.model)
            return None
        return pointers.by_list() if pks is None else pointers.by_pks(pks)

    def _fetch_values(self, primary: str) -> list[Any] | None:
        """values() and values_list(): one entry for all their shapes, as lists of columns."""
        width = len(names(self))

        def is_rows(found: Any) -> bool:
            # A combination has a further column where it is ordered by one it does not select.
            return type(found) is list and all(
                type(row) is list and len(row) >= width for row in found
            )

        rows = self._data("values", primary, rows_of, is_rows)
        if rows is None:
            return None
        shaped: list[Any] = SHAPES[self._iterable_class](self, rows)
        return shaped

    def _data(self, kind: str, primary: str, run: Any, is_valid: Any) -> Any:
        """A result that is data, ``None`` if it is not cached."""
        try:
            self._check(kind if kind != "values" else "list")
            structure, values = fingerprint.walk(self.query)
        except Exception as error:
            count_uncached(error, self.model)
            return None
        walked = (structure, values, self.query)
        return read_data(
            self, kind.encode(), walked, primary, lambda: run(self._on(primary)), is_valid
        )

    def _check(self, shortcut: str) -> None:
        """Raise ``Uncacheable`` unless a list entry may answer for this method."""
        self._check_own(shortcut)
        self._check_lists()

    def _check_own(self, shortcut: str) -> None:
        reason = overridden(type(self), shortcut)
        if reason:
            raise Uncacheable(reason)

    def _on(self, primary: str) -> Any:
        """This queryset, reading from the primary database, where a fill has to read. Of Django's
        own class: a copy made by a project's would be another query where that adds to copies."""
        if self._db == primary:
            return self
        on: Any = QuerySet.__new__(QuerySet)
        on.__dict__.update(self.__dict__)
        on._db, on._query, on._deferred_filter = primary, self.query, None
        return on

    def _resolved(self) -> Any:
        """This queryset with the plain query that its own comes to."""
        on: Any = object.__new__(type(self))
        on.__dict__.update(self.__dict__)
        on._query, on._deferred_filter = resolved(self.query, self.db), None
        return on

    def _instance(self, schema: Schema, row: Row | None, using: str) -> _M:
        if row is None:
            model: Any = self.model
            raise model.DoesNotExist(
                f"{self.model._meta.object_name} matching query does not exist."
            )
        if schema.raw:
            row = as_loaded(schema.model, schema.attnames, schema.raw, row, using)
        build = builder(self.model, schema.attnames, self.db, getattr(self, "_fetch_mode", None))
        return build(row)  # type: ignore[no-any-return]

    def _check_lists(self) -> None:
        if not options_of(self.model).lists and self._cache_options is PLAIN_OPTIONS:
            raise Uncacheable(f"{self.model._meta.label}.CacheMeta.lists is False")

    def _connection(self) -> Any:
        """The connection whose cells may answer, ``None`` if none may."""
        cache = runtime.current()
        if bypassed.get() or self._cache_options.off or not cache.config.enabled:
            counters["bypassed"] += 1
            return None
        if cache.store.is_down:
            # Not even the key is worth its time then.
            counters["store_down"] += 1
            return None
        query = self.query
        if query.where.children and query.is_empty():
            # Django asks for nothing, and opens no connection.
            return None
        read = self.db
        connection = connections[read]
        if reason := own_compiler(connection.ops):
            count_uncached(Uncacheable(reason), self.model)
            return None
        if query.select_for_update or connection.needs_rollback:
            return None
        primary = self._primary(read)
        return connection if primary == read else connections[primary]

    def _primary(self, read: str = "") -> str:
        """The alias whose cells answer: that of the primary, if reads are routed to a replica."""
        read = read or self.db
        if self._db is not None or not router.routers:
            return read
        write = router.db_for_write(self.model, **self._hints)
        # Another database altogether, say one that is only read, answers for itself.
        return write if write != read and is_copy(read, write) else read

    def _entry_kind(self) -> bytes | None:
        """The kind of this queryset's list entry, ``None`` for results of any other shape."""
        if issubclass(self._iterable_class, ModelIterable):
            return b"rows"
        return b"values" if self._iterable_class in SHAPES else None

    def _asked_by_get(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The queryset that Django's ``get`` evaluates."""
        clone: Any = self._chain() if self.query.combinator else self.filter(*args, **kwargs)  # type: ignore[attr-defined]
        if self.query.can_filter() and not self.query.distinct_fields:
            clone = clone.order_by()
        clone.query.set_limits(high=MAX_GET_RESULTS)
        return clone

    def _list_entry(self) -> ListEntry:
        kind = self._entry_kind() or b"values"
        structure, values = fingerprint.walk(self.query)
        primary = self._primary()
        return ListEntry(self, kind, structure, values, self.query, primary, to_read=False)

    # Writes

    def update(self, **kwargs: Any) -> int:
        self._for_write = True
        pks = self._literal_pks("update")
        run = partial(super().update, **kwargs)
        if pks is None and is_own_table(self.model, kwargs):
            condition = partial(self._own_condition, "update")
            return touching(self.model, self.db, run, "UPDATE", condition)
        with updating(self.model, pks, self.db):
            return run()

    update.alters_data = True  # type: ignore[attr-defined]

    def _update(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        # What Model.save() calls.
        with updating(self.model, self._literal_pks("_update"), self.db):
            return super()._update(values, *args, **kwargs)  # type: ignore[misc]

    _update.alters_data = True  # type: ignore[attr-defined]
    _update.queryset_only = False  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        # What cascades call: the rows are known to the database alone.
        run = partial(super()._raw_delete, using)
        condition = partial(self._own_condition, "_raw_delete")
        return touching(self.model, using or self.db, run, "DELETE", condition)

    _raw_delete.alters_data = True  # type: ignore[attr-defined]

    def _insert(self, objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        using = kwargs.get("using") or self.db
        run = partial(super()._insert, objs, fields, *args, **kwargs)  # type: ignore[misc]
        return insert(self.model, using, run)

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]

    def _own_condition(self, method: str) -> Any:
        """A query for the same rows, if a row's own columns alone tell whether it is one."""
        if overridden(type(self), method):
            return None
        query = self.query.clone()
        query.clear_ordering(force=True)
        query.clear_select_clause()
        query.clear_deferred_loading()
        name = self.model._meta.db_table
        try:
            plan = plan_of(query, fingerprint.walk(query)[0])
        except Exception as error:
            if not isinstance(error, Uncacheable):
                count_uncached(error, self.model)
            return None
        if (
            query.where.contains_aggregate
            or query.where.contains_over_clause
            or plan.tables.keys() != {name}
            or name not in plan.once
        ):
            return None
        return query

    def _literal_pks(self, method: str) -> list[Any] | None:
        """The rows it names by key, at most which ``method`` writes to; ``None`` if unknown."""
        if overridden(type(self), method):
            # Of a class further down, which may write to others.
            return None
        schema = schema_or_none(self.model)
        return literal_pks(self.query, schema.table if schema else None)

    # Clones

    def using(self, alias: str | None) -> Any:
        clone: Any = super().using(alias)
        if clone._cache_options.depends_on:
            check_declared(clone._cache_options.depends_on, clone._primary())
        return clone

    def _with_options(self, options: EntryOptions) -> CachedQuerySet[_M]:
        clone = self._chain()  # type: ignore[attr-defined]
        clone._cache_options = options
        return clone  # type: ignore[no-any-return]

    def _without_key(self) -> CachedQuerySet[_M]:
        return self._with_options(replace(self._cache_options, key=None))

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]
        if self._cache_options is not PLAIN_OPTIONS:
            clone._cache_options = self._cache_options
        return clone


def _is_down() -> bool:
    """Whether the store is known not to answer."""
    cache = runtime.built()
    return cache is not None and cache.store.is_down


def _is_count(found: Any) -> bool:
    return type(found) is int and found >= 0


def _is_bool(found: Any) -> bool:
    return type(found) is bool
