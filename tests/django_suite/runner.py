"""How the suite is run: rows are committed, every read goes past the cache and twice through it.

Django's tests read in the transaction that wrote, where nothing is cached. Here each commits, as
on a database without transactions, which Django's own classes know how to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connections, models
from django.test import TestCase, TransactionTestCase
from django.test.runner import DiscoverRunner
from django.test.testcases import _AssertNumQueriesContext

import ormcache
from ormcache import runtime
from ormcache.queryset import CachedQuerySet
from tests.django_suite.expected import EXPECTED

TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
VERBS = ("get", "count", "exists", "aggregate")

_depth = 0
compared = 0
"""Reads that were held against the database."""


class Runner(DiscoverRunner):
    """Fails for a test that is not expected to fail, and for one that is and does not."""

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        TestCase._databases_support_transactions = classmethod(lambda cls: False)  # type: ignore[attr-defined]
        TransactionTestCase._fixture_teardown = empty  # type: ignore[attr-defined]
        _AssertNumQueriesContext.__exit__ = counted  # type: ignore[method-assign]
        kind: Any = CachedQuerySet
        kind._fetch_all = checked_list(kind._fetch_all)
        for verb in VERBS:
            setattr(CachedQuerySet, verb, checked(getattr(CachedQuerySet, verb)))

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        failed = {_name(test) for test, _ in [*result.failures, *result.errors]}
        ran = {name.rpartition(".")[0].split(".")[0] for name in failed} | set(_labels(suite))
        unexpected = sorted(failed - EXPECTED.keys())
        healed = sorted(
            name for name in EXPECTED if name.split(".")[0] in ran and name not in failed
        )
        print(f"{result.testsRun} tests, {compared} reads compared, {len(failed)} differ")
        for name in unexpected:
            print(f"UNEXPECTED {name}")
        for name in healed:
            print(f"NO LONGER {name}")
        return len(unexpected) + len(healed)


def _labels(suite: Any) -> Iterator[str]:
    for test in suite:
        if test is not None:
            yield _name(test).split(".")[0]


def _name(test: Any) -> str:
    # A subtest belongs to its test.
    return str(getattr(test, "test_case", test).id())


def empty(self: Any) -> None:
    """Empty all tables and the store, past everything that looks on."""
    for alias in self._databases_names(include_mirrors=False):
        connection = connections[alias]
        connection.ensure_connection()
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA foreign_keys = OFF")
        for table in connection.introspection.table_names():
            cursor.execute(f'DELETE FROM "{table}"')
        cursor.execute("DELETE FROM sqlite_sequence")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
    runtime.current().store.run([("FLUSHALL",)])


def counted(self: Any, kind: Any, value: Any, traceback: Any) -> None:
    """A write has a transaction of its own, which the test does not count."""
    super(_AssertNumQueriesContext, self).__exit__(kind, value, traceback)
    if kind is None:
        found = [query["sql"] for query in self if not query["sql"].startswith(TRANSACTION)]
        assert len(found) == self.num, f"{self.num} queries were expected, not {found}"


@contextmanager
def _unnoticed() -> Iterator[None]:
    """What runs within is neither checked nor counted as a query."""
    global _depth
    shown = {each: each.force_debug_cursor for each in connections.all(initialized_only=True)}
    for connection in shown:
        connection.force_debug_cursor = False
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        for connection, was in shown.items():
            connection.force_debug_cursor = was


def _is_counted() -> bool:
    return any(each.force_debug_cursor for each in connections.all(initialized_only=True))


def checked_list(fetch: Callable[[Any], None]) -> Callable[[Any], None]:
    def fetch_all(self: Any) -> None:
        if self._result_cache is None and not _depth and not self.query.select_for_update:
            fetch_once = checked(lambda queryset: _evaluated(queryset, fetch))
            self._result_cache = fetch_once(self)
        fetch(self)

    return fetch_all


def _evaluated(queryset: Any, fetch: Callable[[Any], None]) -> Any:
    clone = queryset._chain()
    clone._prefetch_related_lookups = ()
    if clone.query.selected is not None:
        # Compiling a combination adds to it, and Django's clones share it.
        clone.query.selected = dict(clone.query.selected)
    fetch(clone)
    return clone._result_cache


def checked(read: Callable[..., Any]) -> Callable[..., Any]:
    """``read``, which answers the same past the cache and twice through it.

    A test that counts queries or looks at their SQL is given what Django itself asked for, others
    what the cache did.
    """

    def reading(*args: Any, **kwargs: Any) -> Any:
        global compared
        if _depth:
            return read(*args, **kwargs)
        try:
            with _unnoticed():
                with ormcache.bypass():
                    expected = read(*args, **kwargs)
                found = [read(*args, **kwargs) for _ in range(2)]
        except Exception:
            # It fails once more, and the test sees how.
            return read(*args, **kwargs)
        with ormcache.bypass() if _is_counted() else nullcontext():
            result = read(*args, **kwargs)
        with _unnoticed():
            for each in (*found, result):
                compared += 1
                assert shown(expected) == shown(each), "the cache differs from the database"
        return result

    return reading


def shown(value: Any, depth: int = 3) -> Any:
    """What can be told of a value: all that a program could."""
    if isinstance(value, list | tuple):
        return type(value).__name__, [shown(each, depth) for each in value]
    if isinstance(value, dict):
        return [(key, shown(each, depth)) for key, each in value.items()]
    if not isinstance(value, models.Model):
        return type(value), repr(value)
    if not depth:
        return type(value), value.pk
    state = value._state
    fields = {name: each for name, each in value.__dict__.items() if name != "_state"}
    related = {
        name: shown(each, depth - 1)
        for name, each in state.fields_cache.items()
        if isinstance(each, models.Model | None)
    }
    own = {name: shown(each, 0) for name, each in fields.items() if not name.startswith("_")}
    return type(value), own, related, state.db, state.adding


__all__ = ["Runner", "compared"]
