"""Whether a field turns values into what its column holds, and back, as Django's own fields do.

Only of these it is known what a value becomes. A class counts by the methods it really has:
a subclass that changes none of them converts as its base does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.fields.related_lookups import RelatedExact, RelatedIn, RelatedIsNull
from django.db.models.lookups import Exact, In, IntegerFieldExact, IsNull

EXACT = frozenset({Exact, IntegerFieldExact, RelatedExact})
"""The lookups known as ``exact`` of Django's fields that compare values as they are."""
_COMPARISONS: dict[Any, str] = {
    **dict.fromkeys(EXACT, "exact"),
    **dict.fromkeys((In, RelatedIn), "in"),
    **dict.fromkeys((IsNull, RelatedIsNull), "isnull"),
}


def comparison(lookup: Any) -> str:
    """``exact``, ``in`` or ``isnull``; empty for any other condition, whatever its name."""
    return _COMPARISONS.get(type(lookup), "")


_judged: dict[Any, tuple[Any, bool]] = {}


def compares_exactly(field: Any) -> bool:
    """Whether ``field=value`` is a comparison of Django's own."""
    kind = field.__class__
    # Django makes another dictionary when a lookup is registered.
    lookups = kind.get_class_lookups()
    known = _judged.get(kind)
    if known is None or known[0] is not lookups or "instance_lookups" in field.__dict__:
        is_exact = field.get_lookup("exact") in EXACT
        if "instance_lookups" in field.__dict__:
            return is_exact
        known = _judged[kind] = lookups, is_exact
    return known[1]


_TO_COLUMN = (
    "cast_db_type",
    "db_parameters",
    "db_type",
    "db_type_parameters",
    "db_type_suffix",
    "get_db_prep_save",
    "get_db_prep_value",
    "get_internal_type",
    "get_placeholder",
    "get_prep_value",
    "rel_db_type",
    "to_python",
)
_FROM_COLUMN = ("db_converters", "from_db_value", "get_db_converters", "select_format")


def stores_plainly(field: Any) -> bool:
    """Whether equal values give equal columns, and a value that was loaded gives what was there
    when it is stored again."""
    if isinstance(field, models.JSONField) and (
        field.decoder is not None or field.encoder not in _PLAIN_ENCODERS
    ):
        return False
    return _is_django(field, (*_TO_COLUMN, *_FROM_COLUMN)) and all(
        map(stores_plainly, _parts(field))
    )


def loads_plainly(field: Any, is_stable: Callable[[type], bool]) -> bool:
    """Whether what a column is loaded as follows from what it holds: by Django's own code, or by
    that of a class of which ``is_stable`` says so."""
    if is_stable(type(field)):
        return True
    if isinstance(field, models.JSONField) and field.decoder is not None:
        return False
    return _is_django(field, _FROM_COLUMN) and all(
        loads_plainly(part, is_stable) for part in _parts(field)
    )


def selects_itself(field: Any) -> bool:
    """Whether a field stands for its own column in every SELECT and ORDER BY, as far as is known:
    one that stands for another may choose it by the language or the tenant."""
    return _is_django(field, ("get_col", "cached_col"))


def is_selected_plainly(field: Any) -> bool:
    """The same, and whether what the SELECT makes of the column follows from the column."""
    return selects_itself(field) and (
        type(field) in stable_fields or _is_django(field, ("select_format",))
    )


stable_fields: set[type] = set()
"""Classes of a project of which it says that what they load follows from the column."""

_PLAIN_ENCODERS = (None, json.JSONEncoder, DjangoJSONEncoder)


def _parts(field: Any) -> Iterable[Any]:
    """The fields that a field leaves the conversion to."""
    if field.remote_field is not None:
        # The other end of a relation is one field or, by a foreign object, several.
        yield from getattr(field, "foreign_related_fields", ())
    for name in ("base_field", "output_field"):
        part = vars(field).get(name)
        if part is not None:
            yield part


def _is_django(field: Any, names: Iterable[str]) -> bool:
    own = vars(field)
    return all(
        is_of_django(own[name] if name in own else getattr(type(field), name, None))
        for name in names
    )


def is_of_django(method: Any) -> bool:
    """Whether a method, or none at all, is what Django ships."""
    if isinstance(method, property):
        method = method.fget
    module = getattr(method, "__module__", "") or ""
    return method is None or module == "django" or module.startswith("django.")
