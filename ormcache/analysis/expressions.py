"""Expressions whose SQL is a function of their arguments alone, by exact class."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Any

from django.db.models import Field
from django.db.models.expressions import Col, Combinable, Value

from ormcache.analysis.names import field_token, output_token
from ormcache.analysis.parameters import bind, zone
from ormcache.analysis.structure import HANDLERS, Handler, Token, is_genuine, makers, visit
from ormcache.exceptions import Uncacheable

# An expression is its class, these attributes, its source expressions and its output field.
ATTRIBUTES: dict[str, tuple[str, ...]] = {}


def _known(module: str, names: str, *attributes: str) -> None:
    for name in names.split():
        ATTRIBUTES[f"{module}.{name}"] = attributes


_EXPRESSIONS = "django.db.models.expressions"
_known(_EXPRESSIONS, "ExpressionWrapper JSONNull NegatedExpression Star When Window")
_known(_EXPRESSIONS, "CombinedExpression DurationExpression TemporalSubtraction", "connector")
_known(_EXPRESSIONS, "Case ExpressionList OrderByList Exists Subquery Func", "extra")
_known(_EXPRESSIONS, "OrderBy", "descending", "nulls_first", "nulls_last")
_known(_EXPRESSIONS, "Ref", "refs")
_known(_EXPRESSIONS, "RowRange ValueRange", "exclusion")
_known("django.db.models.fields.tuple_lookups", "Tuple", "extra")

_AGGREGATE = ("extra", "function", "distinct", "default")
_known(
    "django.db.models.aggregates",
    "AnyValue Avg BitAnd BitOr BitXor Count Max Min StdDev StringAgg Sum Variance",
    *_AGGREGATE,
)
_known("django.db.models.aggregates", "AggregateFilter AggregateOrderBy", "extra")
_known("django.db.models.aggregates", "StringAggDelimiter", "extra")

_FUNCTIONS = "django.db.models.functions"
_known(f"{_FUNCTIONS}.comparison", "Cast Coalesce Greatest Least NullIf", "extra")
_known(f"{_FUNCTIONS}.comparison", "Collate", "extra", "collation")
_known(
    f"{_FUNCTIONS}.datetime",
    "Extract ExtractDay ExtractHour ExtractIsoWeekDay ExtractIsoYear ExtractMinute ExtractMonth "
    "ExtractQuarter ExtractSecond ExtractWeek ExtractWeekDay ExtractYear",
    "extra",
    "lookup_name",
    "tzinfo",
)
_known(
    f"{_FUNCTIONS}.datetime",
    "Trunc TruncDate TruncDay TruncHour TruncMinute TruncMonth TruncQuarter TruncSecond "
    "TruncTime TruncWeek TruncYear",
    "extra",
    "kind",
    "tzinfo",
)
_known(f"{_FUNCTIONS}.json", "JSONArray JSONObject", "extra")
_known(
    f"{_FUNCTIONS}.math",
    "Abs ACos ASin ATan ATan2 Ceil Cos Cot Degrees Exp Floor Ln Log Mod Pi Power Radians Round "
    "Sign Sin Sqrt Tan",
    "extra",
)
_known(
    f"{_FUNCTIONS}.text",
    "Chr Concat ConcatPair Left Length Lower LPad LTrim MD5 Ord Repeat Replace Reverse Right RPad "
    "RTrim SHA1 SHA224 SHA256 SHA384 SHA512 StrIndex Substr Trim Upper",
    "extra",
)
_known(
    f"{_FUNCTIONS}.window",
    "CumeDist DenseRank FirstValue Lag LastValue Lead NthValue Ntile PercentRank Rank RowNumber",
    "extra",
)
_known("django.db.models.fields.json", "KeyTransform KeyTextTransform", "extra", "key_name")

_POSTGRES = "django.contrib.postgres"
_known(
    f"{_POSTGRES}.aggregates.general",
    "ArrayAgg BitAnd BitOr BitXor BoolAnd BoolOr JSONBAgg StringAgg",
    *_AGGREGATE,
)
_known(
    f"{_POSTGRES}.aggregates.statistics",
    "Corr CovarPop RegrAvgX RegrAvgY RegrCount RegrIntercept RegrR2 RegrSlope RegrSXX RegrSXY "
    "RegrSYY",
    *_AGGREGATE,
)
_known(f"{_POSTGRES}.expressions", "ArraySubquery", "extra")
_known(f"{_POSTGRES}.fields.array", "ArrayLenTransform", "extra")
_known(f"{_POSTGRES}.fields.array", "IndexTransform", "extra", "index", "base_field")
_known(f"{_POSTGRES}.fields.array", "SliceTransform", "extra", "start", "end")
_known(f"{_POSTGRES}.fields.hstore", "KeyTransform", "extra", "key_name")
_known(f"{_POSTGRES}.fields.hstore", "KeysTransform ValuesTransform", "extra")
_known(
    f"{_POSTGRES}.fields.ranges",
    "IsEmpty LowerInclusive LowerInfinite RangeEndsWith RangeStartsWith UpperInclusive "
    "UpperInfinite",
    "extra",
)

# Never stable, whatever is declared: the answer changes while no row does, or is not readable.
REFUSED = {
    f"{_EXPRESSIONS}.RawSQL": "RawSQL is a fragment nobody can analyse",
    f"{_FUNCTIONS}.datetime.Now": "Now() is volatile: it changes with time",
    f"{_FUNCTIONS}.math.Random": "Random() is volatile",
    f"{_FUNCTIONS}.uuid.UUID4": "UUID4() is volatile",
    f"{_FUNCTIONS}.uuid.UUID7": "UUID7() is volatile",
    f"{_POSTGRES}.functions.RandomUUID": "RandomUUID() is volatile",
    f"{_POSTGRES}.functions.TransactionNow": "TransactionNow() is volatile: it changes with time",
}

CONNECTORS = frozenset(
    value for name, value in vars(Combinable).items() if name.isupper() and type(value) is str
)

FUNC = f"{_EXPRESSIONS}.Func"
# What ArrayField's lookups wrap a list in.
ARRAY = {"function": "ARRAY", "template": "%(function)s[%(expressions)s]"}


def col(node: Any, out: list[Token], values: list[Any]) -> None:
    target = node.target
    output = node.output_field
    # A reference to a multi-valued outer column is grouped by differently.
    tag = "col*" if node.possibly_multivalued else "col"
    if output is target:
        out += (tag, node.alias, field_token(target), None)
    else:
        out += (tag, node.alias, field_token(target), field_token(output))


def col_pairs(node: Any, out: list[Token], values: list[Any]) -> None:
    out += ("cols", node.alias, len(node.targets))
    for target, source in zip(node.targets, node.sources, strict=True):
        out += (field_token(target), field_token(source))


def value(node: Value, out: list[Token], values: list[Any]) -> None:
    out.append("value")
    bind(node.value, out, values)
    out.append(output_token(node))


def expression(path: str, attributes: tuple[str, ...]) -> Handler:
    """The handler of an expression class that is told by ``attributes`` and its sources."""

    def emit(node: Any, out: list[Token], values: list[Any]) -> None:
        out.append(path)
        for name in attributes:
            if name == "tzinfo":
                values.append(zone(node.tzinfo))
            elif name == "extra":
                if getattr(node, "template", None) != getattr(type(node), "template", None):
                    # Subquery(template=…) of Django 6.1.
                    raise Uncacheable(f"{path} with a template of its own is raw SQL")
                extra(path, node.extra, out, values)
            elif name == "connector" and node.connector not in CONNECTORS:
                raise Uncacheable(f"the connector {node.connector!r} is raw SQL")
            else:
                attribute(getattr(node, name), out, values)
        sources(node, out, values)

    return emit


def sources(node: Any, out: list[Token], values: list[Any]) -> None:
    children = node.get_source_expressions()
    out.append(len(children))
    for child in children:
        if child is None:
            out.append(None)
        else:
            visit(child, out, values)
    out.append(output_token(node))


def attribute(item: Any, out: list[Token], values: list[Any]) -> None:
    if isinstance(item, Field):
        out.append(field_token(item))
    elif isinstance(item, Enum):
        out.append("=")
        values.append(item.name)
    elif isinstance(item, dt.tzinfo):
        out.append("zone")
        values.append(zone(item))
    else:
        bind(item, out, values)


def extra(path: str, options: dict[str, Any], out: list[Token], values: list[Any]) -> None:
    """The keyword arguments of a function, which go into its SQL template verbatim."""
    if path == FUNC:
        if options != ARRAY:
            name = options.get("function", "of no name")
            raise Uncacheable(
                f"the database function {name} is not known to be deterministic; make it a "
                "subclass of Func and declare that with ormcache.stable"
            )
    elif not options.keys().isdisjoint({"function", "template", "arg_joiner"}):
        raise Uncacheable(f"{path} with a template of its own is raw SQL")
    out.append(len(options))
    for name in options:
        out.append(name)
        bind(options[name], out, values)


def _outer(node: Any, out: list[Token], values: list[Any]) -> None:
    raise Uncacheable(f"{node.__class__.__name__}({node.name!r}) is bound to no outer query")


def _built_in(kind: type, path: str) -> Handler | None:
    if (reason := REFUSED.get(path)) is not None:
        raise Uncacheable(reason)
    attributes = ATTRIBUTES.get(path)
    if attributes is None or not is_genuine(kind):
        return None
    return expression(path, attributes)


def _special(kind: type, path: str) -> Handler | None:
    special = SPECIAL.get(path)
    return special if special is not None and is_genuine(kind) else None


SPECIAL: dict[str, Handler] = {
    f"{_EXPRESSIONS}.ColPairs": col_pairs,
    f"{_EXPRESSIONS}.OuterRef": _outer,
    f"{_EXPRESSIONS}.ResolvedOuterRef": _outer,
}
HANDLERS[Col] = col
HANDLERS[Value] = value
makers += [_special, _built_in]
