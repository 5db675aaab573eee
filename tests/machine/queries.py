"""Random reads over the models of a schema, as source. Each has one right answer at any moment:
what is cut off is ordered by a key, and nothing depends on which of two equal values is taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import models

from ormcache.schema.watched import schema_or_none
from tests.machine import values
from tests.machine.choice import Choice

Model = type[models.Model]


@dataclass(frozen=True)
class Hop:
    """A way over relations from a model to another, or to itself (empty)."""

    prefix: str
    model: Model
    is_many: bool
    is_outer: bool


@cache
def hops(model: Model, most: int = 2) -> list[Hop]:
    """The ways from ``model``, the short ones first."""
    found = [Hop("", model, False, False)]
    for hop in found:
        if hop.prefix.count("__") >= most:
            continue
        for relation in relations(hop.model):
            many = relation.one_to_many or relation.many_to_many
            found.append(
                Hop(
                    f"{hop.prefix}{query_name(relation)}__",
                    relation.related_model,
                    hop.is_many or many,
                    True,
                )
            )
    return found[:40]


@cache
def relations(model: Model) -> list[Any]:
    return [field for field in model._meta.get_fields() if field.is_relation]


def query_name(relation: Any) -> str:
    return str(relation.name)


def attribute(relation: Any) -> str:
    """The name of the attribute on the instance."""
    accessor = getattr(relation, "get_accessor_name", None)
    # A relation to itself that is its own reverse has no name from there.
    return str((accessor() if accessor else relation.name) or "+")


@cache
def columns(model: Model) -> list[Any]:
    return list(model._meta.concrete_fields)


@cache
def exact_columns(model: Model) -> list[Any]:
    return [each for each in columns(model) if values.is_exact(each)]


@cache
def referrers(model: Model) -> list[tuple[Model, Any]]:
    """The models with a foreign key to this one, and that key."""
    return [
        (relation.related_model, relation.field)
        for relation in relations(model)
        if relation.one_to_many
    ]


def condition(choice: Choice, model: Model, depth: int = 2) -> str:
    """A ``Q`` expression, or something that can stand for one."""
    shape = choice.weighted(leaf=6, both=1, either=1, no=1, exists=1, of=1, field=1)
    if depth and shape in ("both", "either"):
        sign = choice.of(["&", "|", "^"]) if shape == "both" else "|"
        one, other = condition(choice, model, depth - 1), condition(choice, model, depth - 1)
        return f"({one} {sign} {other})"
    if depth and shape == "no":
        return f"~{condition(choice, model, depth - 1)}"
    if depth and shape == "exists" and referrers(model):
        other_model, key = choice.of(referrers(model))
        inner = condition(choice, other_model, 0)
        return f"Q(Exists({_children(other_model, key)}.filter({inner})))"
    if depth and shape == "of":
        inner = condition(choice, model, 0)
        return f"Q(pk__in={model.__name__}.objects.filter({inner}).values('pk'))"
    if shape == "field":
        found = _field_condition(choice, model)
        if found:
            return found
    hop = hops(model)[0] if choice.chance(2) else choice.of(hops(model))
    column = choice.of(columns(hop.model))
    return f"Q({values.condition(choice, hop.prefix, column)})"


def _field_condition(choice: Choice, model: Model) -> str | None:
    """One column compared with another of the same type."""
    hop = choice.of(hops(model))
    one = choice.of(columns(hop.model))
    same = [
        each
        for each in columns(model)
        if type(values.base(each)) is type(values.base(one)) and each is not one
    ]
    if not same or values.kind(one) in ("json", "flag"):
        return None
    lookup = choice.of(["", "__gt", "__lte"])
    return f"Q({hop.prefix}{one.name}{lookup}=F({choice.of(same).attname!r}))"


def _children(model: Model, key: Any) -> str:
    """The rows that refer to the outer query's row."""
    target = key.target_field.attname
    return f"{model.__name__}.objects.filter({key.attname}=OuterRef({target!r}))"


def queryset(choice: Choice, model: Model, *, most: int = 3) -> str:
    """A queryset of a model, filtered; its rows in no order that counts."""
    text = f"{model.__name__}.objects"
    shape = choice.weighted(plain=8, related=2, none=1)
    reached = [each for each in relations(model) if each.many_to_many or each.many_to_one]
    if shape == "related" and reached:
        relation = choice.of(reached)
        back = relation.remote_field
        name = attribute(back) if back is not None else "+"
        if not name.endswith("+"):
            text = f"{values.row(choice, relation.related_model)}.{name}"
    for _ in range(choice.below(most)):
        verb = choice.of(["filter", "filter", "exclude"])
        inner = condition(choice, model)
        if verb == "filter" and inner.startswith("Q(") and choice.chance(2):
            inner = _keywords(inner)
        text += f".{verb}({inner})"
    return text


