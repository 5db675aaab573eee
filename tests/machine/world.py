"""What the source of a step may name: the models, Django's expressions, and a few helpers."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import cache, lru_cache
from types import CodeType
from typing import Any
from uuid import UUID

from django.core import exceptions
from django.db import DatabaseError, OperationalError, connection, models, transaction
from django.db.models import expressions, functions

import ormcache
from tests.machine.models import MODELS

DJANGO = {
    name: getattr(models, name)
    for name in "Q F Count Sum Max Min Case When Value Exists OuterRef Subquery Prefetch Window"
    " models".split()
    if hasattr(models, name)
} | {"models": models, "RowNumber": functions.RowNumber, "Window": expressions.Window}
PYTHON = {
    "D": Decimal,
    "UTC": dt.UTC,
    "UUID": UUID,
    "date": dt.date,
    "datetime": dt.datetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
}


# What a random write may meet with; nothing of it comes from the cache.
REFUSALS = (
    DatabaseError,
    exceptions.FieldDoesNotExist,
    exceptions.FieldError,
    exceptions.MultipleObjectsReturned,
    exceptions.ObjectDoesNotExist,
    exceptions.ValidationError,
    models.ProtectedError,
    models.RestrictedError,
    transaction.TransactionManagementError,
    AttributeError,
    TypeError,
    ValueError,
)


class Undo(Exception):
    """Rolls back the block it is raised in."""


@lru_cache(maxsize=4096)
def compiled(text: str, mode: str) -> CodeType:
    return compile(text, "<step>", mode)


class World:
    """The names of one run. ``hooks`` adds those that concern the machine: ``check``, faults."""

    def __init__(self, hooks: dict[str, Callable[..., Any]]) -> None:
        self.held: dict[tuple[Any, int], Any] = {}
        helpers = (
            "nth cached held partly hold keys real changed save save_some upsert sql sql_many"
            " insert insert_unseen stored truncate unseen attempt manual raw_transaction"
        )
        own = {name: getattr(self, f"do_{name}") for name in helpers.split()}
        fixed = {
            "atomic": transaction.atomic,
            "undone": undone,
            "on_commit": transaction.on_commit,
            "invalidate": ormcache.invalidate,
            "bag": bag,
            "listed": listed,
            "follow": follow,
        }
        self.names = {**DJANGO, **PYTHON, **MODELS, **own, **fixed, **hooks}

    def run(self, text: str) -> None:
        exec(compiled(text, "exec"), self.names)

    def value(self, text: str) -> Any:
        """The value of a read, as data that can be compared; an error is a value, too."""
        try:
            return data(eval(compiled(text, "eval"), self.names))
        except Exception as error:
            return ("raised", type(error).__name__, str(error))

    # Rows

    def do_keys(self, model: Any) -> list[Any]:
        with ormcache.bypass():
            return list(model._base_manager.order_by("pk").values_list("pk", flat=True))

    def _key(self, model: Any, number: int) -> Any:
        keys = self.do_keys(model)
        return keys[number % len(keys)] if keys else None

    def do_nth(self, model: Any, number: int) -> Any:
        """A row as the database has it."""
        with ormcache.bypass():
            rows = list(model._base_manager.order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def do_cached(self, model: Any, number: int) -> Any:
        """A row as the cache has it."""
        key = self._key(model, number)
        return None if key is None else model.objects.get(pk=key)

    def do_partly(self, model: Any, number: int, *fields: str) -> Any:
        key = self._key(model, number)
        return None if key is None else model.objects.only(*fields).get(pk=key)

    def do_hold(self, model: Any, number: int) -> None:
        self.held[model, number] = self.do_cached(model, number)

    def do_held(self, model: Any, number: int) -> Any:
        return self.held.get((model, number)) or self.do_cached(model, number)

    def do_real(self, *instances: Any) -> list[Any]:
        return [each for each in instances if each is not None]

    # Writes

    def do_changed(self, instance: Any, **values: Any) -> Any:
        for name, value in values.items():
            setattr(instance, name, value)
        return instance

    def do_save(self, instance: Any, **values: Any) -> None:
        self.do_changed(instance, **values).save()

    def do_save_some(self, instance: Any, **values: Any) -> None:
        self.do_changed(instance, **values).save(update_fields=list(values))

    def do_upsert(self, model: Any, objs: list[Any], fields: list[str], unique: str) -> None:
        names = None if connection.vendor == "mysql" else [unique]
        model.objects.bulk_create(
            objs, update_conflicts=True, update_fields=fields, unique_fields=names
        )

    def do_stored(self, model: Any, name: str, value: Any) -> Any:
        """A value as a cursor takes it."""
        field = model._meta.get_field(name)
        return field.get_db_prep_save(value, connection)

    def do_sql(self, text: str, *params: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(quoted(text), params or None)

    def do_sql_many(self, text: str, params: list[tuple[Any, ...]]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.executemany(quoted(text), params)
        except (IndexError, OperationalError) as error:
            if connection.vendor != "postgresql" or connection.in_atomic_block:
                raise
            # When a deferred constraint refuses, psycopg is stuck in its pipeline.
            connection.close()
            raise DatabaseError(error) from error

    def do_insert(self, model: Any, **values: Any) -> None:
        self.do_sql(*_insertion(model(**values)))

    def do_insert_unseen(self, model: Any, **values: Any) -> None:
        """A new row past Django, and ``invalidate`` after it."""
        text, *params = _insertion(model(**values))
        connection.ensure_connection()
        driver(quoted(text), *params)
        if not issubclass(model, ormcache_model()):
            ormcache.invalidate(model)
            return
        for each in model.nocache.all():
            ormcache.invalidate(each)

    def do_truncate(self, table: str) -> None:
        cascade = connection.vendor == "postgresql"
        self.do_sql(f"TRUNCATE [{table}] CASCADE" if cascade else f"DELETE FROM [{table}]")

    def do_unseen(self, model: Any, column: str, value: Any, call: str) -> None:
        """A write past Django, and ``invalidate`` after it."""
        connection.ensure_connection()
        text = quoted(f"UPDATE [{model._meta.db_table}] SET [{column}] = %s")
        driver(text, value)
        if call == "model" or not issubclass(model, ormcache_model()):
            ormcache.invalidate(model)
        elif call == "queryset":
            ormcache.invalidate(model.objects.all())
        else:
            for each in model.nocache.all():
                ormcache.invalidate(each)

    # Transactions

    @contextmanager
    def do_attempt(self) -> Iterator[None]:
        """A savepoint whose failure is forgiven."""
        block = transaction.atomic()
        block.__enter__()
        try:
            yield
        except REFUSALS as error:
            block.__exit__(type(error), error, error.__traceback__)
        except BaseException as error:
            block.__exit__(type(error), error, error.__traceback__)
            raise
        else:
            block.__exit__(None, None, None)

    @contextmanager
    def do_manual(self) -> Iterator[None]:
        """A transaction without ``atomic``."""
        if connection.in_atomic_block:
            yield
            return
        transaction.set_autocommit(False)
        try:
            yield
            transaction.commit()
        except BaseException:
            transaction.rollback()
            raise
        finally:
            transaction.set_autocommit(True)

    @contextmanager
    def do_raw_transaction(self) -> Iterator[None]:
        """A transaction Django does not know of."""
        if connection.in_atomic_block:
            yield
            return
        self.do_sql("BEGIN")
        try:
            yield
        except BaseException:
            self.do_sql("ROLLBACK")
            raise
        self.do_sql("COMMIT")


@contextmanager
def undone() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
            raise Undo
    except Undo:
        pass


def ormcache_model() -> Any:
    from ormcache.models import CachedModel

    return CachedModel


def quoted(text: str) -> str:
    """SQL with names in square brackets, as this database quotes them."""
    mark = "`" if connection.vendor == "mysql" else '"'
    return text.replace("[", mark).replace("]", mark)


def _insertion(instance: Any) -> list[Any]:
    """An INSERT of every column that has a value, and its parameters."""
    columns, params = [], []
    for field in instance._meta.local_concrete_fields:
        value = None if field.generated else getattr(instance, field.attname)
        if value is not None and not hasattr(value, "resolve_expression"):
            columns.append(f"[{field.column}]")
            params.append(field.get_db_prep_save(value, connection))
    marks = ", ".join(["%s"] * len(columns))
    table = instance._meta.db_table
    return [f"INSERT INTO [{table}] ({', '.join(columns)}) VALUES ({marks})", *params]


def driver(text: str, *params: Any) -> None:
    """A statement past Django."""
    if connection.vendor == "sqlite":
        text = text.replace("%s", "?")
    cursor: Any = connection.connection.cursor()
    try:
        with connection.wrap_database_errors:
            cursor.execute(text, params)
    finally:
        cursor.close()


# Data


_DEPTH = 2
"""How far relations that are loaded are followed."""


class Alike(Counter[str]):
    """What is in a bag and how often; written in one way."""

    def __repr__(self) -> str:
        return repr(sorted(self.items()))


def data(value: Any, depth: int = _DEPTH) -> Any:
    """A value without identity: instances become what they have loaded."""
    if isinstance(value, models.Model):
        return _instance(value, depth)
    if isinstance(value, dict):
        return {key: data(each, depth) for key, each in value.items()}
    if isinstance(value, Bag):
        return Alike(repr(data(each, depth)) for each in value)
    if isinstance(value, list | tuple | models.QuerySet):
        return [data(each, depth) for each in value]
    if isinstance(value, memoryview):
        return bytes(value)
    return value


@cache
def _inherited_keys(model: Any) -> frozenset[str]:
    """Keys of parents: only() defers them in Django, but whoever has the link has them, too."""
    return frozenset(
        each.attname
        for each in model._meta.concrete_fields
        if each.primary_key and each is not model._meta.pk
    )


def _instance(instance: Any, depth: int) -> Any:
    state, model = instance._state, instance._meta.model
    missing = instance.get_deferred_fields()
    if missing and depth < _DEPTH:
        # Django leaves out inherited columns of some related rows, which the cache has at hand.
        instance.refresh_from_db(fields=missing)
    loaded = {
        name: data(value, depth)
        for name, value in sorted(instance.__dict__.items())
        if not name.startswith("_") and name not in _inherited_keys(model)
    }
    if depth:
        for name, other in sorted(state.fields_cache.items()):
            loaded[f".{name}"] = data(other, depth - 1)
        for name, others in getattr(instance, "_prefetched_objects_cache", {}).items():
            found = Counter(repr(data(each, depth - 1)) for each in others)
            loaded[f":{name}"] = sorted(found.items())
    # Of a related row a proxy is as good as its model: Django hangs the object it came from there.
    shown = type(instance) if depth == _DEPTH else model._meta.concrete_model
    return (shown.__name__, state.adding, state.db, loaded)


class Bag(list[Any]):
    """Results whose order says nothing."""


def bag(results: Iterable[Any]) -> Bag:
    return Bag(results)


def listed(results: Iterable[Any]) -> list[Any]:
    return list(results)


def follow(results: Iterable[Any], name: str) -> Bag:
    """What a relation leads to from each row."""
    found = Bag()
    for instance in results:
        try:
            other = getattr(instance, name)
        except models.ObjectDoesNotExist as error:
            other = type(error).__name__
        found.append((instance.pk, Bag(other.all()) if hasattr(other, "all") else other))
    return found
