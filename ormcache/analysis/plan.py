"""What a query depends on: the tables and columns whose change can alter its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import Model
from django.db.models.sql.query import Query

from ormcache.analysis.columns import EVERY_COLUMN, Reads
from ormcache.analysis.memo import Memo
from ormcache.analysis.structure import Structure
from ormcache.modelset import forget_with_models
from ormcache.schema.watched import WatchList, watch_list

__all__ = ["EVERY_COLUMN", "Plan", "plan_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one structure depends on, whatever values are bound to it.

    ``tables`` maps each table to the columns whose change can alter membership, order or data of
    the result; ``{"*"}`` means all. Rows coming and going in a table count for every table there.
    ``models`` maps each table to its concrete model, as far as known.
    """

    tables: Mapping[str, frozenset[str]]
    models: Mapping[str, type[Model]]
    once: frozenset[str]
    """The tables with one alias only: a condition on it is one on all their rows that count."""


_plans: Memo[tuple[Structure, WatchList], Plan] = Memo(2048)
forget_with_models(_plans.clear)


def plan_of(query: Query, structure: Structure) -> Plan:
    """The plan of ``query``, whose structure ``fingerprint.walk`` gave.

    The columns of model instances are no part of it, because rows are fetched by primary key.
    No database is touched. Raises Uncacheable for what does not resolve.
    """
    # A model that appears may take the place of one that a name in the structure led to.
    key = (structure, watch_list())
    known = _plans.get(key)
    if known is None:
        known = _plans[key] = _plan(query)
    return known


def _plan(query: Query) -> Plan:
    reads = Reads()
    reads.query(query, rows_apart=True)
    return Plan(
        MappingProxyType({table: _narrow(columns) for table, columns in reads.tables.items()}),
        MappingProxyType(reads.models),
        frozenset(table for table, count in reads.aliases.items() if count == 1),
    )


def _narrow(columns: set[str]) -> frozenset[str]:
    return frozenset({EVERY_COLUMN}) if EVERY_COLUMN in columns else frozenset(columns)
