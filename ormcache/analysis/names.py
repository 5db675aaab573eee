"""Names that stand for models, fields and relations in a structure, across processes."""

from __future__ import annotations

import uuid
import weakref
from enum import Enum
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db.models import Field, ForeignObjectRel, Model
from django.db.models.fields.related import ForeignObject

from ormcache.analysis.memo import Memo
from ormcache.analysis.structure import Token, class_path
from ormcache.digest import code_digest, field_digest
from ormcache.exceptions import Uncacheable
from ormcache.modelset import forget_with_models

# Field.__hash__ is slow, hence keys by id(); the value holds the object, so no id is reused.
_fields: Memo[int, tuple[Any, str]] = Memo(8192)
_relations: Memo[int, tuple[Any, str]] = Memo(4096)
_labels: Memo[type[Model], str] = Memo(4096)
for _memo in (_fields, _relations, _labels):
    forget_with_models(_memo.clear)

_holders: dict[str, weakref.ref[type[Model]]] = {}
_aliases: weakref.WeakKeyDictionary[type[Model], str] = weakref.WeakKeyDictionary()

GENERIC_RELATION = "django.contrib.contenttypes.fields"

# Unbound fields made afresh for every expression: what of them reaches SQL or a conversion.
SIMPLE = ("max_length", "db_collation", "max_digits", "decimal_places")
# Arguments of a field that no SELECT depends on, and that may be lazy or callable.
COSMETIC = frozenset(
    {"choices", "default", "error_messages", "help_text", "validators", "verbose_name"}
)


def label(model: type[Model]) -> str:
    """What names a model in a structure: its label, if every process means the same by it.

    That is the first model of this label that is asked for here and installed. Whatever else bears
    the label may have other fields, and lead elsewhere: its lists are this process's own.
    """
    known = _labels.get(model)
    if known is None:
        known = _labels[model] = model._meta.label if _holds_label(model) else _alias(model)
    return known


def _holds_label(model: type[Model]) -> bool:
    meta = model._meta
    if apps.all_models.get(meta.app_label, {}).get(meta.model_name or "") is not model:
        return False
    # Of one that is gone something may be remembered yet.
    return _holders.setdefault(meta.label, weakref.ref(model))() is model


def _alias(model: type[Model]) -> str:
    return _aliases.setdefault(model, f"{model._meta.label} {uuid.uuid4().hex}")


def field_token(field: Any) -> str:
    """A field of a model by its name, column and class; a free one by all it was made with; the
    other end of a relation, which ``filter(articles=3)`` compares with, as ``relation_token``."""
    known = _fields.get(id(field))
    if known is not None:
        return known[1]
    if isinstance(field, ForeignObjectRel):
        return relation_token(field)
    model = getattr(field, "model", None)
    if model is None:
        return _free(field)
    token = f"{label(model)}.{field.attname} {field.column} {_class(field)}{_made_with(field)}"
    _fields[id(field)] = (field, token)
    return token


def _class(field: Any) -> str:
    """The class of a field, and of which version: it converts what is stored and compared."""
    parts = [field, *(vars(field)[name] for name in _PARTS if vars(field).get(name) is not None)]
    kinds = [part if isinstance(part, type) else type(part) for part in parts]
    digests = "".join(f" {digest}" for kind in kinds if (digest := code_digest(kind)))
    return class_path(type(field)) + digests


def _made_with(field: Any) -> str:
    """Of a project's own field, and of those it leaves conversions to, the arguments."""
    parts = [field, *filter(None, map(vars(field).get, _PARTS))]
    return " ".join(
        filter(None, (field_digest(each) for each in parts if isinstance(each, Field)))
    )


# What a field leaves conversions to.
_PARTS = ("base_field", "output_field", "encoder", "decoder")


def output_token(node: Any) -> Token:
    """The type of an expression, explicit or inferred; None where it has none."""
    try:
        field = node.output_field
    except (FieldError, AttributeError):
        # Django raises too, if it comes to need the type.
        return None
    return None if field is None else field_token(field)


def relation_token(relation: Any) -> str:
    """Along what a join goes: the field and the direction."""
    known = _relations.get(id(relation))
    if known is None:
        reverse = isinstance(relation, ForeignObjectRel)
        field = relation.field if reverse else relation
        if not _restricts_as_known(field):
            raise Uncacheable(f"{class_path(type(field))} adds a condition of its own to joins")
        token = f"{'<' if reverse else '>'}{label(field.model)}.{field.name}"
        known = _relations[id(relation)] = (relation, token)
    return known[1]


def is_generic(field: Any) -> bool:
    """Whether joins along ``field`` carry the condition on the content type."""
    function = type(field).get_extra_restriction
    return bool(function.__module__ == GENERIC_RELATION)


def _restricts_as_known(field: Any) -> bool:
    kind = type(field)
    function = getattr(kind, "get_extra_restriction", None)
    if getattr(kind, "get_joining_fields", None) is not ForeignObject.get_joining_fields:
        return False
    return function is ForeignObject.get_extra_restriction or is_generic(field)


def _free(field: Any) -> str:
    kind = type(field)
    if kind.__module__ == "django.db.models.fields":
        state = [getattr(field, name, None) for name in SIMPLE]
        return f"{kind.__qualname__} {state!r}"
    if not isinstance(field, Field):
        raise Uncacheable(f"{class_path(kind)} as an output field is not known")
    _, _, args, kwargs = field.deconstruct()
    kept = {name: value for name, value in kwargs.items() if name not in COSMETIC}
    return f"{_class(field)} {_text(args)} {_text(kept)}"


def _text(value: Any) -> str:
    """An injective spelling of an argument of a field."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return repr(value)
    if isinstance(value, Enum):
        return f"{class_path(type(value))}.{value.name}"
    if isinstance(value, type):
        return f"<{class_path(value)}>"
    if isinstance(value, Field):
        return f"<{field_token(value)}>"
    if type(value) in (list, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_text(value[key])}' for key in sorted(value))}}}"
    raise Uncacheable(f"an output field made with {value!r} has no stable name")
