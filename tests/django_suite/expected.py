"""Tests of Django that differ where every model is cached, each with the reason."""

from __future__ import annotations

_EMPTIED = "its rows of contenttypes or sites, made by migrate, are emptied between tests"
_LAST = "it looks at the last statement, which is the COMMIT of a transaction of the INSERT's own"

EXPECTED: dict[str, str] = {
    **dict.fromkeys(
        (
            f"prefetch_related.tests.GenericRelationTests.test_{name}"
            for name in (
                "charfield_GFK",
                "custom_queryset",
                "generic_relation",
                "prefetch_GFK",
                "prefetch_GFK_nonint_pk",
                "reverse_generic_relation",
                "traverse_GFK",
            )
        ),
        _EMPTIED,
    ),
    "queries.tests.Queries5Tests.test_ordering": _EMPTIED,
    **dict.fromkeys(
        (
            f"queries.test_db_returning.ReturningValuesTests.test_insert_returning{name}"
            for name in ("", "_multiple")
        ),
        _LAST,
    ),
    "queries.tests.Queries1Tests.test_tickets_2076_7256": (
        "it looks at joins that compiling adds, and a hit compiles nothing"
    ),
    "prefetch_related.tests.MultiTableInheritanceTest.test_child_link_prefetch": (
        "the reads of the runner within a prefetch are counted"
    ),
}
"""How the suite differs, by the name of the test."""
