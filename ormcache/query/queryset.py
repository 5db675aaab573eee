"""The queryset of a CachedModel: ordinary ORM code, answered from the cache where it can be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, models, router
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    QuerySet,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.query_utils import Q
from django.db.models.utils import create_namedtuple_class

from ormcache.conf import timeout_seconds
from ormcache.databases import is_copy
from ormcache.exceptions import StoreError, Uncacheable
from ormcache.options import DEFAULT, options_of
from ormcache.query import fingerprint
from ormcache.query.bypass import bypassed
from ormcache.query.dependencies import check_declared
from ormcache.query.instances import builder
from ormcache.query.lists import EntryOptions, ListEntry, count_uncached, read_data
from ormcache.query.pointers import Pointers, plain
from ormcache.query.rows import read_row
from ormcache.schema import Table, schema_on, schema_or_none
from ormcache.stats import counters
from ormcache.writes.announce import insert, literal_pks, touching, updating

_M = TypeVar("_M", bound=models.Model)
_PLAIN_OPTIONS = EntryOptions()
_ALL_LOADED = (frozenset[str](), True)
_LONGEST_KEY = 10_000


class CachedQuerySet(QuerySet[_M, _M], Generic[_M]):
    """A QuerySet that reads through the cache and announces what it writes."""

    _cache_options: EntryOptions = _PLAIN_OPTIONS

    if TYPE_CHECKING:
        # Django's own, which its type stubs leave out.
        _db: str | None
        _hints: dict[str, Any]
        _query: Any
        _deferred_filter: Any
        _known_related_objects: dict[Any, Any]
        _prefetch_done: bool
        _prefetch_related_lookups: tuple[Any, ...]
        _prefetch_related_objects: Any

    # The verbs

    def cache(
        self,
        key: str | None = None,
        timeout: Any = DEFAULT,
        depends_on: Any = (),
    ) -> CachedQuerySet[_M]:
        """A clone with options for its list entry; this queryset is left as it is.

        ``key`` replaces the computed fingerprint: the entry answers every query of this shape
        and these partitions that names the key, whatever its other values. ``timeout``: seconds,
        a timedelta, ``None`` for no expiry. ``depends_on``: instances, models or querysets whose
        change invalidates the entry too. Raises ``TypeError`` or ``ValueError`` for anything else.
        """
        if key is not None and not isinstance(key, str):
            raise TypeError(f"cache(key=…) must be a string, not {type(key).__name__}.")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise ValueError(f"cache(key=…) must have 1 to {_LONGEST_KEY} characters.")
        if timeout is not DEFAULT:
            try:
                timeout = timeout_seconds(timeout)
            except ValueError as error:
                raise ValueError(f"cache(timeout=…) {error}") from None
        return self._with_options(
            EntryOptions(key, timeout, check_declared(depends_on), self._cache_options.reset)
        )

    def reset(self) -> CachedQuerySet[_M]:
        """A clone that on evaluation runs the SQL and overwrites the cached list."""
        old = self._cache_options
        return self._with_options(EntryOptions(old.key, old.timeout, old.depends_on, True))

    def clean(self) -> None:
        """Drop this queryset's cached entry now. Runs no SQL, returns nothing."""
        try:
            self._list_entry().drop()
        except (StoreError, Uncacheable) as error:
            count_uncached(error)

    def execute(self) -> None:
        """Evaluate now, again if it was evaluated before. Returns nothing."""
        self._result_cache = None
        self._prefetch_done = False
        self._fetch_all()

    async def aclean(self) -> None:
        """``clean`` for async code."""
        await sync_to_async(self.clean)()

    async def aexecute(self) -> None:
        """``execute`` for async code."""
        await sync_to_async(self.execute)()

    # Reads

    def get(self, *args: Any, **kwargs: Any) -> _M:
        options = self._cache_options
        if options.key is not None and (args or kwargs):
            # The key names the list, not whichever row is asked of it.
            return self._with_options(replace(options, key=None)).get(*args, **kwargs)
        pk = self._named_pk(args, kwargs)
        if pk is not None:
            try:
                return self._get_row(pk)
            except Uncacheable as error:
                count_uncached(error)
        return super().get(*args, **kwargs)

    def count(self) -> int:
        if self._result_cache is not None or not self._uses_cache():
            return super().count()
        return int(self._data(b"count", QuerySet.count, _is_count))

    def exists(self) -> bool:
        if self._result_cache is not None or not self._uses_cache():
            return super().exists()
        return bool(self._data(b"exists", QuerySet.exists, _is_bool))

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        run = super().aggregate
        if not self._uses_cache() or not (args or kwargs):
            return run(*args, **kwargs)
        try:
            self._check_lists()
            # As in Django, where a positional expression takes the place of its namesake.
            named = kwargs | {arg.default_alias: arg for arg in args}
            walked = fingerprint.walk_aggregate(self.query, named)
        except Exception as error:
            # Django says best what is wrong with the expressions.
            if isinstance(error, Uncacheable):
                count_uncached(error)
            return run(*args, **kwargs)
        primary = self._primary()
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
            self._result_cache = self._fetch() if self._uses_cache() else plain(self)
        if self._prefetch_related_lookups and not self._prefetch_done:
            self._prefetch_related_objects()

    def _fetch(self) -> list[Any]:
        kind = self._iterable_class
        try:
            if kind is ModelIterable:
                pointers = Pointers(self, self._primary())
                pks = self._named_pks()
                if pks is not None and not pointers.needs_entry:
                    return pointers.by_pks(pks)
                self._check_lists()
                return pointers.by_list()
            if kind in _SHAPES:
                return self._fetch_values()
        except Uncacheable as error:
            count_uncached(error)
        return plain(self)

    def _fetch_values(self) -> list[Any]:
        """values() and values_list(): one entry for all their shapes, as lists of columns."""
        width = len(_names(self))

        def is_rows(found: Any) -> bool:
            return type(found) is list and all(
                type(row) is list and len(row) == width for row in found
            )

        rows = self._data(b"values", lambda on: list(map(list, ValuesListIterable(on))), is_rows)
        shaped: list[Any] = _SHAPES[self._iterable_class](self, rows)
        return shaped

    def _data(self, kind: bytes, run: Any, is_valid: Any) -> Any:
        try:
            self._check_lists()
            structure, values = fingerprint.walk(self.query)
        except Uncacheable as error:
            count_uncached(error)
            return run(self)
        primary = self._primary()
        walked = (structure, values, self.query)
        return read_data(self, kind, walked, primary, lambda: run(self._on(primary)), is_valid)

    def _on(self, primary: str) -> Any:
        """This queryset, reading from the primary database, where a fill has to read."""
        if self._db == primary:
            return self
        clone = self._chain()  # type: ignore[attr-defined]
        clone._db = primary
        return clone

    def _get_row(self, pk: Any) -> _M:
        using = self._primary()
        schema = schema_on(self.model, connections[using].vendor)
        row = read_row(schema, pk, using)
        if row is None:
            model: Any = self.model
            raise model.DoesNotExist(
                f"{self.model._meta.object_name} matching query does not exist."
            )
        build = builder(self.model, schema.attnames, self.db, getattr(self, "_fetch_mode", None))
        return build(row)  # type: ignore[no-any-return]

    def _named_pk(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The primary key that ``get`` asks for and nothing else, or ``None``."""
        if args:
            if kwargs or len(args) > 1 or type(args[0]) is not Q or args[0].negated:
                return None
            children = args[0].children
        else:
            children = list(kwargs.items())
        if len(children) != 1 or type(children[0]) is not tuple:
            return None
        name, value = children[0]
        meta = self.model._meta
        if name != "pk" and name != meta.pk.attname and name != meta.pk.name:
            return None
        if not self._uses_cache() or not self._is_bare():
            return None
        schema = schema_or_none(self.model)
        return value if schema is not None and _is_key(value, schema.table) else None

    def _is_bare(self) -> bool:
        """Whether the queryset asks for whole rows and restricts nothing yet."""
        if self._deferred_filter or self._iterable_class is not ModelIterable:
            return False
        query = self._query
        return not (
            query.where.children
            or query.select_related
            or query.annotations
            or query.extra
            or query.extra_tables
            or query.low_mark
            or query.high_mark is not None
            or query.combinator
            or query.distinct
            or query.select_for_update
            or query.group_by is not None
            or query.deferred_loading != _ALL_LOADED
            or self._prefetch_related_lookups
            or self._known_related_objects
            or self._cache_options is not _PLAIN_OPTIONS
        )

    def _named_pks(self) -> list[Any] | None:
        """The rows the query names by primary key, when it asks for exactly those rows."""
        query = self.query
        where: Any = query.where
        if (
            len(where.children) != 1
            or where.negated
            or query.annotations
            or query.extra
            or query.low_mark
            or query.combinator
            or query.distinct
            or query.select_for_update
            or query.group_by is not None
            or self._cache_options is not _PLAIN_OPTIONS
            or query.explain_info
        ):
            return None
        schema = schema_or_none(self.model)
        table = schema.table if schema else None
        pks = literal_pks(query, table)
        if pks is None or table is None or not all(_is_key(pk, table) for pk in pks):
            return None
        ordering = query.order_by or (query.default_ordering and query.get_meta().ordering) or ()
        if query.extra_order_by or query.extra_tables:
            return None
        if where.children[0].lookup_name == "in":
            return None if ordering or query.high_mark is not None else pks
        if query.high_mark is not None and query.high_mark < 1:
            return None
        # An order through a relation can find the row several times.
        own = {field.name for field in table.fields if not field.is_relation} | {"pk"}
        is_plain = all(type(name) is str and name.lstrip("-+") in own for name in ordering)
        return pks if is_plain else None

    def _check_lists(self) -> None:
        if not options_of(self.model).lists and self._cache_options is _PLAIN_OPTIONS:
            raise Uncacheable(f"{self.model._meta.label}.CacheMeta.lists is False")

    def _uses_cache(self) -> bool:
        if bypassed.get():
            counters["bypassed"] += 1
            return False
        query = self.query
        return not (query.select_for_update or connections[self.db].needs_rollback)

    def _primary(self) -> str:
        """The alias whose cells answer: that of the primary, if reads are routed to a replica."""
        read = self.db
        if self._db is not None or not router.routers:
            return read
        write = router.db_for_write(self.model, **self._hints)
        # Another database altogether, say one that is only read, answers for itself.
        return write if write != read and is_copy(read, write) else read

    def _list_entry(self) -> ListEntry:
        kind = b"rows" if self._iterable_class is ModelIterable else b"values"
        structure, values = fingerprint.walk(self.query)
        primary = self._primary()
        return ListEntry(self, kind, structure, values, self.query, primary, to_read=False)

    # Writes

    def update(self, **kwargs: Any) -> int:
        changes = self._changes(kwargs)
        if changes is None:
            return super().update(**kwargs)
        self._for_write = True
        pks = self._literal_pks()
        if pks is None and self._is_own_table(changes):
            run = partial(super().update, **kwargs)
            return touching(self.model, self.db, run, changes)
        with updating(changes, pks, self.db):
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def _update(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        # What Model.save() calls: the values are those of one instance.
        changes = [(field, value) for field, _, value in values]
        with updating(changes, self._literal_pks(), self.db):
            return super()._update(values, *args, **kwargs)  # type: ignore[misc]

    _update.alters_data = True  # type: ignore[attr-defined]
    _update.queryset_only = False  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        # What cascades call: the rows are known to the database alone.
        run = partial(super()._raw_delete, using)
        return touching(self.model, using or self.db, run)

    _raw_delete.alters_data = True  # type: ignore[attr-defined]

    def _insert(self, objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        using = kwargs.get("using") or self.db
        replaces = bool(kwargs.get("on_conflict")) and bool(kwargs.get("update_fields"))
        run = partial(super()._insert, objs, fields, *args, **kwargs)  # type: ignore[misc]
        return insert(self.model, objs, fields, using, run, replaces=replaces)

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]

    def _changes(self, kwargs: dict[str, Any]) -> list[tuple[Any, Any]] | None:
        try:
            return [(self.model._meta.get_field(name), value) for name, value in kwargs.items()]
        except Exception:
            # Django says best what is wrong with the names.
            return None

    def _is_own_table(self, changes: list[tuple[Any, Any]]) -> bool:
        """Whether an UPDATE changes no inherited table and no key."""
        model = self.model._meta.concrete_model
        return all(field.model is model and not field.primary_key for field, _ in changes)

    def _literal_pks(self) -> list[Any] | None:
        schema = schema_or_none(self.model)
        return literal_pks(self.query, schema.table if schema else None)

    # Clones

    def _with_options(self, options: EntryOptions) -> CachedQuerySet[_M]:
        clone = self._chain()  # type: ignore[attr-defined]
        clone._cache_options = options
        return clone  # type: ignore[no-any-return]

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]
        if self._cache_options is not _PLAIN_OPTIONS:
            clone._cache_options = self._cache_options
        return clone


def _is_key(pk: Any, table: Table) -> bool:
    """Whether a value names a row as it stands: of the key's type, and not beyond any column."""
    return type(pk) is table.pk_type and (type(pk) is not int or -(2**63) <= pk < 2**63)


def _is_count(found: Any) -> bool:
    return type(found) is int and found >= 0


def _is_bool(found: Any) -> bool:
    return type(found) is bool


def _as_dicts(queryset: Any, rows: list[Any]) -> list[Any]:
    names = _names(queryset)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _as_named(queryset: Any, rows: list[Any]) -> list[Any]:
    names = queryset._fields or _names(queryset)
    make = create_namedtuple_class(*names)._make
    return [make(row) for row in rows]


def _names(queryset: Any) -> list[str]:
    query = queryset.query
    if query.selected:
        return list(query.selected)
    return [*query.extra_select, *query.values_select, *query.annotation_select]


_SHAPES: dict[Any, Any] = {
    ValuesIterable: _as_dicts,
    ValuesListIterable: lambda queryset, rows: list(map(tuple, rows)),
    FlatValuesListIterable: lambda queryset, rows: [row[0] for row in rows],
    NamedValuesListIterable: _as_named,
}
