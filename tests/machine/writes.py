"""Random writes over the models of a schema, as source: single statements and transactions."""

from __future__ import annotations

import textwrap
from typing import Any

from django.db import models

from tests.machine import queries, values
from tests.machine.choice import Choice
from tests.machine.queries import Model


def create(choice: Choice, model: Model) -> str:
    return f"{model.__name__}.objects.create({given(choice, model)})"


def statement(choice: Choice, schema_models: list[Model]) -> str:
    """One write."""
    model = choice.of(schema_models)
    return _WRITES[choice.of(_SORTED)](choice, model)


def block(choice: Choice, schema_models: list[Model], depth: int = 2) -> str:
    """A transaction of several lines: writes, reads of all that is known, faults, savepoints."""
    kinds = {"atomic": 5, "undone": 2, "attempt": 1}
    if depth == 2:
        kinds |= {"manual": 1, "raw_transaction": 1}
    lines = [f"with {choice.weighted(**kinds)}():"]
    for _ in range(1 + choice.below(4)):
        shape = choice.weighted(write=7, check=2, later=1, block=2, fault=1, stay=1)
        if shape == "write":
            inner = statement(choice, schema_models)
            if choice.chance(2):
                inner = f"with attempt():\n    {inner}"
        elif shape == "block" and depth:
            inner = block(choice, schema_models, depth - 1)
        elif shape == "fault":
            inner = fault(choice)
        else:
            inner = {"later": "on_commit(check)", "stay": "elsewhere(check)"}.get(shape, "check()")
        lines.append(textwrap.indent(inner, "    "))
    return "\n".join(lines)


def fault(choice: Choice, _: object = None) -> str:
    """Something that happens to the store."""
    if choice.chance(4):
        return choice.of(["flush()", "restart()"])
    return f"evict({choice.below(9)})"


# What a row is given


def writable(model: Model) -> list[Any]:
    return [
        each
        for each in queries.columns(model)
        if not each.generated and not _is_link(each) and not each.primary_key
    ]


def _is_link(field: Any) -> bool:
    return bool(field.remote_field is not None and field.remote_field.parent_link)


def given(choice: Choice, model: Model, known: Any = None) -> str:
    """Keyword arguments for a new row: every relation but a ``known`` one, some other columns."""
    parts = []
    key: Any = model._meta.pk
    root = values.base(key)
    automatic = isinstance(root, models.AutoField)
    if key.remote_field is None and (not automatic or choice.chance(8)):
        parts.append(f"pk={values.literal(choice, root)}")
    elif _is_link(key) and not automatic:
        parts.append(f"{root.name}={values.literal(choice, root)}")
    for field in writable(model):
        if field is known:
            continue
        if field.remote_field is not None or field.unique or choice.chance(2):
            parts.append(f"{field.name}={values.value(choice, field)}")
    return ", ".join(parts)


def _changes(choice: Choice, model: Model, *, most: int = 3, plain: bool = False) -> str:
    """Keyword arguments for a change of one to ``most`` columns."""
    fields = choice.some(writable(model), most, 1)
    return ", ".join(f"{each.name}={_new_value(choice, model, each, plain)}" for each in fields)


def _new_value(choice: Choice, model: Model, field: Any, plain: bool) -> str:
    if plain or not choice.chance(4):
        return values.value(choice, field)
    if isinstance(values.base(field), models.IntegerField) and field.remote_field is None:
        return f"F({field.name!r}) + 1"
    same = [
        each
        for each in queries.columns(model)
        if type(values.base(each)) is type(values.base(field))
        and each.model is field.model
        and (each.remote_field is None) == (field.remote_field is None)
        and (field.remote_field is None or each.remote_field.model is field.remote_field.model)
    ]
    if choice.chance(2) and same:
        return f"F({choice.of(same).name!r})"
    if field.remote_field is not None:
        return values.value(choice, field)
    condition = queries.condition(choice, model, 0)
    if "__" in condition.replace("__in", "").replace("__isnull", ""):
        condition = "Q(pk__isnull=False)"
    one, other = values.literal(choice, field), values.literal(choice, field)
    kind = type(values.base(field)).__name__
    options = "max_digits=8, decimal_places=2" if kind == "DecimalField" else ""
    field_of = f"models.{kind}({options})"
    return (
        f"Case(When({condition}, then=Value({one}, {field_of})), "
        f"default=Value({other}, {field_of}), output_field={field_of})"
    )


