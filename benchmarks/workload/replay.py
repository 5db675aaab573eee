"""Carries out operations of the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db import connection

from benchmarks.workload.pages import PAGES
from benchmarks.workload.plan import Operation
from benchmarks.workload.tally import Tracker
from benchmarks.workload.writes import KINDS


def replay(operations: Iterable[Operation], tracker: Tracker) -> None:
    for operation in operations:
        if operation.is_write:
            tracker.write(operation.kind, KINDS[operation.kind], operation.arguments)
        else:
            PAGES[operation.kind](tracker, *operation.arguments)


def statement_counter() -> Counter[str]:
    """Counts the SQL statements of the default connection from now on, as ``["sql"]``."""
    counted: Counter[str] = Counter()

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        counted["sql"] += 1
        return execute(sql, params, many, context)

    connection.execute_wrappers.insert(0, count)
    return counted
