"""A digest of a project's own code, by which versions of it are told apart.

What is cached follows from the code that loads and compares values, too. Django's counts by its
version; classes and functions of anybody else by their bytecode, with the constants, defaults,
closures and module-level names it uses. Python versions compile differently and so share nothing
that depends on such code.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache, partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

# Beyond it a digest is blind: code this far away seldom decides what a column is loaded as.
_MOST = 2000
_KNOWN_ROOTS = frozenset({*sys.stdlib_module_names, "builtins", "django", "ormcache"})
_IGNORED = frozenset(
    "__annotate__ __annotate_func__ __annotations__ __dict__ __doc__ __firstlineno__ __module__"
    " __qualname__ __static_attributes__ __weakref__ class_lookups".split()
)


@cache
def code_digest(item: Any) -> str:
    """The digest of a class or function; empty for Django's own and Python's."""
    if all(map(_is_known, item.__mro__ if isinstance(item, type) else (item,))):
        return ""
    parts = "\n".join(_Walk().each(item))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


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

    def each(self, item: Any) -> Iterator[str]:
        kind = type(item)
        if item is None or kind in (bool, int, float, complex, str, bytes):
            yield f"{kind.__name__} {item!r}"
        elif kind in (tuple, list):
            yield kind.__name__
            for part in item:
                yield from self.each(part)
        elif kind in (set, frozenset):
            yield kind.__name__
            yield from sorted("\n".join(self.each(part)) for part in item)
        elif kind is dict:
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
            yield from self._object(item)

    def _object(self, item: Any) -> Iterator[str]:
        yield _name(item)
        function = getattr(item, "__func__", item)
        if isinstance(item, property):
            yield from self.each((item.fget, item.fset))
        elif isinstance(item, partial):
            yield from self.each((item.func, item.args, item.keywords))
        elif isinstance(item, type):
            for kind in item.__mro__:
                if not _is_known(kind):
                    yield from self._class(kind)
        elif isinstance(function, FunctionType):
            if not _is_known(function):
                yield from self._function(function)
        elif hasattr(item, "__wrapped__"):
            yield from self.each(item.__wrapped__)
        elif not _is_known(type(item)):
            # Of an instance its class: what it holds may differ from process to process.
            yield from self.each(type(item))

    def _class(self, kind: type) -> Iterator[str]:
        yield f"class {kind.__qualname__}"
        for name in sorted(vars(kind).keys() - _IGNORED):
            yield name
            yield from self.each(vars(kind)[name])

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
        scope = function.__globals__
        found = [scope[name]] if name in scope else []
        for module in filter(None, map(scope.get, function.__code__.co_names)):
            root = getattr(module, "__name__", "") if isinstance(module, ModuleType) else ""
            if root and root.partition(".")[0] not in _KNOWN_ROOTS:
                found += [vars(module)[name]] if name in vars(module) else []
        for item in found:
            # A container there may be filled while the process runs.
            if not isinstance(item, ModuleType | dict | list | set):
                yield name
                yield from self.each(item)

    def _code(self, code: CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield " ".join(code.co_names)
        for constant in code.co_consts:
            yield from self.each(constant)


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
