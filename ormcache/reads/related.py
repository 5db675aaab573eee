"""``select_related`` over row cells: followed level by level, one round trip a level."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from ormcache.analysis.names import relation_token
from ormcache.exceptions import Uncacheable
from ormcache.reads.build import builder, introduce
from ormcache.reads.rows import Wanted, read_rows
from ormcache.reads.select import Row, as_loaded
from ormcache.schema.tables import Schema
from ormcache.schema.watched import schema_on


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
    _check_columns(relation, path)
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
    _check_columns(relation.field, path)
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


def _check_columns(relation: Any, path: str) -> None:
    if not relation.concrete or len(relation.related_fields) != 1:
        raise Uncacheable(f"select_related follows {path}, which is not one column of its model")
    # A relation of a project's own may join under further conditions, which rows do not tell.
    relation_token(relation)


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


def tables_of(branches: Sequence[Branch]) -> Iterator[str]:
    """The tables of the rows that branches lead to."""
    for branch in branches:
        yield from (table.name for table in branch.schema.tables)
        yield from tables_of(branch.branches)


@dataclass(slots=True)
class Followed:
    """One relation as it was read: for each row it starts from the row it leads to, ``None``
    where it leads nowhere, and what the latter lead to in turn."""

    branch: Branch
    rows: list[Row | None]
    further: list[Followed] = field(default_factory=list)


@dataclass(slots=True)
class _Step:
    """One branch on its way: the rows it starts from, the places in the list they belong to, and
    the pointer of each."""

    branch: Branch
    near: Sequence[Row]
    places: Sequence[int]
    pointers: list[Any]
    into: list[Followed]


def follow(
    branches: Sequence[Branch],
    rows: Sequence[Row],
    stored: dict[str, list[Any]],
    using: str,
) -> list[Followed]:
    """Read what the branches lead to, level by level; no instance is made.

    ``stored`` holds, by path, a pointer for each of the ``rows``. Raises ``Vanished`` when a
    pointer leads nowhere.
    """
    found: list[Followed] = []
    places = range(len(rows))
    level = [_step(branch, rows, places, stored, found) for branch in branches]
    while level:
        wanted = [
            Wanted(
                step.branch.schema, list(dict.fromkeys(p for p in step.pointers if p is not None))
            )
            for step in level
        ]
        read_rows([each for each in wanted if each.pks], using)
        following: list[_Step] = []
        for step, there in zip(level, wanted, strict=True):
            followed = _followed(step, there)
            step.into.append(followed)
            far = [
                (row, place)
                for row, place in zip(followed.rows, step.places, strict=True)
                if row is not None
            ]
            for branch in step.branch.branches if far else ():
                far_rows, far_places = zip(*far, strict=True)
                following.append(_step(branch, far_rows, far_places, stored, followed.further))
        level = following
    return found


def _step(
    branch: Branch,
    near: Sequence[Row],
    places: Sequence[int],
    stored: dict[str, list[Any]],
    into: list[Followed],
) -> _Step:
    if branch.pointer is None:
        column = stored[branch.path]
        return _Step(branch, near, places, [column[place] for place in places], into)
    return _Step(branch, near, places, [row[branch.pointer] for row in near], into)


def _followed(step: _Step, there: Wanted) -> Followed:
    near_key, far_key = step.branch.joined
    is_mutable = step.branch.schema.mutable
    rows: list[Row | None] = []
    seen: set[Any] = set()
    for near, pointer in zip(step.near, step.pointers, strict=True):
        if pointer is None:
            rows.append(None)
            continue
        row = there.rows.get(pointer)
        # A pointer the list holds may be older than the rows: they must belong together still.
        if row is None or row[far_key] != near[near_key]:
            raise Vanished
        if is_mutable and pointer in seen:
            # Two instances must not share a value.
            row = copy.deepcopy(row)
        seen.add(pointer)
        rows.append(row)
    return Followed(step.branch, rows)


def attach(
    followed: Sequence[Followed], instances: list[Any], using: str, db: str, fetch_mode: Any
) -> None:
    """Hang on the instances what their rows lead to. Each gets an instance of its own, and the
    way back is set last: all as Django does."""
    for each in followed:
        branch, schema = each.branch, each.branch.schema
        rows = each.rows
        if schema.raw:
            of_model = schema.model, schema.attnames, schema.raw
            rows = [row and as_loaded(*of_model, row, using) for row in rows]
        build = builder(branch.model, schema.attnames, db, fetch_mode)
        others = [None if row is None else build(row) for row in rows]
        there = [other for other in others if other is not None]
        introduce(there, fetch_mode)
        attach(each.further, there, using, db, fetch_mode)
        set_near, set_far = branch.set_near, branch.set_far
        for instance, other in zip(instances, others, strict=True):
            set_near(instance, other)
            if set_far is not None and other is not None:
                set_far(other, instance)
