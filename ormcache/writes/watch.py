"""Every statement of a connection passes here; a write nobody announced is found and noted.

Raw cursors, ``_base_manager``, cascades, m2m tables, TRUNCATE and migrations: what the text of a
statement does not show exactly invalidates the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ormcache import runtime
from ormcache.database.catalog import catalog
from ormcache.database.servers import forget_answers, untransactional
from ormcache.modelset import forget_with_models
from ormcache.schema.watched import (
    WatchList,
    deleted_with,
    truncated_with,
    watch_list,
    watched_tables,
)
from ormcache.stats import counters
from ormcache.writes.noting import note_update
from ormcache.writes.pending import Pending, TableWrites
from ormcache.writes.sql.text import Exact, Kind, Statement, is_of_view, is_setting, parse
from ormcache.writes.transaction import ConnectionState, is_refusal, own_atomic

Execute = Callable[..., Any]
_TEMPORARY = frozenset({"temp", "temporary", "pg_temp"})


class Watch:
    """The execute wrapper of one connection (``connection.execute_wrappers``)."""

    def __init__(self, state: ConnectionState) -> None:
        self._state = state

    def __call__(
        self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        state = self._state
        if state.pending is not None or state.unseen:
            state.look()
        text = sql if type(sql) is str else _text(sql, context["cursor"].cursor)
        statement = parse(text)
        try:
            if statement.kind is Kind.READ:
                return execute(sql, params, many, context)
            return self._noted(statement, text, execute, sql, params, many, context)
        except BaseException as error:
            if self._commits_implicitly() and not is_refusal(state.connection, error):
                # MySQL has rolled the whole transaction back, perhaps: after a deadlock.
                state.end_raw()
            raise

    def _noted(
        self,
        statement: Statement,
        text: str,
        execute: Execute,
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        returning = self._state.returning
        extended = returning.extend(sql) if returning is not None and sql is text else None

        def run() -> Any:
            if extended is None or returning is None:
                return execute(sql, params, many, context)
            result = execute(extended, params, many, context)
            returning.take(context["cursor"])
            return result

        if returning is not None:
            returning.read(text, params)
        driver = getattr(context["cursor"], "cursor", None)
        return self._watched(statement, text, run, None if many else params, driver)

    @contextmanager
    def passing(self, sql: Any, cursor: Any) -> Iterator[None]:
        """Around a statement that goes to the driver's cursor directly: COPY, a stream."""
        text = sql if type(sql) is str else _text(sql, cursor)
        statement, state = parse(text), self._state
        if statement.visibility:
            _see_change(state, statement, None)
        tables = _tables(statement) if statement.kind in _WRITING else None
        if not tables:
            yield
        elif state.in_transaction and not state.is_begun_unseen:
            note(state.writes(), statement, text, tables, None)
            yield
        else:
            if state.in_transaction:
                note(state.writes(), statement, text, tables, None)
            alone = Pending()
            note(alone, statement, text, tables, None)
            with state.committing_statement(alone):
                yield

    def _watched(
        self, statement: Statement, text: str, run: Callable[[], Any], params: Any, cursor: Any
    ) -> Any:
        state = self._state
        if statement.isolation:
            state.isolation_changes()
        if statement.visibility:
            _see_change(state, statement, params)
        kind = statement.kind
        if kind is Kind.SCHEMA and self._commits_implicitly():
            # The engine of a table, say.
            forget_answers()
        if not statement.is_sure and kind not in _WRITING and self._commits_implicitly():
            return self._unsure(kind, text.upper(), run, cursor)
        if kind is Kind.BEGIN:
            result = self._committing(run) if self._commits_implicitly() else run()
            state.begin_raw()
            return result
        if kind in (Kind.COMMIT, Kind.ROLLBACK):
            return self._end(statement, text.upper(), run)
        if kind is Kind.SAVEPOINT:
            try:
                return self._savepoint(text, run)
            finally:
                state.sight.returns()
        if kind is Kind.SESSION:
            return self._perhaps_ending(run, cursor) if self._may_commit(statement) else run()
        try:
            return self._write(statement, text, run, params, cursor)
        finally:
            if kind is Kind.SCHEMA:
                catalog.forget(state.label)

    def _end(self, statement: Statement, text: str, run: Callable[[], Any]) -> Any:
        state, is_commit = self._state, statement.kind is Kind.COMMIT
        if is_commit and _ends_prepared(text):
            with state.committing_statement(_everything()):
                result = run()
        else:
            if is_commit:
                state.before_commit()
            result = run()
        state.end_raw()
        state.after_commit(committed=is_commit)
        if statement.chains:
            state.begin_raw()
        return result

    def _unsure(self, kind: Kind, text: str, run: Callable[[], Any], cursor: Any) -> Any:
        """A text of MySQL that may begin and end transactions in ways not to be told from it."""
        state = self._state
        try:
            if kind is Kind.COMMIT and _ends_prepared(text):
                with state.committing_statement(_everything(), cursor):
                    return self._perhaps_ending(run, cursor)
            return self._perhaps_ending(run, cursor)
        finally:
            state.sight.ends()

    def _perhaps_ending(self, run: Callable[[], Any], cursor: Any) -> Any:
        """Run what may end the transaction: from now on the driver tells whether one is open."""
        self._state.end_raw()
        return self._committing(run, cursor)

    def _savepoint(self, text: str, run: Callable[[], Any]) -> Any:
        state = self._state
        # Django begins the transaction of an atomic block, but not with autocommit switched off.
        begun = state.connection.in_atomic_block and state.connection.commit_on_exit
        if state.connection.vendor != "sqlite" or begun:
            return state.savepoint(text, run)
        # SQLite begins a transaction with the first SAVEPOINT and commits it with its RELEASE.
        if text.lstrip()[:7].upper() == "RELEASE":
            state.before_commit()
        result = run()
        driver: Any = state.connection.connection
        if driver.in_transaction:
            state.begin_raw()
        else:
            state.end_raw()
            state.after_commit()
        return result

    def script(self, sql: str, run: Callable[[], Any]) -> Any:
        """``executescript`` of SQLite: it commits what is open, and runs its statements then."""
        statement, state = parse(sql), self._state
        if statement.visibility:
            _see_change(state, statement, None)
        if statement.kind in _WRITING:
            note(state.writes(), statement, sql, _tables(statement), None)
        try:
            return self._committing(run)
        finally:
            state.settle_raw()

    def _write(
        self, statement: Statement, text: str, run: Callable[[], Any], params: Any, cursor: Any
    ) -> Any:
        state = self._state
        if statement.kind is Kind.SCHEMA and state.connection.vendor != "mysql":
            # Tables, policies and schemas may now hide others or be hidden.
            state.sight.changes()
        tables = _tables(statement)
        announced = state.announcement
        run = self._marked_at_once(tables, run, cursor)
        if announced is not None and announced.takes(text, tables, params):
            tables -= {announced.table}
        if tables and not _TEMPORARY.isdisjoint(statement.identifiers):
            # It may hide the table of that name from this connection, and only from this one.
            state.sight.changes(is_told=state.connection.vendor != "mysql")
        if state.in_transaction or statement.begins:
            note(state.writes(), statement, text, tables, params)
        if statement.begins:
            # A transaction begun and perhaps ended within one text: both are provided for.
            if self._commits_implicitly():
                state.end_raw()
            else:
                state.begin_raw()
            try:
                return self._committing(run, cursor)
            finally:
                state.settle_raw()
        if state.in_transaction and self._may_commit(statement):
            return self._perhaps_ending(run, cursor)
        if state.in_transaction or not tables:
            return run()
        exact = statement.exact
        if exact and exact.verb != "insert" and params is not None and " RETURNING " not in text:
            # Which lists it concerns is told by the rows it replaces, once it holds their locks.
            with own_atomic(state):
                note(state.writes(), statement, text, tables, params)
                return run()
        alone = Pending()
        note(alone, statement, text, tables, params)
        with state.committing_statement(alone, cursor):
            return run()

    def _marked_at_once(
        self, tables: frozenset[str], run: Callable[[], Any], cursor: Any
    ) -> Callable[[], Any]:
        """``run`` with marks of its own around it, for tables whose writes others see before the
        end of the transaction, or without anybody seeing the end."""
        state = self._state
        if not tables or not state.in_transaction:
            return run
        if not state.is_begun_unseen:
            tables &= untransactional(state.connection)
        if not tables:
            return run
        alone = Pending()
        for name in tables:
            watched = watched_tables().get(name)
            alone.table(name, watched.table if watched else None).write_all()

        def marked() -> Any:
            with state.committing_statement(alone, cursor):
                return run()

        return marked

    def _may_commit(self, statement: Statement) -> bool:
        """Whether a statement may commit the running transaction."""
        return self._commits_implicitly() and (statement.commits or statement.kind is Kind.SCHEMA)

    def _commits_implicitly(self) -> bool:
        """Whether a change of the schema, or BEGIN, would commit what is open."""
        return self._state.connection.vendor == "mysql"

    def _committing(self, run: Callable[[], Any], cursor: Any = None) -> Any:
        """Run a statement that may commit what is pending. Should it not, it stays pending."""
        state = self._state
        if state.pending is None:
            return run()
        with state.committing_statement(state.pending, cursor):
            return run()