def _keywords(inner: str) -> str:
    """``Q(a=1)`` as ``a=1``, which Django treats alike but builds otherwise."""
    inside = inner[2:-1]
    return inner if inside.startswith("Exists") else inside


def annotation(choice: Choice, model: Model) -> str:
    """An annotation ``n``: a number or a value of the row."""
    shape = choice.weighted(count=3, total=2, case=2, f=2, first=1, exists=1, most=1, window=1)
    many = [each for each in relations(model) if each.one_to_many or each.many_to_many]
    if shape == "count" and many:
        options = choice.of(["", ", distinct=True", f", filter={condition(choice, model, 0)}"])
        return f"Count({query_name(choice.of(many))!r}{options})"
    if shape in ("total", "most"):
        hop = choice.of(hops(model))
        numbers = [each for each in columns(hop.model) if _is_integer(each)]
        if numbers:
            function = "Sum" if shape == "total" else choice.of(["Max", "Min"])
            return f"{function}({hop.prefix + choice.of(numbers).name!r})"
    if shape == "first" and referrers(model):
        other, key = choice.of(referrers(model))
        column = choice.of(columns(other)).attname
        return f"Subquery({_children(other, key)}.order_by('pk').values({column!r})[:1])"
    if shape == "exists" and referrers(model):
        return f"Exists({_children(*choice.of(referrers(model)))})"
    if shape == "window" and exact_columns(model):
        part = choice.of(exact_columns(model)).attname
        return f"Window(RowNumber(), partition_by={part!r}, order_by='pk')"
    if shape == "f":
        single = [hop for hop in hops(model) if not hop.is_many]
        hop = choice.of(single)
        return f"F({hop.prefix + choice.of(columns(hop.model)).name!r})"
    inner = condition(choice, model, 1)
    return f"Case(When({inner}, then=Value(1)), default=Value(0))"


def _is_integer(field: Any) -> bool:
    return isinstance(values.base(field), models.IntegerField) and field.remote_field is None


def read(choice: Choice, schema_models: list[Model]) -> str:
    """An expression whose value is what a program reads."""
    model = choice.of(schema_models)
    return _READS[choice.of([*_READS, *["part"] * 6, *["plain"] * 6])](choice, model)


def plain(choice: Choice, schema_models: list[Model]) -> str:
    """One that is answered with few stamps."""
    make = choice.of([_plain, _plain, _part, _part, _over])
    return make(choice, choice.of(schema_models))


def _ordered(choice: Choice, model: Model, text: str) -> str:
    single = [hop for hop in hops(model) if not hop.is_many]
    for_order = [
        sign + hop.prefix + column.name
        for hop, column, sign in (
            (hop, choice.of(columns(hop.model)), choice.of(["", "-"]))
            for hop in choice.some(single, 2)
        )
        if values.kind(column) != "json"
    ]
    return f"{text}.order_by({', '.join(map(repr, [*for_order, 'pk']))})"


def _cut(choice: Choice) -> str:
    return choice.of(["[:1]", "[:3]", "[1:3]", "[2:]"])


def _options(choice: Choice, model: Model, text: str) -> str:
    if choice.chance(12) and "nth(" not in text:
        # A key answers for whatever else the queryset asks; a key of its own is always right.
        text += f".cache(key={choice.of(['x', 'y'])!r} + {text!r})"
    elif choice.chance(12):
        other = choice.of([*{hop.model for hop in hops(model)}, model])
        text += f".cache(depends_on=[{values.row(choice, model)}, {other.__name__}])"
    return text


def _rows(choice: Choice, model: Model) -> str:
    text = queryset(choice, model)
    if choice.chance(4):
        text += ".distinct()"
    if choice.chance(4):
        # Of two rows alike but for the annotation a cut takes either.
        return f"bag({_options(choice, model, f'{text}.annotate(n={annotation(choice, model)})')})"
    text = _options(choice, model, text)
    if choice.chance(2):
        return f"listed({_ordered(choice, model, text)}{_cut(choice)})"
    return f"bag({text}.all())"


def _list(choice: Choice, model: Model) -> str:
    return f"bag({_options(choice, model, queryset(choice, model))}.all())"


