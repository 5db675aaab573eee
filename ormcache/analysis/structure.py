"""How a query becomes a flat structure of tokens, and who writes which part of it.

A handler appends to two lists: ``out``, the structure, and ``values``, what is bound to it. The
structure is prefix code: each node starts with its class path and says how much follows, so that
two different queries never write the same tokens. ``1 == True`` in Python, therefore no position
may hold a bool in one query and a number in another; user-given scalars go to ``values``, whose
packing is typed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from ormcache.exceptions import Uncacheable

Token: TypeAlias = "str | int | bool | tuple[Token, ...] | None"
Structure: TypeAlias = tuple[Token, ...]
Handler: TypeAlias = Callable[[Any, list[Token], list[Any]], None]
Maker: TypeAlias = Callable[[type, str], Handler | None]

# What makes the handler of a class, asked in turn; each returns None for a class it does not know.
makers: list[Maker] = []


class _Handlers(dict[type, Handler]):
    """Handlers by exact class: a subclass may compile to anything, so it is another class."""

    def __missing__(self, kind: type) -> Handler:
        path = class_path(kind)
        for maker in makers:
            handler = maker(kind, path)
            if handler is not None:
                self[kind] = handler
                return handler
        raise Uncacheable(
            f"{path} is not known to be deterministic; declare it with ormcache.stable"
        )


HANDLERS = _Handlers()


def visit(node: Any, out: list[Token], values: list[Any]) -> None:
    """Write one node of a query; raises Uncacheable for a class that is not known."""
    HANDLERS[type(node)](node, out, values)


def class_path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def is_genuine(kind: type) -> bool:
    """Whether ``kind`` is what its path names, not a look-alike that borrows the name, and
    compiles by Django's own methods."""
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        return False
    compilers = (getattr(kind, name) for name in dir(kind) if name.startswith("as_"))
    return all(_is_django(getattr(each, "__module__", "")) for each in compilers)


def _is_django(module: str) -> bool:
    return module.startswith("django.")
