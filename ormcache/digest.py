"""A digest of a project's own code, by which versions of it are told apart.

What is cached follows from the code that loads and compares values, too. Django's counts by its
version; classes and functions of anybody else by their bytecode, with the constants, defaults,
closures and module-level names it uses. Python versions compile differently and so share nothing
that depends on such code.

Two processes of one deployment have to find the same digest, whatever each of them did before.
So what code changes while it runs is left out: containers it writes to, attributes it sets.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.functional import Promise, cached_property

from ormcache import interrupts

# Beyond it a digest is blind: code this far away seldom decides what a column is loaded as.
_MOST = 2000
# Instances within instances; items of a container that are looked at.
_DEEPEST = 4
_LONGEST = 10_000
_KNOWN_ROOTS = frozenset({*sys.stdlib_module_names, "builtins", "django", "ormcache"})
_IGNORED = frozenset(
    "__annotate__ __annotate_func__ __annotations__ __dict__ __doc__ __firstlineno__ __module__"
    " __qualname__ __static_attributes__ __weakref__ class_lookups".split()
)
# Arguments of a field that no value follows from, and that may be lazy.
_COSMETIC = frozenset({"error_messages", "help_text", "validators", "verbose_name"})


def _moment(item: Any) -> str:
    # A zone of somebody's own may be spelt with its address.
    return f"{item.replace(tzinfo=None)!r} {item.fold} {_zone(item.tzinfo)}"


def _zone(zone: Any) -> str:
    return repr(zone) if type(zone) in _SPELLINGS else _name(zone)


_EXACT: tuple[Any, ...] = (
    type(None), bool, int, float, complex, str, bytes, range,
    date, timedelta, timezone, ZoneInfo, Decimal, Fraction, UUID,
)  # fmt: skip
_SPELLINGS: dict[type, Callable[[Any], str]] = {
    **{kind: kind.__repr__ for kind in _EXACT},
    **dict.fromkeys((type(Path()), PurePosixPath, PureWindowsPath), str),
    datetime: _moment,
    time: _moment,
    re.Pattern: lambda item: f"{item.pattern!r} {item.flags}",
}
"""How constants are spelt that say all they hold."""

_CONTAINERS = (dict, list, set, MappingProxyType)
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__", "__set_name__", "__setattr__"})
_WRITING = frozenset(
    "add append clear difference_update discard extend insert intersection_update pop popitem"
    " remove reverse setdefault sort symmetric_difference_update update".split()
)
_WRITING_STEPS = frozenset(
    dis.opmap[name]
    for name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_GLOBAL", "STORE_SLICE")
    if name in dis.opmap
)
# Where the bases are from whose instances hold what a project's own code put there.
_HOLLOW = frozenset({"abc", "builtins", "typing"})


@cache
def code_digest(item: Any) -> str:
    """The digest of a class or function; empty for Django's own and Python's."""
    if all(map(_is_known, item.__mro__ if isinstance(item, type) else (item,))):
        return ""
    return _hash(_Walk().each(item))


def field_digest(field: Any) -> str:
    """The digest of a field of a project's own class, and of what it was made with; empty for
    Django's own fields."""
    kind: Any = type(field)
    if not code_digest(kind):
        return ""
    return _hash(_Walk().each(field))


def unspelt(field: Any) -> Any:
    """Something the field was made with whose value no digest tells, or ``None``."""
    given = (_arguments(field) | _attributes(field)).values()
    return next((each for each in given if not _is_told(each)), None)