def _part(choice: Choice, model: Model) -> str:
    """The rows of one value of a partition, by one more column: what is invalidated exactly."""
    schema = schema_or_none(model)
    table = schema.table if schema else None
    parts = [table.fields[each.position] for each in table.scheme.partitions] if table else []
    if table is None or not parts:
        return _list(choice, model)
    field, other = choice.of(parts), choice.of(list(table.fields))
    if choice.chance(2):
        named = values.met_condition(choice, "", model, field)
    elif field.remote_field is not None:
        named = f"{field.name}={values.row(choice, field.remote_field.model)}"
    else:
        named = f"{field.name}={values.literal(choice, field)}"
    text = f"{model.__name__}.objects.filter({named})"
    shape = choice.weighted(filter=2, values=2, all=1, count=1)
    if shape == "values":
        return f"bag({text}.order_by().values_list('pk', {other.name!r}))"
    if shape != "all":
        text += f".filter({_likely(choice, hops(model)[0], other)})"
    return f"{text}.count()" if shape == "count" else f"bag({text}.all())"


def _plain(choice: Choice, model: Model) -> str:
    """What is asked most: few conditions, on a row's own columns or over one relation, and of the
    rows a page, a count, a column. Such a result may outlive a write."""
    ways = hops(model, 1)
    single = [hop for hop in ways[1:] if not hop.is_many]
    text = f"{model.__name__}.objects"
    for _ in range(choice.of([1, 1, 0, 2])):
        near = choice.weighted(own=3, single=2, any=1)
        hop = (
            ways[0]
            if near == "own"
            else choice.of(single if near == "single" and single else ways)
        )
        text += f".filter({_likely(choice, hop, choice.of(columns(hop.model)))})"
    shape = choice.weighted(page=4, list=2, count=4, values=3, aggregate=2, first=1)
    if shape == "page":
        # Without a condition there is mostly something beyond the page.
        return _page(choice, model, f"{model.__name__}.objects" if choice.chance(2) else text)
    if shape == "first":
        return f"{_ordered(choice, model, text)}.first()"
    if shape == "count":
        return f"{text}.count()"
    name = choice.of(exact_columns(model) or [model._meta.pk]).name
    if shape == "values":
        return f"bag({text}.order_by().values_list('pk', {name!r}))"
    if shape == "aggregate":
        function = "Count" if model._meta.get_field(name).remote_field else "Max"
        return f"{text}.aggregate(n={function}({name!r}), c=Count('pk'))"
    return f"bag({text}.all())"


def _page(choice: Choice, model: Model, text: str) -> str:
    """A slice in the order of a column of the row's own."""
    names = [each.name for each in columns(model) if values.kind(each) != "json"]
    order = choice.of(["", "-"]) + choice.of(names)
    return f"listed({text}.order_by({order!r}, 'pk'){choice.of(['[:1]', '[:2]', _cut(choice)])})"


def _over(choice: Choice, model: Model) -> str:
    """A count or a column of the rows whose related row has some value."""
    keys = [each for each in columns(model) if each.remote_field is not None]
    if not keys:
        return _plain(choice, model)
    key = choice.of(keys)
    target = key.remote_field.model
    others = [each for each in columns(target) if not each.primary_key] or columns(target)
    named = values.met_condition(choice, f"{key.name}__", target, choice.of(others))
    text = f"{model.__name__}.objects.filter({named})"
    return choice.of([f"{text}.count()", f"bag({text}.order_by().values_list('pk'))"])


def _likely(choice: Choice, hop: Hop, column: Any) -> str:
    if choice.chance(2):
        return values.met_condition(choice, hop.prefix, hop.model, column)
    return values.condition(choice, hop.prefix, column)


def _partial(choice: Choice, model: Model) -> str:
    names = [each.name for each in columns(model)]
    verb = choice.of(["only", "defer"])
    chosen = choice.some(names, 3, 1)
    text = queryset(choice, model)
    if "nth(" in text.partition(".")[0]:
        # There Django loads the deferred key to hang the known object on; the cache need not.
        text = f"{model.__name__}.objects"
    return f"bag({text}.{verb}({', '.join(map(repr, chosen))}))"


def _related(choice: Choice, model: Model) -> str:
    single = [hop.prefix[:-2] for hop in hops(model) if hop.prefix and not hop.is_many]
    chosen = choice.some(single, 3, 1)
    text = f"{queryset(choice, model)}.select_related({', '.join(map(repr, chosen))})"
    return f"bag({text})"


def _fetched(choice: Choice, model: Model) -> str:
    ways = [hop for hop in hops(model) if hop.prefix and "__" not in hop.prefix[:-2]]
    if not ways:
        return _list(choice, model)
    relation = choice.of(relations(model))
    name = attribute(relation)
    if name.endswith("+"):
        return _list(choice, model)
    if choice.chance(2) and not relation.many_to_one and not relation.one_to_one:
        inner = queryset(choice, relation.related_model, most=2)
        if "nth(" not in inner:
            name_of = f"Prefetch({name!r}, {inner}.all())"
            return f"bag({queryset(choice, model)}.prefetch_related({name_of}))"
    return f"bag({queryset(choice, model)}.prefetch_related({name!r}))"