def _some_rows(choice: Choice, model: Model) -> str:
    """A queryset to update or delete."""
    if choice.chance(3):
        return f"{model.__name__}.objects.filter(pk={values.row(choice, model)}.pk)"
    if choice.chance(4):
        return f"{model.__name__}.objects.filter(pk__in=keys({model.__name__})[:2])"
    text = f"{model.__name__}.{choice.weighted(objects=6, nocache=1, _base_manager=1)}"
    if "nocache" in text and not hasattr(model, "nocache"):
        text = f"{model.__name__}.objects"
    return f"{text}.filter({queries.condition(choice, model)})"


# Writes


def _create(choice: Choice, model: Model) -> str:
    text = create(choice, model)
    if hasattr(model, "nocache") and choice.chance(4):
        text = text.replace(".objects.", ".nocache.", 1)
    return text


def _save(choice: Choice, model: Model) -> str:
    source = choice.weighted(nth=3, cached=2, held=2, partly=1)
    name, number = model.__name__, choice.below(4)
    found = f"{source}({name}, {number})"
    if source == "partly":
        fields = choice.some([each.name for each in writable(model)], 2, 1)
        found = f"{source}({name}, {number}, {', '.join(map(repr, fields))})"
    verb = choice.weighted(save=3, save_some=3)
    return f"{verb}({found}, {_changes(choice, model)})"


def _save_nothing(choice: Choice, model: Model) -> str:
    return f"{values.row(choice, model)}.save({choice.of(['', 'force_update=True'])})"


def _hold(choice: Choice, model: Model) -> str:
    """Keep an instance, to be saved later over what others have written meanwhile."""
    number = choice.below(4)
    return f"hold({model.__name__}, {number})"


def _bulk_create(choice: Choice, model: Model) -> str:
    name = model.__name__
    made = [f"{name}({given(choice, model)})" for _ in range(1 + choice.below(3))]
    option = choice.weighted(none=4, ignore=1, update=2)
    options = {"none": "", "ignore": ", ignore_conflicts=True", "update": ""}[option]
    unique = [each for each in writable(model) if each.unique]
    if option == "update" and unique:
        changed = choice.some([each.name for each in writable(model)], 2, 1)
        target = choice.of(unique).name
        return f"upsert({name}, [{', '.join(made)}], {changed}, {target!r})"
    return f"{name}.objects.bulk_create([{', '.join(made)}]{options})"


def _bulk_update(choice: Choice, model: Model) -> str:
    fields = choice.some([each.name for each in writable(model)], 2, 1)
    changes = [
        f"changed({values.row(choice, model)}, {_changes(choice, model)})"
        for _ in range(1 + choice.below(2))
    ]
    return f"{model.__name__}.objects.bulk_update([{', '.join(changes)}], {fields})"


def _update(choice: Choice, model: Model) -> str:
    return f"{_some_rows(choice, model)}.update({_changes(choice, model)})"


def _update_key(choice: Choice, model: Model) -> str:
    key: Any = model._meta.pk
    if key.remote_field is not None:
        return _update(choice, model)
    new = values.literal(choice, key)
    return f"{_some_rows(choice, model)}.update({key.name}={new})"


def _delete(choice: Choice, model: Model) -> str:
    if choice.chance(2):
        return f"{_some_rows(choice, model)}.delete()"
    found = choice.of(["nth", "cached", "held"])
    return f"{found}({model.__name__}, {choice.below(4)}).delete()"


def _raw_delete(choice: Choice, model: Model) -> str:
    if model._meta.parents:
        return _delete(choice, model)
    return f"{_some_rows(choice, model)}._raw_delete('default')"


