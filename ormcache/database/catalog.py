"""What the database itself says of a column: whether it compares values as its field suggests.

A ``CharField`` over a ``citext`` column takes ``"A"`` and ``"a"`` for one value, ``char(5)`` pads
what it is given, and a column that was made or changed by hand may be of any type. So partitions
and primary keys count only where the column is of a type, and of a collation, that compares
exactly. It is asked once for each table of a database, before the first row or list of it is
stored and before the first write to it is marked; never on a hit. Until then a reader believes
the model: it finds what others have stored, and they know.
"""

from __future__ import annotations

import re
import uuid
from functools import lru_cache
from typing import Any

from ormcache.modelset import forget_with_models
from ormcache.schema.partitions import Scheme, integer_range, scheme
from ormcache.schema.tables import Schema, Table


class Catalog:
    """The answers so far. ``version`` changes with what follows from them."""

    def __init__(self) -> None:
        self.version = 0
        self._loose: dict[tuple[str, str], frozenset[str]] = {}

    def loose(self, label: str, table: str) -> frozenset[str]:
        """The columns known not to compare exactly; those of the partitions and the key count."""
        return self._loose.get((label, table), _NONE)

    def learns(self, label: str, table: Table, connection: Any) -> bool:
        """Ask about a table that is not known yet. Whether something was learned that changes
        what lists rely on. Raises what the database raises."""
        if (label, table.name) in self._loose:
            return False
        found = _loose_columns(table, connection)
        if found is None:
            # No such table, as far as the connection sees: it may come.
            return True
        self._loose[label, table.name] = found
        self.version += bool(found)
        return bool(found)

    def forget(self, label: str = "") -> None:
        """Ask again: the tables were changed. Without ``label`` those of every database."""
        for key in list(self._loose):
            if label in ("", key[0]):
                self._loose.pop(key, None)
        self.version += 1


_NONE: frozenset[str] = frozenset()
catalog = Catalog()
forget_with_models(catalog.forget)


def scheme_in(label: str, vendor: str, table: Table) -> Scheme:
    """The partitions that count in a database, as far as is known of its columns."""
    found, loose = table.scheme_on(vendor), catalog.loose(label, table.name)
    return _without(found, loose) if loose else found


@lru_cache(maxsize=1024)
def _without(found: Scheme, columns: frozenset[str]) -> Scheme:
    return scheme(tuple(each for each in found.partitions if each.column not in columns))


def names_rows(label: str, table: Table) -> bool:
    """Whether the primary key names one row exactly, as far as is known."""
    return table.pk_column not in catalog.loose(label, table.name)


def refusal(label: str, schema: Schema) -> str:
    """Why rows of a model cannot be cells in a database; empty if they can, as far as is known."""
    for table in schema.tables:
        if not names_rows(label, table):
            return (
                f"the column {table.name}.{table.pk_column} is of a type or collation that does "
                "not compare as its field does, so a primary key does not name one row"
            )
    return ""


def _loose_columns(table: Table, connection: Any) -> frozenset[str] | None:
    """The columns among the partitions and the key that do not compare exactly; ``None`` if there
    is no such table."""
    is_exact, sql = _ASKED.get(connection.vendor, (None, ""))
    if is_exact is None:
        return frozenset()
    # The driver's own cursor: a question of the cache's is not a query of the application.
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    try:
        name = table.name
        if connection.vendor == "postgresql":
            name = connection.ops.quote_name(name)
        cursor.execute(sql, (name,))
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    finally:
        cursor.close()
    if not found:
        return None
    wanted = [(each.column, each.kind, each.field) for each in table.scheme.partitions]
    wanted.append((table.pk_column, table.pk_type, table.pk))
    return frozenset(
        column
        for column, kind, field in wanted
        if column not in found or not is_exact(kind, field, *found[column])
    )


_POSTGRESQL = """
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), c.collisdeterministic
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
    WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_VARCHAR = re.compile(r"character varying\((\d+)\)")


def _is_exact_on_postgresql(kind: type, field: Any, named: str, deterministic: Any) -> bool:
    if kind is int:
        return named in ("smallint", "integer", "bigint")
    if kind is uuid.UUID:
        return named == "uuid"
    if deterministic is False:
        return False
    limited = _VARCHAR.fullmatch(named)
    if limited is None:
        return named in ("text", "character varying")
    # It cuts blanks off what is longer.
    return field.max_length is not None and field.max_length <= int(limited[1])


_SQLITE = """
    SELECT p.name, p.type, m.sql FROM sqlite_master m, pragma_table_xinfo(m.name) p
    WHERE m.name = ?
"""


def _is_exact_on_sqlite(kind: type, field: Any, named: str, definition: str | None) -> bool:
    named = named.upper()
    if kind is int:
        return "INT" in named
    # Which column a collation belongs to is not told.
    return ("CHAR" in named or "TEXT" in named) and "COLLATE" not in (definition or "").upper()


_MYSQL = """
    SELECT column_name, data_type, column_type FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s
"""


_BYTES = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8}


def _is_exact_on_mysql(kind: type, field: Any, named: str | bytes, whole: str | bytes) -> bool:
    named, whole = (
        (name.decode() if isinstance(name, bytes) else name).lower() for name in (named, whole)
    )
    if kind is int:
        if named not in _BYTES:
            return False
        # A narrower column makes the nearest number of what it cannot hold, where it may.
        most = 1 << 8 * _BYTES[named]
        lowest = 0 if "unsigned" in whole else -most // 2
        least, greatest = integer_range(field)
        return lowest <= least and greatest < lowest + most
    # Text is compared loosely whatever its type: its partitions and keys count nowhere there. A
    # UUID is written in one way.
    return kind is str or named in ("char", "varchar", "uuid")


_ASKED: dict[str, tuple[Any, str]] = {
    "postgresql": (_is_exact_on_postgresql, _POSTGRESQL),
    "sqlite": (_is_exact_on_sqlite, _SQLITE),
    "mysql": (_is_exact_on_mysql, _MYSQL),
}
