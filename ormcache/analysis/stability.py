"""Expressions of a project that it declares deterministic."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar

from django.db.models import F, Field, Q
from django.db.models.expressions import BaseExpression
from django.db.models.lookups import Lookup

from ormcache.analysis.expressions import FUNC, REFUSED, attribute, sources
from ormcache.analysis.lookups import lookup
from ormcache.analysis.names import field_token
from ormcache.analysis.structure import HANDLERS, Handler, Token, class_path, makers
from ormcache.digest import code_digest
from ormcache.exceptions import ConfigError, Uncacheable
from ormcache.schema.conversions import stable_fields

E = TypeVar("E", bound="type[BaseExpression] | type[Field[Any, Any]]")

_declared: set[type] = set()


def stable(kind: E) -> E:
    """Declare an expression, function, transform, lookup or field class deterministic.

    That is: its SQL follows from its constructor arguments and its source expressions, and gives
    the same answer until a column they read changes. Of a field: what it loads follows from what
    the column holds and from the arguments it was made with. Usable as a decorator; subclasses are
    not included. Raises ConfigError for what is volatile or raw SQL.
    """
    given: Any = kind
    if isinstance(given, type) and issubclass(given, Field):
        stable_fields.add(given)
        return kind
    if not isinstance(given, type) or not issubclass(given, BaseExpression):
        raise ConfigError(f"stable() takes an expression class or a field class, not {kind!r}.")
    path = class_path(kind)
    for each in map(class_path, kind.__mro__):
        if each in REFUSED:
            raise ConfigError(f"{path} cannot be declared stable: {REFUSED[each]}.")
    if path == FUNC:
        raise ConfigError("Func cannot be declared stable for every function: subclass it.")
    _declared.add(kind)
    HANDLERS.pop(kind, None)
    return kind


def is_declared(kind: type) -> bool:
    return kind in _declared or kind in stable_fields


def _declared_by_project(kind: type, path: str) -> Handler | None:
    if kind not in _declared:
        return None
    # Another version of its code may give other answers.
    path = f"{path} {code_digest(kind)}"
    return _lookup(path) if issubclass(kind, Lookup) else _expression(path)


def _lookup(path: str) -> Handler:
    sides = lookup(path)

    def emit(node: Any, out: list[Token], values: list[Any]) -> None:
        sides(node, out, values)
        args, kwargs = node._constructor_args
        rest = {name: item for name, item in kwargs.items() if name not in ("lhs", "rhs")}
        _arguments(args[2:], rest, out, values)

    return emit


def _expression(path: str) -> Handler:
    def emit(node: Any, out: list[Token], values: list[Any]) -> None:
        out.append(path)
        _made_with(node, out, values)
        sources(node, out, values)

    return emit


def _made_with(node: Any, out: list[Token], values: list[Any]) -> None:
    try:
        args, kwargs = node._constructor_args
    except AttributeError:
        raise Uncacheable(
            f"{class_path(type(node))} does not keep what it was made with"
        ) from None
    _arguments(args, kwargs, out, values)


def _arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], out: list[Token], values: list[Any]
) -> None:
    out += (len(args), len(kwargs))
    for item in args:
        _argument(item, out, values)
    for name in sorted(kwargs):
        out.append(name)
        _argument(kwargs[name], out, values)


def _argument(item: Any, out: list[Token], values: list[Any]) -> None:
    if isinstance(item, F):
        out.append(class_path(type(item)))
        _argument(item.name, out, values)  # type: ignore[attr-defined]
    elif type(item) is Q:
        out += ("Q", item.connector, item.negated)
        _argument(item.children, out, values)
    elif isinstance(item, BaseExpression):
        out.append(class_path(type(item)))
        _made_with(item, out, values)
    elif isinstance(item, Field):
        out.append(field_token(item))
    elif isinstance(item, type):
        out.append(f"class {class_path(item)}")
    elif isinstance(item, Enum):
        out.append(f"enum {class_path(type(item))}.{item.name}")
    elif type(item) in (list, tuple):
        out += (type(item).__name__, len(item))
        for part in item:
            _argument(part, out, values)
    else:
        attribute(item, out, values)


makers.append(_declared_by_project)