def _followed(choice: Choice, model: Model) -> str:
    """Relations followed from each row, one query each."""
    found = [each for each in relations(model) if not attribute(each).endswith("+")]
    if not found:
        return _list(choice, model)
    relation = choice.of(found)
    return f"follow({queryset(choice, model, most=2)}.all(), {attribute(relation)!r})"


def _get(choice: Choice, model: Model) -> str:
    if choice.chance(3):
        return f"{model.__name__}.objects.get({condition(choice, model)})"
    key = f"nth({model.__name__}, {choice.below(4)}).pk"
    return f"{model.__name__}.objects.get(pk={key})"


def _every_row(choice: Choice, model: Model) -> str:
    return f"[{model.__name__}.objects.get(pk=pk) for pk in keys({model.__name__})]"


def _in_bulk(choice: Choice, model: Model) -> str:
    return f"{model.__name__}.objects.in_bulk(keys({model.__name__})[:{choice.below(4) + 1}])"


def _one(choice: Choice, model: Model) -> str:
    text = _ordered(choice, model, queryset(choice, model))
    return f"{text}.{choice.of(['first', 'last'])}()"


def _count(choice: Choice, model: Model) -> str:
    text = queryset(choice, model)
    if choice.chance(4):
        text += ".distinct()"
    return f"{text}.{choice.of(['count', 'exists'])}()"


def _aggregate(choice: Choice, model: Model) -> str:
    hop = choice.of(hops(model))
    column = choice.of(exact_columns(hop.model) or columns(hop.model))
    name = hop.prefix + column.name
    function = choice.of(["Count", "Max", "Min"])
    if not values.is_exact(column) or column.remote_field is not None:
        function = "Count"
    inner = choice.of(["", f", filter={condition(choice, model, 0)}"])
    return f"{queryset(choice, model)}.aggregate(n={function}({name!r}{inner}), c=Count('pk'))"


def _values(choice: Choice, model: Model) -> str:
    text = queryset(choice, model)
    names = []
    for hop in choice.some(hops(model), 3, 1):
        names.append(hop.prefix + choice.of(columns(hop.model)).name)
    if choice.chance(3):
        text += f".annotate(n={annotation(choice, model)})"
        names.append("n")
    verb = choice.of(["values", "values_list"])
    return f"bag({text}.order_by().{verb}({', '.join(map(repr, names))}))"


def _flat(choice: Choice, model: Model) -> str:
    column = choice.of(exact_columns(model) or [model._meta.pk])
    text = f"{queryset(choice, model)}.order_by().values_list({column.name!r}, flat=True)"
    return f"bag({text}{choice.of(['', '.distinct()'])})"


def _group(choice: Choice, model: Model) -> str:
    if not exact_columns(model):
        return _values(choice, model)
    column = choice.of(exact_columns(model)).name
    text = f"{queryset(choice, model)}.order_by().values({column!r})"
    text += ".annotate(k=Count('pk'))"
    if choice.chance(2):
        text += ".filter(k__gt=1)"
    return f"bag({text})"


def _union(choice: Choice, model: Model) -> str:
    one, other = queryset(choice, model), queryset(choice, model)
    verb = choice.of(["union", "intersection", "difference"])
    # The rows are told apart by their keys: some columns cannot be compared.
    return f"bag({one}.order_by().values_list('pk').{verb}({other}.order_by().values_list('pk')))"


def _dates(choice: Choice, model: Model) -> str:
    found = [each for each in columns(model) if values.kind(each) == "date"]
    if not found:
        return _count(choice, model)
    column = choice.of(found)
    verb, unit = "dates", choice.of(["year", "month", "day"])
    if isinstance(column, models.DateTimeField):
        verb = "datetimes"
    return f"listed({queryset(choice, model)}.{verb}({column.name!r}, {unit!r}))"


def _having(choice: Choice, model: Model) -> str:
    text = f"{queryset(choice, model)}.annotate(n={annotation(choice, model)})"
    return f"bag({text}.filter(n__isnull={choice.of(['False', 'True'])}))"


_READS = {
    "list": _list,
    "part": _part,
    "plain": _plain,
    "rows": _rows,
    "every row": _every_row,
    "get": _get,
    "count": _count,
    "values": _values,
    "related": _related,
    "aggregate": _aggregate,
    "fetched": _fetched,
    "followed": _followed,
    "one": _one,
    "partial": _partial,
    "in bulk": _in_bulk,
    "flat": _flat,
    "group": _group,
    "union": _union,
    "dates": _dates,
    "having": _having,
}