def _hash(texts: Iterator[str]) -> str:
    text = "\n".join(texts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _is_known(item: Any) -> bool:
    """Whether something counts by its name: Python's own and Django's."""
    if isinstance(item, partial):
        return _is_known(item.func)
    module = getattr(item, "__module__", None)
    return not isinstance(module, str) or module.partition(".")[0] in _KNOWN_ROOTS


class _Walk:
    """Everything reachable from an item, each once, as texts that are alike in every process."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        self._depth = 0

    def each(self, item: Any) -> Iterator[str]:
        kind = type(item)
        spell = _SPELLINGS.get(kind)
        if spell is not None:
            yield f"{kind.__name__} {spell(item)}"
        elif kind in (tuple, list):
            yield kind.__name__
            for part in item:
                yield from self.each(part)
        elif kind in (set, frozenset):
            yield kind.__name__
            yield from sorted("\n".join(self.each(part)) for part in item)
        elif kind in (dict, MappingProxyType):
            yield "dict"
            for key, value in item.items():
                yield from self.each(key)
                yield from self.each(value)
        elif kind is CodeType:
            yield from self._code(item)
        elif id(item) in self._seen or len(self._seen) >= _MOST:
            yield f"seen {_name(item)}"
        else:
            self._seen.add(id(item))
            # No other item may get its id meanwhile.
            self._kept.append(item)
            yield from self._object(item)

    def _object(self, item: Any) -> Iterator[str]:
        yield _name(item)
        function = getattr(item, "__func__", item)
        if isinstance(item, property):
            yield from self.each((item.fget, item.fset))
        elif isinstance(item, partial):
            yield from self.each((item.func, item.args, item.keywords))
        elif isinstance(item, functools.cached_property | cached_property):
            yield from self.each(item.func)
        elif isinstance(item, type):
            for kind in item.__mro__:
                if not _is_known(kind):
                    yield from self._class(kind)
        elif isinstance(function, FunctionType):
            if not _is_known(function):
                yield from self._function(function)
        elif hasattr(item, "__wrapped__"):
            yield from self.each(item.__wrapped__)
        else:
            if not _is_known(type(item)):
                yield from self.each(type(item))
            if self._depth < _DEEPEST:
                self._depth += 1
                yield from self._held(item)
                self._depth -= 1

    def _class(self, kind: type) -> Iterator[str]:
        yield f"class {kind.__qualname__}"
        for name in sorted(vars(kind).keys() - _IGNORED):
            yield name
            yield from self.each(vars(kind)[name])

    def _held(self, item: Any) -> Iterator[str]:
        """What an instance holds, as far as every process finds it so."""
        kind = type(item)
        if issubclass(kind, Enum):
            yield from self.each((item.name, item.value))
        elif issubclass(kind, tuple | frozenset):
            yield from self.each((tuple if issubclass(kind, tuple) else frozenset)(item))
        elif issubclass(kind, _CONTAINERS):
            if _is_constant(item):
                yield from self.each((dict if issubclass(kind, dict) else list)(item))
        else:
            bases = (base for base in _SPELLINGS if issubclass(kind, base))
            yield from (_SPELLINGS[base](item) for base in bases)
        for name, value in (_arguments(item) | _attributes(item)).items():
            if not isinstance(value, _CONTAINERS) or _is_told(value):
                yield name
                yield from self.each(value)

    def _function(self, function: FunctionType) -> Iterator[str]:
        yield from self._code(function.__code__)
        yield from self.each(function.__defaults__)
        yield from self.each(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                yield from self.each(cell.cell_contents)
            except ValueError:
                yield "empty"
        for name in sorted(_names(function.__code__)):
            yield from self._global(function, name)

    def _global(self, function: FunctionType, name: str) -> Iterator[str]:
        """What a function finds under a name in its module, or in modules named there."""
        scopes = [function.__globals__]
        for module in filter(None, map(scopes[0].get, function.__code__.co_names)):
            root = getattr(module, "__name__", "") if isinstance(module, ModuleType) else ""
            if root and root.partition(".")[0] not in _KNOWN_ROOTS:
                scopes.append(vars(module))
        for scope in scopes:
            item = scope.get(name, scope)
            if item is scope or isinstance(item, ModuleType):
                continue
            if not isinstance(item, _CONTAINERS) or (
                item and _is_constant(item) and not _is_changed(scope, name)
            ):
                yield name
                yield from self.each(item)

    def _code(self, code: CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield " ".join(code.co_names)
        for constant in code.co_consts:
            yield from self.each(constant)


def _is_constant(item: Any, depth: int = _DEEPEST) -> bool:
    """Whether it is, or holds, nothing but values that say all they hold."""
    if isinstance(item, dict | MappingProxyType):
        parts = [*item.keys(), *item.values()]
    elif isinstance(item, list | set | tuple | frozenset):
        parts = list(item)
    else:
        return type(item) in _SPELLINGS or isinstance(item, Enum)
    return depth > 0 and len(parts) <= _LONGEST and all(_is_constant(p, depth - 1) for p in parts)


def _is_told(item: Any, depth: int = _DEEPEST) -> bool:
    """Whether a digest tells two values of an argument apart."""
    if _is_constant(item, depth):
        return True
    if isinstance(item, partial):
        return _is_told([item.func, item.args, item.keywords], depth)
    kind: Any = type(item)
    if kind in (dict, list, tuple, set, frozenset):
        parts = [*item, *(item.values() if kind is dict else ())]
        return depth > 0 and len(parts) <= _LONGEST and all(_is_told(p, depth - 1) for p in parts)
    # A translation has its text when it is read, and people read it.
    is_named = hasattr(item, "__qualname__") or hasattr(kind, "deconstruct")
    return is_named or isinstance(item, Promise) or _holds_its_own(kind)


def _arguments(item: Any) -> dict[str, Any]:
    """What a field, or whatever else names its arguments for migrations, was made with."""
    if not hasattr(type(item), "deconstruct"):
        return {}
    try:
        *_, args, kwargs = item.deconstruct()
        kept = {f"{name}=": kwargs[name] for name in sorted(kwargs) if name not in _COSMETIC}
    except Exception as error:  # Its class counts at least.
        interrupts.pass_on(error)
        return {}
    return {"*": tuple(args), **kept}


def _attributes(item: Any) -> dict[str, Any]:
    """The attributes that the constructors of a project's own class set, and nobody later."""
    kind: Any = type(item)
    if _is_known(kind):
        return {}
    set_by = _set_by_class(kind)
    held = dict(getattr(item, "__dict__", ()))
    held |= {name: getattr(item, name, None) for name in _slots(kind)}
    names = held.keys() - set_by.later
    if not _holds_its_own(kind):
        names &= set_by.made
    names -= {name for name in set_by.written & names if isinstance(held[name], _CONTAINERS)}
    return {name: held[name] for name in sorted(names) if not isinstance(held[name], ModuleType)}


class _SetBy(NamedTuple):
    """Attributes by the code of their class that sets them."""

    made: frozenset[str]
    later: frozenset[str]
    written: frozenset[str]
    """Of which some may be containers that it writes to."""


@cache
def _set_by_class(kind: Any) -> _SetBy:
    made: set[str] = set()
    later: set[str] = set()
    written: set[str] = set()
    for each in kind.__mro__:
        for name, member in vars(each).items():
            if isinstance(member, functools.cached_property | cached_property):
                later.add(name)
            if _is_known(each):
                continue
            for code in _codes(member):
                if name in _CONSTRUCTORS:
                    made |= _set_in(code)
                else:
                    later |= _set_in(code)
                    written |= _written_in(code)
    return _SetBy(frozenset(made), frozenset(later), frozenset(written))


def _is_changed(scope: dict[str, Any], name: str) -> bool:
    """Whether a function of the module may write to the container of this name."""
    return any(
        name in _written_in(code)
        for item in list(scope.values())
        for member in (vars(item).values() if isinstance(item, type) else (item,))
        for code in _codes(member, scope)
    )


def _codes(member: Any, scope: Any = None) -> Iterator[CodeType]:
    """The code of a function, method or property, and of the functions within it."""
    if isinstance(member, property):
        parts = [member.fget, member.fset, member.fdel]
    elif isinstance(member, functools.cached_property | cached_property):
        parts = [member.func]
    else:
        parts = [getattr(member, "__func__", member)]
    for part in parts:
        part = getattr(part, "__wrapped__", part)
        if isinstance(part, FunctionType) and (scope is None or scope is part.__globals__):
            yield from _within(part.__code__)


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _within(constant)


@cache
def _set_in(code: CodeType) -> frozenset[str]:
    steps = dis.get_instructions(code)
    return frozenset(each.argval for each in steps if each.opname in ("STORE_ATTR", "DELETE_ATTR"))


@cache
def _written_in(code: CodeType) -> frozenset[str]:
    """Names of which some may stand for containers the code writes to."""
    writes = not _WRITING.isdisjoint(code.co_names)
    return frozenset(code.co_names if writes or _WRITING_STEPS & set(code.co_code[::2]) else ())


def _holds_its_own(kind: type) -> bool:
    """Whether what its instances hold is what a project's own code put there."""
    return not _is_known(kind) and all(
        not _is_known(each) or each.__module__ in _HOLLOW for each in kind.__mro__
    )


def _slots(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        slots = vars(each).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _name(item: Any) -> str:
    """What an item is called, without what differs from process to process."""
    name = getattr(item, "__qualname__", None) or type(item).__qualname__
    return f"{getattr(item, '__module__', '')}.{name}"
