"""Whether what a query selects is loaded by Django's own code.

An entry of values holds them as they were loaded. What a project's own code makes of a column may
depend on more than the column: on the language, the time zone, the tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldError

from ormcache.analysis.stability import is_declared
from ormcache.analysis.structure import class_path
from ormcache.codec.fields import is_registered
from ormcache.digest import unspelt
from ormcache.schema.conversions import is_of_django, loads_plainly


def conversion(query: Any) -> str:
    """What a project's own code converts among the values of a query, in words; empty if nothing
    that is not declared stable."""
    for expression in _selected(query):
        kind = type(expression)
        # A condition among the columns has no convert_value().
        own = (getattr(kind, name, None) for name in ("convert_value", "get_db_converters"))
        if not is_declared(kind) and not all(is_of_django(each) for each in own if each):
            return f"{class_path(kind)} converts its values in a way of its own"
        for field in _fields(expression):
            if not loads_plainly(field, _is_stable):
                return (
                    f"{field} is loaded by code of its own, whose result may depend on more than "
                    f"the column; declare {class_path(type(field))} with ormcache.stable "
                    "if it does not"
                )
            if is_declared(type(field)) and (argument := unspelt(field)) is not None:
                return (
                    f"{field} is made with {argument!r}, of which no process can tell whether "
                    "another has the same"
                )
    return ""


def _selected(query: Any) -> Iterator[Any]:
    yield from query.select
    yield from query.annotation_select.values()
    for part in query.combined_queries:
        yield from _selected(part)


def _fields(expression: Any) -> Iterator[Any]:
    target = getattr(expression, "target", None)
    if target is not None:
        yield target
    try:
        output = expression.output_field
    except (AttributeError, FieldError):
        return
    if output is not None and output is not target:
        yield output


def _is_stable(kind: type) -> bool:
    return is_declared(kind) or is_registered(kind)
