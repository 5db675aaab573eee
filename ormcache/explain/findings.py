"""Why a query is cached or not, how it is answered, and what the cache holds of it now.

Runs no SQL, evaluates and counts nothing, changes nothing in the store. It goes the way a read
goes (``CachedQuerySet``), and stops where that one would ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.models.query import ModelIterable
from django.db.models.sql.query import Query

from ormcache import runtime
from ormcache.analysis import dependencies, fingerprint
from ormcache.analysis.genuine import own_compiler
from ormcache.exceptions import StoreError, Uncacheable
from ormcache.explain import depends_on
from ormcache.explain.entry import view_entry
from ormcache.explain.explanation import CellState, Dependency, Explanation
from ormcache.explain.row import HIT, CellView, view_rows
from ormcache.reads import faults
from ormcache.reads.by_pk import named_pk, named_pks
from ormcache.reads.bypass import bypassed
from ormcache.reads.entries import ListEntry
from ormcache.reads.pointers import Pointers
from ormcache.schema.options import timeout_of
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on
from ormcache.text import cli_text
from ormcache.writes.hooks import state_of

_Find = Callable[["_Findings", tuple[Any, ...], dict[str, Any]], None]

MOST_CELLS = 100
"""Row cells looked at; the state of more is not told."""


def explain(
    queryset: Any, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Explanation:
    """The explanation of ``queryset.verb(*args, **kwargs)``, of its own evaluation without a
    verb. Raises ``ValueError`` for a verb that is not known, and what Django raises for wrong
    arguments."""
    find = _VERBS.get(verb)
    if find is None:
        known = ", ".join(repr(name) for name in _VERBS if name)
        raise ValueError(f"explain_cache() knows {known}, or nothing, not {verb!r}.")
    if (args or kwargs) and verb not in ("get", "aggregate"):
        raise TypeError(f"explain_cache({verb!r}) takes no further arguments.")
    found = _Findings(queryset)
    try:
        find(found, args, kwargs)
    except Uncacheable as error:
        found.reasons.append(error.reason)
    return found.explanation()


def _understood(find: _Find) -> _Find:
    """``find``, of which an error is a reason to be told: it would keep a read from the cache."""

    def told(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            find(found, args, kwargs)
        except Uncacheable:
            raise
        except Exception as error:
            faults.note(error)
            raise Uncacheable(f"the analysis failed: {error!r}") from error

    return told


class _Findings:
    """What is found out on the way."""

    def __init__(self, queryset: Any) -> None:
        self.queryset = queryset
        self.using: str = queryset._primary()
        self.connection = connections[self.using]
        self.state = state_of(self.connection)
        self.kind = "list"
        self.timeout: float | None = None
        self.reasons = _switched_off(queryset)
        self.not_stored = list(filter(None, [self.state.fill_refusal()]))
        self.notes: list[str] = []
        self.depends_on: list[Dependency] = []
        self.current = "none"
        self.entry: CellState | None = None
        self.stamps: tuple[CellState, ...] = ()
        self.rows: tuple[CellState, ...] = ()
        if self.using != queryset.db:
            self.notes.append(f"reads routed to {queryset.db!r} are answered by its primary")
        if queryset._prefetch_related_lookups:
            self.notes.append("prefetch_related() makes a query of its own for each relation")
        if self.state.asks_isolation:
            self.notes.append(
                "whether it may be stored depends on the isolation level, not asked for yet"
            )

    def explanation(self) -> Explanation:
        return Explanation(
            model=self.queryset.model._meta.label,
            database=self.using,
            kind=self.kind,
            cached=not self.reasons,
            reasons=tuple(dict.fromkeys(self.reasons)),
            not_stored=tuple(self.not_stored),
            notes=tuple(self.notes),
            depends_on=tuple(self.depends_on),
            timeout=self.timeout,
            state=self.current,
            entry=self.entry,
            stamps=self.stamps,
            rows=self.rows,
        )

    def by_pks(self, schema: Schema, pks: list[Any]) -> None:
        """The rows come from their cells."""
        self.timeout = timeout_of(schema.model, runtime.current().config.timeout)
        tables = self.state.pending.tables if self.state.pending is not None else {}
        dirty = [table.name for table in schema.tables if table.name in tables]
        if any(tables[name].touches(pk) for name in dirty for pk in pks):
            self.reasons.append("the running transaction wrote to these rows")
        elif dirty:
            self.not_stored.append(f"the running transaction wrote to {', '.join(dirty)}")
        if len(pks) > MOST_CELLS:
            self.notes.append(f"the state of {MOST_CELLS} of {len(pks)} rows is shown")
        try:
            views = view_rows(schema, pks[:MOST_CELLS], self.using)
        except StoreError as error:
            self.current = "unreachable"
            self.notes.append(str(error))
            return
        self.rows = tuple(map(_row_state, views))
        others = [each.state for each in self.rows if each.state != "hit"]
        self.current = others[0] if others else "hit"

    def by_entry(self, kind: bytes, structure: Any, values: list[Any], query: Any) -> None:
        """The result comes from a list entry."""
        queryset, label = self.queryset, self.state.label
        options = queryset._cache_options
        site = runtime.current().config.timeout
        self.timeout = timeout_of(queryset.model, site, options.timeout)
        vendor, secured = self.connection.vendor, self.state.sight.secured
        template = dependencies.of_query(query, structure, label, vendor, secured)
        self.depends_on += depends_on.of_template(template, query)
        self.depends_on += depends_on.of_declared(
            options.depends_on, label, self.connection.vendor
        )
        entry = ListEntry(queryset, kind, structure, values, query, self.using, to_read=False)
        pending = self.state.pending
        dirty = [name for name in entry.tables if pending is not None and name in pending.tables]
        if dirty:
            self.reasons.append(f"the running transaction wrote to {', '.join(dirty)}")
        if options.reset:
            self.notes.append("reset(): it runs the SQL and overwrites the entry")
        self.entry, self.stamps = view_entry(entry.entry, entry._coarse, self.timeout)
        self.current = self.entry.state


def _switched_off(queryset: Any) -> list[str]:
    """What keeps any query of this kind from the cache."""
    reasons = []
    connection = connections[queryset._primary()]
    if bypassed.get():
        reasons.append("bypass() is active")
    if queryset._cache_options.off:
        reasons.append("nocache() was called")
    if not runtime.current().config.enabled:
        reasons.append('ORMCACHE["ENABLED"] is False')
    if queryset.query.is_empty():
        reasons.append("it asks for nothing, and so the database is not asked either")
    if queryset.query.select_for_update:
        reasons.append("select_for_update() locks rows")
    if reason := own_compiler(connections[queryset.db].ops):
        reasons.append(reason)
    if connections[queryset.db].needs_rollback:
        reasons.append("the transaction is broken and has to be rolled back")
    sight = state_of(connection).sight
    if not sight.may_read([queryset.model._meta.db_table]):
        reasons.append(sight.reason)
    return reasons


@_understood
def _evaluation(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    queryset = found.queryset
    if type(queryset.query) is not Query:
        queryset = found.queryset = queryset._resolved()
    kind = queryset._entry_kind()
    if kind is None:
        raise Uncacheable(f"{queryset._iterable_class.__name__} is a shape of its own")
    if kind == b"values":
        return _data("values")(found, args, kwargs)
    queryset._check_own("list")
    if queryset._iterable_class is not ModelIterable:
        name = queryset._iterable_class.__name__
        found.notes.append(f"{name} makes the result of these rows, with queries of its own")
    pointers = Pointers(queryset, found.using)
    pks = named_pks(queryset)
    if pks is not None and not pointers.needs_entry:
        found.kind = "rows"
        found.depends_on += depends_on.of_rows(pointers.schema, pks, pointers.branches)
        return found.by_pks(pointers.schema, pks)
    queryset._check_lists()
    structure, values = fingerprint.walk(queryset.query)
    found.by_entry(kind, structure, values, queryset.query)
    found.depends_on += depends_on.of_rows(pointers.schema, None, pointers.branches)


def _data(kind: str) -> _Find:
    @_understood
    def find(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.kind = kind
        found.queryset._check("list" if kind == "values" else kind)
        query = found.queryset.query
        found.by_entry(kind.encode(), *fingerprint.walk(query), query)

    return find


def _aggregate(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    found.kind = "aggregate"
    found.queryset._check("aggregate")
    if not (args or kwargs):
        raise Uncacheable("aggregate() without arguments asks for nothing")
    named = kwargs | {arg.default_alias: arg for arg in args}
    found.by_entry(b"aggregate", *fingerprint.walk_aggregate(found.queryset.query, named))


def _get(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    queryset = found.queryset
    if queryset._cache_options.key is not None and (args or kwargs):
        found.notes.append("get() with conditions leaves the key aside")
        queryset = queryset._without_key()
    pk = named_pk(queryset, args, kwargs)
    if pk is not None:
        found.kind = "rows"
        schema = schema_on(queryset.model, found.connection.vendor)
        found.depends_on += depends_on.of_rows(schema, [pk], [])
        return found.by_pks(schema, [pk])
    found.queryset = queryset._asked_by_get(args, kwargs)
    _evaluation(found, (), {})


def _first(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    queryset = found.queryset
    found.queryset = (queryset if queryset.ordered else queryset.order_by("pk"))[:1]
    _evaluation(found, args, kwargs)


def _last(found: _Findings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    queryset = found.queryset
    found.queryset = (queryset.reverse() if queryset.ordered else queryset.order_by("-pk"))[:1]
    _evaluation(found, args, kwargs)


_VERBS: dict[str, _Find] = {
    "": _evaluation,
    "get": _get,
    "first": _first,
    "last": _last,
    "count": _data("count"),
    "exists": _data("exists"),
    "aggregate": _aggregate,
}
VERBS = frozenset(_VERBS) - {""}
"""The methods of a queryset that can be explained."""


def _row_state(view: CellView) -> CellState:
    state = {HIT: "hit", "unusable": "stale", "lease": "leased"}.get(view.state, view.state)
    key = cli_text(view.key)
    return CellState(view.table, key, state, view.reason, view.size, view.ttl_ms)
