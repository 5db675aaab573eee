"""What an ORDER BY or DISTINCT ON stands for, named without joining anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import OrderBy
from django.db.models.functions.datetime import TimezoneMixin

from ormcache import interrupts
from ormcache.analysis.memo import Memo
from ormcache.analysis.names import label
from ormcache.analysis.parameters import zone
from ormcache.analysis.structure import Token, visit
from ormcache.exceptions import Uncacheable
from ormcache.modelset import forget_with_models
from ormcache.schema.conversions import selects_itself


class Path(NamedTuple):
    """What a name means beyond its own text."""

    token: Token
    zoned: bool


PLAIN = Path(None, False)

_paths: Memo[tuple[type[Model], str], Path] = Memo(4096)
forget_with_models(_paths.clear)


def terms(query: Any) -> Sequence[Any]:
    """What a query is ordered by: its own terms, else those of its model; empty for no order."""
    return query.order_by or (query.default_ordering and query.get_meta().ordering) or ()


def ordering(query: Any, items: Sequence[Any], out: list[Token], values: list[Any]) -> None:
    """Write the terms of an ordering of ``query``; raises Uncacheable for a random one."""
    out.append(len(items))
    for item in items:
        kind = type(item)
        if kind is str:
            name(query, item, out, values)
        elif kind is F:
            out.append(("F",))
            name(query, item.name, out, values)
        elif kind is OrderBy and type(item.expression) is F:
            out.append(("OrderBy",))
            values.append([item.descending, item.nulls_first, item.nulls_last])
            name(query, item.expression.name, out, values)  # type: ignore[attr-defined]
        elif isinstance(item, str):
            name(query, str(item), out, values)
        else:
            out.append(("resolved",))
            _resolved(query, item, out, values)


def name(query: Any, text: str, out: list[Token], values: list[Any]) -> None:
    """Write a name of an ordering or DISTINCT ON, and what it means where that is not plain."""
    path = None
    if query.annotations or query._filtered_relations:
        path = _in_query(query, text.removeprefix("-"))
    if path is None:
        path = _paths.get((query.model, text)) or _in_model(query.model, text)
    if path is PLAIN:
        out.append(text)
        return
    out.append((text, path.token))
    if path.zoned:
        values.append(zone(None))


def _in_query(query: Any, bare: str) -> Path | None:
    first, _, rest = bare.partition(LOOKUP_SEP)
    if bare in query.annotations:
        return PLAIN
    if first in query.annotations:
        return _transformed(query.annotations[first], rest.split(LOOKUP_SEP))
    filtered = query._filtered_relations.get(first)
    if filtered is None:
        return None
    return _in_model(query.model, f"{filtered.relation_name}{LOOKUP_SEP}{rest}".rstrip("_"))


def _in_model(model: type[Model], text: str) -> Path:
    if text == "?":
        raise Uncacheable("a random order is volatile")
    path = _paths[model, text] = _named(model, text.removeprefix("-"), ())
    return path


def _named(model: type[Model], bare: str, seen: tuple[tuple[type[Model], str], ...]) -> Path:
    """The meaning of a field path: transforms, or the ordering of the model it ends in."""
    if (model, bare) in seen:
        raise Uncacheable(f"the orderings of {label(model)} follow each other for ever")
    seen = (*seen, (model, bare))
    options = model._meta
    pieces = bare.split(LOOKUP_SEP)
    field: Any = None
    for position, piece in enumerate(pieces):
        try:
            field = options.get_field(options.pk.name if piece == "pk" else piece)
        except FieldDoesNotExist:
            raise Uncacheable(f"{bare!r} does not lead to a field of {label(model)}") from None
        infos = getattr(field, "path_infos", None)
        if not selects_itself(field):
            raise Uncacheable(f"{field} may be ordered by another column than its own")
        if infos is None:
            rest = pieces[position + 1 :]
            return _transformed(field.get_col(""), rest) if rest else PLAIN
        options = infos[-1].to_opts
    if not options.ordering or bare == "pk" or getattr(field, "attname", None) == pieces[-1]:
        return PLAIN
    return _followed(options.model, options.ordering, seen)


def _followed(
    model: type[Model], terms: Sequence[Any], seen: tuple[tuple[type[Model], str], ...]
) -> Path:
    token: list[Token] = [label(model)]
    zoned = False
    for term in terms:
        bare = term
        if isinstance(term, OrderBy):
            flags = [term.descending, term.nulls_first, term.nulls_last]
            token.append(repr(flags))
            bare = term.expression
        if isinstance(bare, F):
            bare = bare.name  # type: ignore[attr-defined]
        if not isinstance(bare, str) or bare == "?":
            raise Uncacheable(f"the ordering of {label(model)} is followed, and not only fields")
        path = _named(model, bare.removeprefix("-"), seen)
        token += (str(bare), path.token)
        zoned = zoned or path.zoned
    return Path(tuple(token), zoned)


def _transformed(expression: Any, names: Sequence[str]) -> Path:
    """Check the transforms of a name: their classes are found at compile time only."""
    for transform in names:
        try:
            made = expression.get_transform(transform)
            expression = made(expression)
        except Exception as error:  # Whatever is wrong, Django will say it to the caller.
            interrupts.pass_on(error)
            raise Uncacheable(f"ordering by the transform {transform!r}: {error}") from error
    out: list[Token] = []
    visit(expression, out, [])
    return Path(tuple(out), any(isinstance(part, TimezoneMixin) for part in expression.flatten()))


def _resolved(query: Any, item: Any, out: list[Token], values: list[Any]) -> None:
    """Write an ordering by an expression: slower, as only resolving tells what is in it."""
    clone = query.clone()
    try:
        if not clone.alias_map:
            clone.get_initial_alias()
        found = item.resolve_expression(clone, allow_joins=True, reuse=None)
        # Django orders by position where the very same expression is selected.
        bare = item.expression if isinstance(item, OrderBy) else item
        chosen = [*query.annotation_select.items(), *enumerate(query.select)]
        positions = tuple(str(where) for where, selected in chosen if selected == bare)
    except Exception as error:  # Whatever is wrong, Django will say it to the caller.
        interrupts.pass_on(error)
        raise Uncacheable(f"an ordering does not resolve: {error}") from error
    visit(found, out, values)
    out.append(positions)
