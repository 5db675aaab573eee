"""Values and lookups for each type of field, as source. Few values, so that rows meet often."""

from __future__ import annotations

from typing import Any

from django.db import connection, models

from tests.machine.choice import Choice

_INTEGERS = ["0", "1", "2", "3", "7"]
_TEXTS = ["'a'", "'b'", "''", "'A'", "'a '", "'ä%_'"]
_TYPES: dict[str, tuple[list[str], str]] = {
    "AutoField": (["1", "2", "3", "40", "50"], "order"),
    "BigAutoField": (["1", "2", "3", "40", "50"], "order"),
    "IntegerField": ([*_INTEGERS, "-1"], "order"),
    "BigIntegerField": ([*_INTEGERS, "2**40"], "order"),
    "PositiveIntegerField": (_INTEGERS, "order"),
    "SmallIntegerField": (_INTEGERS, "order"),
    "CharField": (_TEXTS, "text"),
    "TextField": ([*_TEXTS, "'x' * 300"], "text"),
    "SlugField": (["'a'", "'b'", "'c'", "'A'", "'d'"], "text"),
    "DecimalField": (["D('0')", "D('1.5')", "D('2.00')", "D('-3.25')"], "order"),
    "FloatField": (["0.0", "0.5", "1.5", "-2.25"], "order"),
    "BooleanField": (["False", "True"], "flag"),
    "DateField": (["date(2024, 1, 31)", "date(2024, 2, 1)", "date(2025, 1, 31)"], "date"),
    "DateTimeField": (
        [
            "datetime(2024, 1, 31, tzinfo=UTC)",
            "datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)",
            "datetime(2025, 2, 1, 12, tzinfo=UTC)",
        ],
        "date",
    ),
    "TimeField": (["time(0, 0)", "time(12, 30, 1, 5)", "time(23, 59)"], "order"),
    "DurationField": (["timedelta(0)", "timedelta(hours=1)", "timedelta(-1, 5)"], "order"),
    "UUIDField": (["UUID(int=1)", "UUID(int=2)", "UUID(int=3)", "UUID(int=4)"], "flag"),
    "JSONField": (
        ["{}", "{'a': 1}", "{'a': True}", "[1]", "[True]", "'a'", "{'b': {'c': None}}"],
        "json",
    ),
    "BinaryField": (["b''", "b'a'", "bytes(5)"], "flag"),
    "GenericIPAddressField": (["'127.0.0.1'", "'::1'"], "flag"),
}

_LOOKUPS = {
    "flag": ["exact", "in", "isnull"],
    "order": ["exact", "in", "gt", "lte", "range", "isnull", "lt", "gte"],
    "text": ["exact", "in", "isnull", "contains", "startswith", "icontains", "iexact", "gt"],
    "date": ["exact", "year", "gt", "in", "month__gte", "isnull", "range"],
    "json": ["a", "isnull", "exact", "has_key", "a__in", "b__c__isnull"],
}


def base(field: Any) -> Any:
    """The field whose values a relation or a generated column holds."""
    while True:
        if field.generated:
            field = field.output_field
        elif field.remote_field is not None:
            field = field.target_field
        else:
            return field


def kind(field: Any) -> str:
    return _TYPES[base(field).get_internal_type()][1]


def is_exact(field: Any) -> bool:
    """Whether equal values of a column are the same value: text may be compared loosely, and
    floats add up in any order."""
    return kind(field) in ("order", "date") and not isinstance(base(field), models.FloatField)


def literal(choice: Choice, field: Any) -> str:
    """A value that is not NULL."""
    found = _TYPES[base(field).get_internal_type()][0]
    return choice.of(found)


def value(choice: Choice, field: Any) -> str:
    """A value to store."""
    if field.null and choice.chance(4):
        return "None"
    if field.remote_field is not None:
        return row(choice, field.remote_field.model)
    return literal(choice, field)


def row(choice: Choice, model: type[models.Model]) -> str:
    """One of the rows there are; ``None`` where there is none."""
    return f"nth({model.__name__}, {choice.below(4)})"


def condition(choice: Choice, prefix: str, field: Any) -> str:
    """A condition on a column, as the keyword arguments of ``filter()``."""
    if field.remote_field is not None and choice.chance(2):
        target = field.remote_field.model
        shape = choice.weighted(exact=3, of=1, isnull=1)
        if shape == "isnull":
            return f"{prefix}{field.name}__isnull={choice.of(['True', 'False'])}"
        if shape == "of":
            return f"{prefix}{field.name}__in=[{row(choice, target)}, {row(choice, target)}]"
        return f"{prefix}{field.name}={row(choice, target)}"
    name = prefix + (field.attname if not prefix else field.name)
    lookups = _LOOKUPS[kind(field)]
    if isinstance(base(field), models.BinaryField):
        lookups = ["isnull"]
    lookup = choice.of(lookups)
    if lookup.endswith("isnull"):
        return f"{name}__{lookup}={choice.of(['True', 'False'])}"
    if lookup == "has_key":
        return f"{name}__has_key='a'"
    if lookup == "a":
        return f"{name}__a={choice.of(['1', 'True', 'None'])}"
    if lookup == "a__in":
        return f"{name}__a__in=[1, 2]"
    if lookup == "year":
        return f"{name}__year={choice.of(['2024', '2025'])}"
    if lookup == "month__gte":
        return f"{name}__month__gte=2"
    if lookup in ("in", "range"):
        one, other = literal(choice, field), literal(choice, field)
        return f"{name}__{lookup}=({one}, {other})"
    suffix = "" if lookup == "exact" else f"__{lookup}"
    return f"{name}{suffix}={literal(choice, field)}"


def met_condition(choice: Choice, prefix: str, model: type[models.Model], field: Any) -> str:
    """A condition on a column that some row meets, in the end; for some types any condition."""
    if kind(field) == "json" or isinstance(base(field), models.BinaryField):
        return condition(choice, prefix, field)
    name = prefix + (field.attname if not prefix else field.name)
    return f"{name}={row(choice, model)}.{field.attname}"


def is_mysql() -> bool:
    return connection.vendor == "mysql"
