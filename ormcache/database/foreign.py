"""Code of others around a connection's statements, and whether it may send some of its own.

A hit makes no cursor and executes nothing, so what such code would have done before it is not
done. The code is looked at: what executes something, names a setting, or reaches other code that
does, counts as sending.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from inspect import getattr_static
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_MAKERS = (
    "cursor",
    "_cursor",
    "_prepare_cursor",
    "chunked_cursor",
    "create_cursor",
    "make_cursor",
    "make_debug_cursor",
    "ensure_connection",
)
"""The methods of a connection on the way to a cursor."""

# Those that watch statements and are known to send none.
_TRUSTED = frozenset(
    "ddtrace debug_toolbar django django_prometheus elasticapm newrelic opentelemetry ormcache"
    " psqlextra psycopg pytest_django sentry_sdk silk".split()
)
_SENDING = re.compile(
    r"execute|executemany|executescript|callproc|copy|copy_expert|stream|exec_\w*|pgconn"
    r"|\w*(?:schema|tenant|search_path|set_role|set_config)\w*",
    re.IGNORECASE,
)
_SETTING = re.compile(r"\s*(?:set|use|reset|discard)\s|.*(?:set_config|search_path)", re.I | re.S)


def cursor_maker(connection: Any) -> str:
    """Code of others that makes cursors and may send statements; empty if there is none."""
    options = connection.settings_dict.get("OPTIONS", {})
    for value in options.values():
        if isinstance(value, type) and not is_trusted(value):
            return f"the cursor class {value.__qualname__}"
    own = vars(connection)
    for name in _MAKERS:
        if name in own and not is_quiet(own[name], connection):
            return f"{name}() of the connection"
    kind: Any = type(connection)
    return _class_maker(kind)


@lru_cache(maxsize=64)
def _class_maker(kind: Any) -> str:
    for name in _MAKERS:
        for base in kind.__mro__:
            method = vars(base).get(name)
            if method is not None and not is_quiet(method, kind):
                return f"{base.__module__}.{base.__qualname__}.{name}()"
    return ""


def is_trusted(code: Any) -> bool:
    """Whether a function or class belongs to Django, to this project or to a package that is
    known to send nothing."""
    if isinstance(code, partial):
        code = code.func
    code = getattr(code, "__func__", code)
    if isinstance(code, FunctionType):
        # Not its __module__, which a decorator copies.
        module = code.__globals__.get("__name__", "")
    else:
        module = (code if isinstance(code, type) else type(code)).__module__
    return str(module).partition(".")[0] in _TRUSTED


def is_quiet(code: Any, owner: Any = None) -> bool:
    """Whether a callable surely sends no statement of its own. ``owner``: whose method it is."""
    return _is_quiet(code, owner, set())


def _is_quiet(value: Any, owner: Any, seen: set[int]) -> bool:
    if id(value) in seen or is_trusted(value):
        return True
    seen.add(id(value))
    if isinstance(value, partial):
        return all(_is_quiet(each, None, seen) for each in (value.func, *value.args))
    if isinstance(value, MethodType):
        return _is_quiet(value.__func__, value.__self__, seen)
    if isinstance(value, FunctionType):
        return _is_quiet_function(value, owner, seen)
    if isinstance(value, str):
        return not _SETTING.match(value)
    kind = value if isinstance(value, type) else type(value)
    # What an object that is called does; of a class, what making one does.
    call = getattr_static(kind, "__init__" if kind is value else "__call__", None)
    return not isinstance(call, FunctionType) or _is_quiet(call, value, seen)


def _is_quiet_function(function: FunctionType, owner: Any, seen: set[int]) -> bool:
    codes = list(_codes(function.__code__))
    strings = {each for code in codes for each in code.co_consts if isinstance(each, str)}
    strings.discard(function.__doc__ or "")
    names = {name for code in codes for name in code.co_names}
    if any(map(_SETTING.match, strings)) or any(map(_SENDING.fullmatch, names)):
        return False
    return all(_is_quiet(each, None, seen) for each in _reached(function, names)) and all(
        _is_quiet(each, owner, seen) for each in _of_owner(owner, names)
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions within it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _reached(function: FunctionType, names: Iterable[str]) -> Iterator[Any]:
    """The globals and the variables of outer functions that a function uses, and the functions
    and methods that it uses of them."""
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # Not set yet.
            continue
    for value in values:
        yield value
        if isinstance(value, ModuleType):
            if _knows_django(value.__name__):
                found = (getattr(value, name, None) for name in names)
                yield from (each for each in found if isinstance(each, FunctionType))
        elif not isinstance(value, FunctionType) and _knows_django(type(value).__module__):
            for method in _of_owner(value, names):
                yield MethodType(method, value)


@lru_cache(maxsize=512)
def _knows_django(module: str) -> bool:
    """Whether the code of a module may reach a connection: others serve other ends."""
    for value in list(vars(sys.modules.get(module, builtins)).values()):
        name = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
        if name.partition(".")[0] == "django":
            return module.partition(".")[0] not in _TRUSTED
    return False


def _module_of(value: Any) -> str:
    kind = value if isinstance(value, type | FunctionType) else type(value)
    return str(kind.__module__)


def _of_owner(owner: Any, names: Iterable[str]) -> Iterator[Any]:
    """The methods of its own object that a method uses."""
    if owner is None:
        return
    kind = owner if isinstance(owner, type) else type(owner)
    for name in names:
        found = getattr_static(kind, name, None)
        if isinstance(found, property):
            found = found.fget
        if isinstance(found, FunctionType):
            yield found
