"""What each shortcut stands for, and whether all of that is Django's own.

A shortcut answers a call without what Django would have called for it. Where one of those methods
is a project's own, it would be skipped: it may hide rows, add to them or ask something else.
So the shortcut is not taken then, and Django's way is gone, which calls it. Classes are looked
at, not instances; each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models.query import ModelIterable
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.query import Query

# Where the methods of Django and of this project are written. A function that somebody put in
# their place has globals of its own.
_HOMES = frozenset(
    "django.db.models.query django.db.models.sql.query django.db.models.sql.compiler"
    " ormcache.queryset".split()
)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """``skipped``: what is not called at all. ``below``: what is not called of the classes behind
    ``CachedQuerySet`` in the order of methods; those before it have been called already."""

    below: tuple[str, ...]
    skipped: tuple[str, ...] = ()


SHORTCUTS = {
    # A row by its primary key, in place of filter(), order_by() and an evaluation.
    "get": Shortcut(
        below=("get",),
        skipped=tuple(
            "filter _filter_or_exclude _filter_or_exclude_inplace _chain _clone __init__ order_by"
            " query db __len__ _fetch_all _not_support_combined_queries".split()
        ),
    ),
    # A list, from its entry or from the rows it names, in place of ``list(iterable_class(self))``.
    "list": Shortcut(below=("_fetch_all",)),
    "count": Shortcut(below=("count",)),
    "exists": Shortcut(below=("exists",)),
    "aggregate": Shortcut(below=("aggregate",)),
    # The rows of an UPDATE or DELETE by the conditions of its queryset, in place of its statement.
    "update": Shortcut(below=("update",)),
    "_update": Shortcut(below=("_update",)),
    "_raw_delete": Shortcut(below=("_raw_delete",)),
}
# What the conditions of a query are made with, and its SQL.
_OF_QUERY = tuple(
    "add_q _add_q build_filter build_lookup get_compiler chain clone set_limits get_count"
    " has_results get_aggregation".split()
)


@cache
def overridden(kind: Any, shortcut: str) -> str:
    """Which method a shortcut would skip in a queryset class; empty if it may be taken."""
    stands_for = SHORTCUTS[shortcut]
    found = ""
    is_below = False
    # The last is object, whose methods are Python's.
    for each in kind.__mro__[:-1]:
        names = stands_for.skipped + (stands_for.below if is_below else ())
        found = found or _first_foreign(each, names)
        is_below = is_below or each.__dict__.get("_is_caching_queryset", False)
    return found or _first_foreign(Query, _OF_QUERY)


def own_compiler(operations: BaseDatabaseOperations) -> str:
    """What tells that a database backend brings its own compiler, which may add to any SQL; empty
    for Django's."""
    kind: Any = type(operations)
    return _own_compiler(kind, operations.compiler_module)


@cache
def _own_compiler(operations: Any, module: str) -> str:
    is_known = operations.compiler is BaseDatabaseOperations.compiler
    if is_known and module.startswith("django.") and _is_known(SQLCompiler.as_sql):
        return ""
    return f"the database backend has a compiler of its own, {module}"


class _CachedModels(ModelIterable):  # type: ignore[type-arg]
    """The instances Django's own iterable would make, from the cache."""

    def __iter__(self) -> Any:
        queryset: Any = self.queryset
        found = queryset._cached_models(queryset._primary())
        return super().__iter__() if found is None else iter(found)


@cache
def over_cached(kind: Any) -> Any:
    """A project's own iterable class, over instances from the cache: what it makes of them is its
    own code, which asks Django's class for them."""
    return type(kind.__name__, (kind, _CachedModels), {})


def _first_foreign(kind: type, names: tuple[str, ...]) -> str:
    for name in names:
        member = kind.__dict__.get(name)
        if member is not None and not _is_known(member):
            return f"{kind.__name__}.{name}() is not Django's own"
    return ""


def _is_known(member: Any) -> bool:
    if isinstance(member, property):
        parts = [part for part in (member.fget, member.fset, member.fdel) if part is not None]
        return all(map(_is_known, parts))
    return getattr(member, "__globals__", {}).get("__name__") in _HOMES