_WRITING = frozenset({Kind.WRITE, Kind.SCHEMA})


def _ends_prepared(text: str) -> bool:
    return "PREPARED" in text or "XA" in text


def _everything() -> Pending:
    """What was prepared was written by any connection at any time."""
    everything = Pending()
    for name, watched in watched_tables().items():
        everything.table(name, watched.table).write_all()
    return everything


def _see_change(state: ConnectionState, statement: Statement, params: Any) -> None:
    """Note that a statement changes what the connection sees."""
    cache = runtime.built()
    is_viewed = cache is not None and cache.config.view is not None
    only_view = statement.only_view
    custom, is_told = statement.custom, not statement.is_blinding
    if statement.names_setting_apart:
        named = params.values() if isinstance(params, dict) else params or ()
        found = [each for each in named if isinstance(each, str) and is_setting(each)]
        custom = custom.union(each for each in found if "." in each)
        is_told = is_told and bool(found)
        only_view = only_view and is_told and all(map(is_of_view, found))
    if only_view and is_viewed:
        return
    if statement.moves:
        state.sight.moves()
    state.sight.changes(custom, is_told=is_told or state.connection.vendor not in _TELLING)


_TELLING = frozenset({"postgresql", "sqlite"})
"""Databases that are asked by name for what a statement sets; MySQL is asked for everything."""


