"""Every kind of write, by name."""

from __future__ import annotations

from tests.integration.matrix.writes import (
    deletes,
    instances,
    querysets,
    rawsql,
    relations,
    transactions,
)
from tests.integration.matrix.writes.types import Write

_TABLES = (instances, querysets, relations, deletes, transactions, rawsql)

WRITES: dict[str, Write] = {
    name: write for table in _TABLES for name, write in table.WRITES.items()
}

assert len(WRITES) == sum(len(table.WRITES) for table in _TABLES), "two writes of one name"