def _get_or_create(choice: Choice, model: Model) -> str:
    found = writable(model)
    if not found:
        return _create(choice, model)
    field = choice.of(found)
    asked = f"{field.name}={values.value(choice, field)}"
    verb = choice.of(["update_or_create", "get_or_create"])
    defaults = given(choice, model)
    return f"{model.__name__}.objects.{verb}({asked}, defaults=dict({defaults}))"


def _link(choice: Choice, model: Model) -> str:
    """A write through a related manager."""
    found = managed(model)
    return link(choice, model, choice.of(found)) if found else _save(choice, model)


def managed(model: Model) -> list[Any]:
    """The relations of a model that have a related manager."""
    return [
        each
        for each in queries.relations(model)
        if (each.many_to_many or each.one_to_many) and not queries.attribute(each).endswith("+")
    ]


def link(choice: Choice, model: Model, relation: Any) -> str:
    """A write through the related manager of this relation."""
    target = relation.related_model
    manager = f"{values.row(choice, model)}.{queries.attribute(relation)}"
    some = ", ".join(values.row(choice, target) for _ in range(1 + choice.below(2)))
    verb = choice.weighted(add=4, set=2, remove=2, clear=1, create=1)
    if verb == "set":
        return f"{manager}.set(real({some}){choice.of(['', ', clear=True'])})"
    if verb == "clear":
        return f"{manager}.clear()"
    if verb == "create":
        # The manager sets the key that leads to its row.
        key = None if relation.many_to_many else relation.field
        return f"{manager}.create({given(choice, target, key)})"
    return f"{manager}.{verb}(*real({some}))"


# Raw SQL: names are quoted by ``sql``; values are parameters.


def _own_columns(model: Model) -> list[Any]:
    found = [each for each in model._meta.local_concrete_fields if not each.generated]
    return [each for each in found if not each.primary_key and each.remote_field is None]


def _raw_update(choice: Choice, model: Model) -> str:
    model = model._meta.concrete_model or model
    own = _own_columns(model)
    if not own:
        return _truncate(choice, model)
    field = choice.of(own)
    where = choice.weighted(all=2, key=2, other=2)
    text = f"UPDATE [{model._meta.db_table}] SET [{field.column}] = %s"
    parameters = [stored(model, field, values.literal(choice, field))]
    if where == "key":
        text += f" WHERE [{_key(model).column}] = %s"
        parameters.append(_stored_key(choice, model))
    elif where == "other":
        other = choice.of(own)
        text += f" WHERE [{other.column}] IS {choice.of(['NOT ', ''])}NULL"
    comment = choice.weighted(none=4, comment=1)
    text = f"/* {comment} */ {text}" if comment != "none" else text
    return f"sql({text!r}, {', '.join(parameters)})"


def _key(model: Model) -> Any:
    return model._meta.pk


def stored(model: Model, field: Any, literal: str) -> str:
    return f"stored({model.__name__}, {field.name!r}, {literal})"


def _stored_key(choice: Choice, model: Model) -> str:
    key = f"{values.row(choice, model)}.pk"
    return stored(model, _key(model), key)


def _raw_remove(choice: Choice, model: Model) -> str:
    model = model._meta.concrete_model or model
    text = f"DELETE FROM [{model._meta.db_table}]"
    if choice.chance(10):
        return f"sql({text!r})"
    text += f" WHERE [{_key(model).column}] = %s"
    return f"sql({text!r}, {_stored_key(choice, model)})"


