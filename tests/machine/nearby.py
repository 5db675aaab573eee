"""Writes that concern a read: to the columns it names, to the rows it may hold.

A write to anything mostly leaves a read alone, and what must invalidate it shows only when the two
meet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.machine import queries, values, writes
from tests.machine.choice import Choice
from tests.machine.queries import Model


@dataclass(frozen=True)
class Meeting:
    """A read, and writes to come between one reading of it and the next."""

    read: str
    rounds: list[str]
    loads: str
    """What to read before each write: what rows in the cache were is known, and tells exactly
    which lists a write concerns."""


def meeting(choice: Choice, schema_models: list[Model], reads: Sequence[str]) -> Meeting:
    """A read that was made before, or a plain one, and writes that concern it."""
    text = choice.of(reads) if reads and choice.chance(3) else queries.plain(choice, schema_models)
    asked = re.search(r"\w+\.objects", text)
    loads = f"bag({asked[0]}.all())" if asked and not choice.chance(4) else ""
    rounds = []
    for _ in range(1 + choice.below(4)):
        made = [write(choice, schema_models, text) for _ in range(choice.of([1, 1, 2, 3]))]
        if choice.chance(2):
            made = ["\n".join(["with atomic():", *(f"    {each}" for each in made)])]
        rounds.append("\n".join(made))
    return Meeting(text, rounds, loads)


def any_write(choice: Choice, schema_models: list[Model], reads: Sequence[str]) -> str | Meeting:
    """A write, or something that happens to the store, that concerns no read in particular; more
    often a meeting."""
    shape = choice.weighted(meeting=6, statement=3, fault=1)
    if shape == "meeting":
        return meeting(choice, schema_models, reads)
    make = writes.fault if shape == "fault" else writes.statement
    return make(choice, schema_models)


def write(choice: Choice, schema_models: list[Model], text: str) -> str:
    """A write that concerns the read ``text``."""
    words = {part for word in re.findall(r"[A-Za-z]\w*", text) for part in word.split("__")}
    named = [
        (model, field)
        for model in schema_models
        for field in writes.writable(model)
        if field.name in words or field.attname in words
    ]
    models = [model for model in schema_models if model.__name__ in words]
    models += [model for model, _ in named if model not in models]
    if not models:
        return writes.statement(choice, schema_models)
    linked = [
        (model, relation)
        for model in schema_models
        for relation in writes.managed(model)
        if relation.many_to_many and queries.query_name(relation) in words
    ]
    shape = choice.weighted(change=9, delete=2, create=2, other=1, link=6 if linked else 0)
    if shape == "link":
        return writes.link(choice, *choice.of(linked))
    if shape == "change" and named:
        # What others are joined by counts more: it concerns them all.
        named += [each for each in named if f"{each[1].name}__" in text] * 2
        return _change(choice, *choice.of(named), text)
    model = choice.of(models)
    if shape == "create":
        verb = choice.weighted(objects=3, insert=1)
        if verb == "insert" and not model._meta.parents:
            return f"insert({model.__name__}, {writes.given(choice, model)})"
        return writes.create(choice, model)
    if shape == "delete":
        return _delete(choice, model, text)
    return writes.statement(choice, [model])


def _row(choice: Choice, model: Model, text: str) -> str:
    """A row, mostly one that the read names."""
    found = re.findall(rf"nth\({model.__name__}, \d\)", text)
    return choice.of(found) if found and not choice.chance(4) else values.row(choice, model)


def _change(choice: Choice, model: Model, field: Any, text: str) -> str:
    """One column of one or two rows, or of all that have a value."""
    name, new = model.__name__, f"{field.name}={values.value(choice, field)}"
    row = _row(choice, model, text)
    shape = choice.weighted(save=3, cached=2, update=3, two=2, many=2, all=2, bulk=2, both=2)
    if shape == "save":
        return f"{choice.of(['save', 'save_some'])}({row}, {new})"
    if shape == "cached":
        return f"save_some({row.replace('nth', 'cached')}, {new})"
    if shape == "update":
        return f"{name}.objects.filter(pk={row}.pk).update({new})"
    if shape == "two":
        return f"{name}.objects.filter(pk__in=keys({name})[:2]).update({new})"
    if shape == "all":
        return f"{name}.objects.update({new})"
    if shape == "many":
        condition = values.condition(choice, "", choice.of(queries.columns(model)))
        return f"{name}.objects.filter({condition}).update({new})"
    if shape == "bulk":
        other = f"{field.name}={values.value(choice, field)}"
        changes = f"changed({row}, {new}), changed({values.row(choice, model)}, {other})"
        return f"{name}.objects.bulk_update([{changes}], [{field.name!r}])"
    also = choice.of(writes.writable(model))
    if also is field:
        return f"save({row}, {new})"
    return f"save_some({row}, {new}, {also.name}={values.value(choice, also)})"


def _delete(choice: Choice, model: Model, text: str) -> str:
    row = _row(choice, model, text)
    if choice.chance(2):
        return f"{model.__name__}.objects.filter(pk={row}.pk).delete()"
    return f"{row}.delete()"
