"""Every kind of read, by name."""

from __future__ import annotations

from tests.integration.matrix.reads import expressions, lookups, postgres, relations, rows, shapes
from tests.integration.matrix.values import Read

_TABLES = (rows, lookups, relations, expressions, shapes, postgres)

READS: dict[str, Read] = {name: read for table in _TABLES for name, read in table.READS.items()}
"""What it returns holds for the rows as they are; names stand in the docs, too."""

assert len(READS) == sum(len(table.READS) for table in _TABLES), "two reads of one name"