def _raw_insert(choice: Choice, model: Model) -> str:
    """A copy of a row under another key."""
    model = model._meta.concrete_model or model
    key = _key(model)
    if key.remote_field is not None or model._meta.parents:
        return _raw_update(choice, model)
    others = [
        each
        for each in model._meta.local_concrete_fields
        if not each.primary_key and not each.generated
    ]
    named = ", ".join(f"[{each.column}]" for each in others)
    chosen = ", ".join("NULL" if each.unique else f"[{each.column}]" for each in others)
    table, comma = model._meta.db_table, ", " if others else ""
    text = f"INSERT INTO [{table}] ([{key.column}]{comma}{named}) SELECT %s{comma}{chosen} "
    text += f"FROM [{table}] WHERE [{key.column}] = %s"
    if isinstance(key, models.CharField):
        text = text.replace("%s", "CAST(%s AS CHAR(20))", 1)
    elif isinstance(key, models.UUIDField):
        return _raw_update(choice, model)
    new = stored(model, key, values.literal(choice, key))
    return f"sql({text!r}, {new}, {_stored_key(choice, model)})"


def _raw_values(choice: Choice, model: Model) -> str:
    """A new row, its values parameters: as Django's own INSERT, but nobody announces it."""
    model = model._meta.concrete_model or model
    if model._meta.parents:
        return _raw_update(choice, model)
    verb = choice.weighted(insert=2, insert_unseen=1)
    return f"{verb}({model.__name__}, {given(choice, model)})"


def _raw_many(choice: Choice, model: Model) -> str:
    model = model._meta.concrete_model or model
    own = _own_columns(model)
    if not own:
        return _raw_remove(choice, model)
    field = choice.of(own)
    text = f"UPDATE [{model._meta.db_table}] SET [{field.column}] = %s"
    text += f" WHERE [{_key(model).column}] = %s"
    value = stored(model, field, values.literal(choice, field))
    return f"sql_many({text!r}, [({value}, {_stored_key(choice, model)})])"


def _raw_link(choice: Choice, model: Model) -> str:
    """Rows of a many-to-many table, past every manager."""
    found = [each for each in queries.relations(model) if each.many_to_many]
    if not found:
        return _raw_update(choice, model)
    relation = choice.of(found)
    through = getattr(relation, "through", None) or relation.remote_field.through
    table = through._meta.db_table
    keys = [each for each in through._meta.concrete_fields if each.remote_field is not None]
    if choice.chance(3) or len(keys) != len(through._meta.concrete_fields) - 1:
        return f"sql('DELETE FROM [{table}]')"
    named = ", ".join(f"[{each.column}]" for each in keys)
    ends = [f"{values.row(choice, each.remote_field.model)}.pk" for each in keys]
    return f"sql('INSERT INTO [{table}] ({named}) VALUES (%s, %s)', {', '.join(ends)})"


def _truncate(choice: Choice, model: Model) -> str:
    model = model._meta.concrete_model or model
    return f"truncate({model._meta.db_table!r})"


def _outside(choice: Choice, model: Model) -> str:
    """A write that Django cannot see, and the call it takes after it."""
    model = model._meta.concrete_model or model
    own = _own_columns(model)
    if not own:
        return f"invalidate({model.__name__})"
    field = choice.of(own)
    value = stored(model, field, values.literal(choice, field))
    return f"unseen({model.__name__}, {field.column!r}, {value}, {choice.of(_CALLS)!r})"


_CALLS = ["model", "queryset", "instances"]

_WRITES = {
    "create": _create,
    "save": _save,
    "update": _update,
    "delete": _delete,
    "save nothing": _save_nothing,
    "hold": _hold,
    "bulk create": _bulk_create,
    "bulk update": _bulk_update,
    "update key": _update_key,
    "raw delete": _raw_delete,
    "get or create": _get_or_create,
    "link": _link,
    "raw update": _raw_update,
    "raw remove": _raw_remove,
    "raw insert": _raw_insert,
    "raw values": _raw_values,
    "raw many": _raw_many,
    "raw link": _raw_link,
    "truncate": _truncate,
    "outside": _outside,
}
_OFTEN = {"create": 8, "save": 6, "update": 6, "link": 5, "delete": 2, "bulk create": 3}
_OFTEN |= {"raw insert": 2, "raw values": 2}
_SORTED = [name for name in _WRITES for _ in range(_OFTEN.get(name, 1))]
