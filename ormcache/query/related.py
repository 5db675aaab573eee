"""``select_related`` over row cells: followed level by level, one round trip a level."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from ormcache.exceptions import Uncacheable
from ormcache.query.instances import builder
from ormcache.query.rows import Wanted, read_rows
from ormcache.query.select import Row, loaded
from ormcache.schema import Schema, schema_on


@dataclass(slots=True)
class Branch:
    """One relation to follow from a model.

    ``pointer`` is the position of the foreign key in the row of the model it starts from, or
    ``None`` when the list entry holds the pointer, in its column ``path``.
    """

    path: str
    schema: Schema
    model: type[models.Model]
    pointer: int | None
    joined: tuple[int, int]
    """The positions, in the near row and in the far one, of the values that make the relation."""
    near: str
    """The attribute that has to be loaded for the relation to be followed."""
    set_near: Callable[[Any, Any], None]
    set_far: Callable[[Any, Any], None] | None
    branches: list[Branch] = field(default_factory=list)


class Vanished(Exception):
    """A pointer leads to a row that does not exist any more."""


def branches_of(schema: Schema, select_related: Any, max_depth: int, vendor: str) -> list[Branch]:
    """What a query's ``select_related`` follows.

    Raises ``Uncacheable`` when a model on the way has no row cells.
    """
    if select_related is False:
        return []
    if select_related is True:
        return _branches(schema, _implied(schema.model, max_depth), "", vendor)
    return _branches(schema, select_related, "", vendor)


def _implied(model: type[models.Model], depth: int) -> dict[str, Any]:
    """What ``select_related()`` without names means: every foreign key that is not null."""
    if depth == 0:
        return {}
    return {
        relation.name: _implied(relation.remote_field.model, depth - 1)
        for relation in model._meta.fields
        if relation.remote_field and not relation.remote_field.parent_link and not relation.null
    }


def _branches(schema: Schema, names: dict[str, Any], prefix: str, vendor: str) -> list[Branch]:
    meta: Any = schema.model._meta
    forward = {item.name: item for item in meta.fields if item.is_relation}
    reverse = {item.field.related_query_name(): item for item in meta.related_objects}
    # Django follows forward relations in the order of the fields, then reverse ones.
    ordered = [name for name in (*forward, *reverse) if name in names]
    if len(ordered) < len(names):
        raise Uncacheable("select_related names a filtered or unknown relation")
    found = []
    for name in ordered:
        path = prefix + name
        make = _forward if name in forward else _reverse
        branch = make(schema, forward.get(name) or reverse[name], path, vendor)
        branch.branches = _branches(branch.schema, names[name], path + "__", vendor)
        found.append(branch)
    return found


def _forward(schema: Schema, relation: Any, path: str, vendor: str) -> Branch:
    target = _schema(relation.remote_field.model, vendor)
    if relation.remote_field.parent_link:
        raise Uncacheable(f"select_related follows the parent link {path}")
    near = schema.attnames.index(relation.attname)
    is_direct = relation.target_field is relation.remote_field.model._meta.pk
    far = relation.remote_field.set_cached_value if relation.unique else None
    return Branch(
        path,
        target,
        relation.remote_field.model,
        near if is_direct else None,
        (near, target.attnames.index(relation.target_field.attname)),
        relation.attname,
        relation.set_cached_value,
        far,
    )


def _reverse(schema: Schema, relation: Any, path: str, vendor: str) -> Branch:
    if not relation.field.unique or relation.many_to_many:
        raise Uncacheable(f"select_related follows {path}, which is not one to one")
    related: type[models.Model] = relation.related_model
    if related is not schema.model and issubclass(related, schema.model):
        # By whatever relation, Django takes what the child inherits from the row it begins at.
        raise Uncacheable(f"select_related follows {path} to a child table")
    target = _schema(related, vendor)
    near = schema.attnames.index(relation.field.target_field.attname)
    return Branch(
        path,
        target,
        related,
        None,
        (near, target.attnames.index(relation.field.attname)),
        schema.model._meta.pk.attname,
        relation.set_cached_value,
        relation.field.set_cached_value,
    )


def _schema(model: type[models.Model], vendor: str) -> Schema:
    try:
        return schema_on(model, vendor)
    except Uncacheable as error:
        raise Uncacheable(
            f"select_related follows a relation to {model._meta.label}, whose rows are not "
            f"cached: {error.reason}"
        ) from None


def stored_paths(branches: Sequence[Branch]) -> list[str]:
    """The paths whose pointers the list entry has to hold."""
    paths = []
    for branch in branches:
        if branch.pointer is None:
            paths.append(branch.path)
        paths += stored_paths(branch.branches)
    return paths


@dataclass(slots=True)
class _Step:
    """One branch on its way: the instances it starts from and the pointer of each."""

    branch: Branch
    near: list[Any]
    rows: Sequence[Row]
    pointers: list[Any]


def follow(
    branches: Sequence[Branch],
    instances: list[Any],
    rows: Sequence[Row],
    stored: dict[str, list[Any]],
    using: str,
    db: str,
    fetch_mode: Any,
) -> None:
    """Read what the branches lead to and hang it on the instances.

    ``rows`` belong to ``instances``; ``stored`` holds, by path, a pointer for each instance of the
    list. Raises ``Vanished`` when a pointer leads nowhere.
    """
    positions: list[int] = list(range(len(instances)))
    level = [_step(branch, instances, rows, positions, stored) for branch in branches]
    places = {id(step): positions for step in level}
    returns: list[tuple[Any, Any, Any]] = []
    while level:
        wanted = [
            Wanted(
                step.branch.schema, list(dict.fromkeys(p for p in step.pointers if p is not None))
            )
            for step in level
        ]
        read_rows([each for each in wanted if each.pks], using)
        following: list[_Step] = []
        next_places: dict[int, list[int]] = {}
        for step, found in zip(level, wanted, strict=True):
            far, far_rows, far_places = _attach(
                step, found, places[id(step)], using, db, fetch_mode, returns
            )
            for branch in step.branch.branches:
                if far:
                    new = _step(branch, far, far_rows, far_places, stored)
                    following.append(new)
                    next_places[id(new)] = far_places
        level, places = following, next_places
    for set_far, other, instance in returns:
        set_far(other, instance)


def _step(
    branch: Branch,
    near: list[Any],
    rows: Sequence[Row],
    positions: list[int],
    stored: dict[str, list[Any]],
) -> _Step:
    if branch.pointer is None:
        column = stored[branch.path]
        return _Step(branch, near, rows, [column[position] for position in positions])
    return _Step(branch, near, rows, [row[branch.pointer] for row in rows])


def _attach(
    step: _Step,
    found: Wanted,
    positions: list[int],
    using: str,
    db: str,
    fetch_mode: Any,
    returns: list[tuple[Any, Any, Any]],
) -> tuple[list[Any], list[Row], list[int]]:
    """Hang a level's instances on the one before. Each gets an instance of its own, as from
    Django.

    ``returns`` are the ways back, to be set last: a branch that follows one gives way to it.
    """
    branch, schema = step.branch, step.branch.schema
    build = builder(branch.model, schema.attnames, db, fetch_mode)
    far: list[Any] = []
    far_rows: list[Row] = []
    far_places: list[int] = []
    near_key, far_key = branch.joined
    seen: set[Any] = set()
    for instance, near_row, pointer, position in zip(
        step.near, step.rows, step.pointers, positions, strict=True
    ):
        if pointer is None:
            branch.set_near(instance, None)
            continue
        row = found.rows.get(pointer)
        # A pointer the list holds may be older than the rows: they must belong together still.
        if row is None or row[far_key] != near_row[near_key]:
            raise Vanished
        if schema.mutable and pointer in seen:
            row = copy.deepcopy(row)
        seen.add(pointer)
        values = row
        if schema.raw:
            values = loaded(schema.model, schema.attnames, schema.raw, row, using)
        other = build(values)
        branch.set_near(instance, other)
        if branch.set_far is not None:
            returns.append((branch.set_far, other, instance))
        far.append(other)
        far_rows.append(row)
        far_places.append(position)
    return far, far_rows, far_places
