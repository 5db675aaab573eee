"""Queries of a class derived from Django's, as the plain queries they come to.

Such a class may add to a query when it is asked for a compiler: soft deletion adds its condition
there. If that is all it does, what is compiled is a query of Django's own, and that one can be
looked up. What it overrides besides is not known, and nor is what it does to ``count()``, which
asks for the compiler of another query.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db.models.sql.query import Query

from ormcache.exceptions import Uncacheable

# Called before the SQL is made, and of a query as it stands then.
_BEFORE = frozenset("get_compiler clone chain set_limits".split())
# Of any class; what they hold concerns nobody here.
_OF_CLASSES = frozenset(
    "__annotations__ __dict__ __doc__ __firstlineno__ __init__ __module__ __orig_bases__"
    " __parameters__ __qualname__ __static_attributes__ __weakref__".split()
)


@cache
def own_in_sql(kind: Any) -> str:
    """What a class of queries has of its own that its SQL may come from; empty if nothing."""
    for each in kind.__mro__[: kind.__mro__.index(Query)]:
        for name in vars(each):
            if hasattr(Query, name) and name not in _BEFORE | _OF_CLASSES:
                return f"{kind.__name__}.{name} is not Django's own"
    return ""


def resolved(query: Any, using: str) -> Any:
    """The plain query that a list of ``query`` is read with.

    Raises ``Uncacheable`` where that cannot be told.
    """
    kind: Any = type(query)
    reason = own_in_sql(kind)
    if not reason and query.combinator:
        reason = f"a combination of {kind.__name__} is made of queries of their own"
    if not reason:
        compiler = query.clone().get_compiler(using=using)
        found: Any = compiler.query
        plain = Query(query.model).get_compiler(using=using)
        is_plain = type(compiler) is type(plain) and vars(compiler).keys() == vars(plain).keys()
        if is_plain and type(found) is kind and found is not query:
            found.__class__ = Query
            return found
        reason = f"{kind.__name__} is compiled in a way of its own"
    raise Uncacheable(reason)
