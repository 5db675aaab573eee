"""The reads of the matrix that ask the database each time, and why.

``python -m tests.integration.matrix.uncached`` writes them into the reference.
"""

from __future__ import annotations

import os
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "uncached.rst"

PASSES = "passes the cache by"
_LOOSE_TEXT = "text primary keys are compared loosely by this database"
_SEARCH = (
    "django.contrib.postgres.search.{} is not known to be deterministic; declare it with "
    "ormcache.stable"
)
_SETTINGS = "django.contrib.postgres.lookups.{} depends on settings of the session"

ALWAYS: dict[str, str] = {
    "get by a key of two columns": "matrixapp.Seat has a composite primary key",
    "seats": "matrixapp.Seat has a composite primary key",
    "film list": "testapp.Film.CacheMeta.lists is False",
    "not cached model": PASSES,
    "only across a relation": "it defers fields of related models",
    "iterator": PASSES,
    "raw": PASSES,
    "select_for_update": PASSES,
    "nocache": PASSES,
    "extra": "extra(where=...) is raw SQL",
    "extra select": "extra(select=...) is raw SQL",
    "select_related: child": "select_related follows restaurant to a child table",
    "select_related: another's child": "select_related follows wing_beside to a child table",
    "annotate Now": "Now() is volatile: it changes with time",
    "annotate Random": "Random() is volatile",
    "annotate RawSQL": "RawSQL is a fragment nobody can analyse",
    "subquery: random order": "a random order is volatile",
    "union of two models": "union() of different models",
    "explain": PASSES,
}
"""On every database."""

ON: dict[str, dict[str, str]] = {
    "sqlite": {"in a transaction": PASSES},
    "postgres": {
        "PostgreSQL title__search='number'": _SETTINGS.format("SearchLookup"),
        "PostgreSQL title__trigram_similar='the cat'": _SETTINGS.format("TrigramSimilar"),
        "PostgreSQL title__trigram_word_similar='cat'": _SETTINGS.format("TrigramWordSimilar"),
        "PostgreSQL vector='cat'": _SEARCH.format("SearchVectorExact"),
        "PostgreSQL SearchVector": _SEARCH.format("SearchVector"),
        "PostgreSQL SearchRank": _SEARCH.format("SearchRank"),
        "PostgreSQL TrigramSimilarity": _SEARCH.format("TrigramSimilarity"),
    },
    "mariadb": {
        "get by text key": _LOOSE_TEXT,
        "join: to itself": _LOOSE_TEXT,
        "select_related: to a text key": (
            "select_related follows a relation to testapp.Category, whose rows are not cached: "
            + _LOOSE_TEXT
        ),
        "attribute: foreign key to text": _LOOSE_TEXT,
    },
}
"""On one database besides."""

TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}

HEAD = """\
.. Written by ``python -m tests.integration.matrix.uncached``; the tests compare.

================
What is uncached
================

The tests hold every kind of write against every kind of read
(``tests/integration/matrix``). These reads among them ask the database each time. A reason is
given in the words of the ``ormcache.uncached`` log line; "passes the cache by" are reads that do
so on purpose. The rules behind them are in :doc:`../explanation/dependencies`. GIS is not tried.

.. list-table::
   :header-rows: 1

   * - Read
     - Database
     - Reason
"""


def uncached(database: str) -> dict[str, str]:
    """The reason by read."""
    return ALWAYS | ON[database]


def rendered() -> str:
    """The page of the reference."""
    lines = [(name, "every", why) for name, why in ALWAYS.items()]
    for database, reads in ON.items():
        lines += [(name, TITLES[database], why) for name, why in reads.items()]
    return HEAD + "".join(
        f"   * - ``{name}``\n     - {database}\n     - {why}\n" for name, database, why in lines
    )


if __name__ == "__main__":
    PAGE.write_text(rendered())
    print(f"wrote {os.path.relpath(PAGE)}")