def note(
    pending: Pending, statement: Statement, sql: str, tables: frozenset[str], params: Any
) -> None:
    """Add to ``pending`` what the statement writes; without ``params`` its rows are unknown."""
    exact = statement.exact
    for name in tables:
        counters["unannounced_write"] += 1
        watched = watched_tables().get(name)
        if watched is None:
            # Its model went a moment ago.
            continue
        writes = pending.table(name, watched.table)
        if writes.table is None:
            if watched.has_cells:
                writes.write_all()
            continue
        if exact is None:
            note_update(writes, sql, params)
        elif exact.table.casefold() != name.casefold():
            writes.write_all()
        elif exact.verb == "insert":
            writes.insert_unknown()
        elif exact.verb == "update":
            note_update(writes, sql, params)
        elif params is None or not _note_deletes(writes, exact, params):
            writes.write_all()


def _note_deletes(writes: TableWrites, exact: Exact, params: Any) -> bool:
    """Note the rows a DELETE names by primary key; false if it does not."""
    table = writes.table
    assert table is not None
    named = tuple(params)[exact.first_param : exact.first_param + exact.count]
    pks = [table.normalise(pk) for pk in named]
    if exact.column != table.pk_column or len(pks) != exact.count or None in pks:
        return False
    for pk in pks:
        writes.delete_row(pk)
    return True


def _tables(statement: Statement) -> frozenset[str]:
    """The watched tables a statement may write."""
    if statement.everything:
        return frozenset(watched_tables())
    return _remembered_tables(statement, watch_list())


@lru_cache(maxsize=1024)
def _remembered_tables(statement: Statement, watched: WatchList) -> frozenset[str]:
    known = watched.identifiers
    if statement.exact is not None:
        named = frozenset(known.get(statement.exact.table.casefold(), ()))
        # The other identifiers of an exact statement are columns of the same table.
        return deleted_with(named) if statement.exact.verb == "delete" else named
    identifiers = statement.identifiers
    if len(identifiers) < len(known):
        named = frozenset(name for word in identifiers for name in known.get(word, ()))
    else:
        named = frozenset(
            name for word, names in known.items() if word in identifiers for name in names
        )
    if statement.truncates:
        named = truncated_with(named)
    return deleted_with(named)


forget = _remembered_tables.cache_clear
forget_with_models(forget)


def _text(sql: Any, cursor: Any) -> str:
    """The statement as text; psycopg's composed statements and bytes are accepted, too."""
    if isinstance(sql, str):
        return str(sql)
    if isinstance(sql, bytes | bytearray):
        return sql.decode("utf-8", "replace")
    if hasattr(sql, "as_string"):
        return str(sql.as_string(cursor))
    return str(sql)
