"""A queryset expression as a developer types it: read, checked, and evaluated up to what it asks.

It is Python and runs with every right of the process, as in ``manage.py shell -c``. The checks
are there for mistakes, not against attackers.
"""

from __future__ import annotations

import ast
import datetime
import decimal
import uuid
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import models
from django.db.models import functions
from django.utils import timezone

from ormcache.explain.findings import VERBS
from ormcache.managers import CachedQuerySet

_WRITES = frozenset(
    "add create get_or_create update_or_create bulk_create bulk_update update delete save remove"
    " set clear clean execute".split()
)
_WRITES_OF_ASYNC = frozenset(f"a{name}" for name in _WRITES)
_READS = frozenset("aiterator contains earliest in_bulk iterator latest raw".split())
_FUNCTION = "_arguments"


class Asked:
    """What an expression asks: ``verb`` of ``queryset``, its evaluation if that is empty."""

    def __init__(
        self, queryset: Any, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.queryset = queryset
        self.verb = verb
        self.args = args
        self.kwargs = kwargs


def read(text: str, model: type[models.Model], using: str) -> Asked:
    """Evaluate ``text`` for ``model`` in the database ``using``, all but its last method if that
    would run SQL. Raises ``CommandError`` for whatever is wrong with it."""
    text = text.strip()
    tree = _parsed(text)
    manager: Any = getattr(model, "objects", None) or model._default_manager
    names = _names(model, manager.db_manager(using))
    _refuse_writes(tree, names, text)
    tree = _Methods(names, manager).visit(tree)
    verb, last = "", tree.body
    if isinstance(last, ast.Call) and isinstance(last.func, ast.Attribute):
        if last.func.attr in _READS:
            verbs = ", ".join(f"{verb}()" for verb in sorted(VERBS))
            hint = f"is not explained: name the queryset without it, or one of {verbs}"
            _fail(text, last.func, last.func.attr, hint)
        if last.func.attr in VERBS:
            verb = last.func.attr
    if not verb:
        return Asked(_cached(_evaluate(tree.body, names, text)), "", (), {})
    assert isinstance(last, ast.Call)
    assert isinstance(last.func, ast.Attribute)
    queryset = _cached(_evaluate(last.func.value, names, text))
    given = ast.Call(ast.Name(_FUNCTION, ast.Load()), last.args, last.keywords)
    args, kwargs = _evaluate(ast.copy_location(given, last), names, text)
    return Asked(queryset, verb, args, kwargs)


def _parsed(text: str) -> ast.Expression:
    if not text:
        raise CommandError('An expression is wanted, such as "filter(pk=1)".')
    try:
        return ast.parse(text, "<expression>", "eval")
    except SyntaxError as error:
        try:
            statements = ast.parse(text).body
        except SyntaxError:
            statements = []
        if len(statements) > 1:
            raise CommandError(f"One expression is wanted, not {len(statements)}.") from None
        if statements:
            kind = type(statements[0]).__name__
            raise CommandError(f"An expression is wanted, not a statement ({kind}).") from None
        place = (error.lineno or 1, max((error.offset or 1) - 1, 0))
        raise CommandError(_pointed(text, *place, f"It is no Python: {error.msg}")) from None
    except ValueError as error:
        raise CommandError(f"It is no Python: {error}") from None


class _Methods(ast.NodeTransformer):
    """Lets ``filter(…)`` stand for ``objects.filter(…)``, wherever a method is called by name."""

    def __init__(self, names: dict[str, Any], manager: Any) -> None:
        self._names = names
        self._manager = manager

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = node.func
        if (
            isinstance(function, ast.Name)
            and function.id not in self._names
            and hasattr(self._manager, function.id)
        ):
            start = ast.copy_location(ast.Name("objects", ast.Load()), function)
            node.func = ast.copy_location(ast.Attribute(start, function.id, ast.Load()), function)
        return node


def _refuse_writes(tree: ast.AST, names: dict[str, Any], text: str) -> None:
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Name) and node.id not in names:
            name = node.id
        if name in _WRITES or name in _WRITES_OF_ASYNC:
            _fail(text, node, name, "changes something: only reads are explained")


def _names(model: type[models.Model], objects: Any) -> dict[str, Any]:
    """What an expression may refer to by name."""
    found: dict[str, Any] = {}
    for name in functions.__all__:
        found[name] = getattr(functions, name)
    for name in models.__all__:
        found.setdefault(name, getattr(models, name))
    # Of several models of one name that of the same application is meant.
    own = apps.get_app_config(model._meta.app_label).get_models()
    for each in (*apps.get_models(), *own, model):
        found[each.__name__] = each
    found |= {
        "datetime": datetime,
        "date": datetime.date,
        "timedelta": datetime.timedelta,
        "Decimal": decimal.Decimal,
        "UUID": uuid.UUID,
        "timezone": timezone,
        "objects": objects,
        _FUNCTION: lambda *args, **kwargs: (args, kwargs),
    }
    return found


def _evaluate(node: ast.expr, names: dict[str, Any], text: str) -> Any:
    tree = ast.fix_missing_locations(ast.Expression(node))
    try:
        return eval(compile(tree, "<expression>", "eval"), dict(names))
    except Exception as error:
        raise CommandError(f"{text}\n{type(error).__name__}: {error}") from error


def _cached(found: Any) -> CachedQuerySet[Any]:
    if isinstance(found, models.Manager):
        found = found.all()
    if isinstance(found, CachedQuerySet):
        return found
    if isinstance(found, models.QuerySet):
        raise CommandError(
            f"A {type(found).__name__} of {found.model._meta.label} reads past the cache: "
            "its manager is no CacheManager."
        )
    raise CommandError(f"The expression gives no queryset but a {type(found).__name__}.")


def _fail(text: str, node: Any, name: str, message: str) -> None:
    """Say ``message`` of the method ``name``, with which ``node`` ends."""
    line = text.splitlines()[node.end_lineno - 1].encode()
    column = len(line[: node.end_col_offset].decode()) - len(name)
    raise CommandError(_pointed(text, node.end_lineno, column, f"{name}() {message}"))


def _pointed(text: str, line: int, column: int, message: str) -> str:
    """``message`` below the place it is about; ``line`` counts from 1, ``column`` from 0."""
    lines = text.splitlines()
    shown = lines[line - 1] if line <= len(lines) else text
    return f"{message}.\n  {shown}\n  {' ' * column}^"
