"""What tells deployments of a project's code apart, and what does not."""

from __future__ import annotations

import copy
import logging
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from django.db import models
from django.db.models import Value
from django.test.utils import isolate_apps
from django.utils.translation import gettext_lazy

from ormcache.analysis import stability
from ormcache.analysis.names import field_token
from ormcache.analysis.outputs import conversion
from ormcache.codec import fields as codec_fields
from ormcache.digest import code_digest, field_digest
from ormcache.models import CachedModel
from ormcache.schema.tables import table_of
from tests.hashseed import SEEDS, last_line

IMPORTS = """
import re, uuid, enum, types
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from pathlib import Path
from django.core.validators import RegexValidator
from django.db import models
"""
READER = """
class Loaded:
    def load(self, value):
        return value, HELD
"""


def deployed(source: str, name: str = "project") -> Any:
    """A module of a project, as one deployment has it."""
    module: Any = ModuleType(name)
    # A dataclass looks for its module.
    sys.modules[name] = module
    try:
        exec(compile(IMPORTS + source, name, "exec"), vars(module))
    finally:
        del sys.modules[name]
    return module


def version(source: str) -> str:
    """What tells apart the version of a class that reads what ``source`` calls HELD."""
    return code_digest(deployed(source + READER).Loaded)


CHANGES = {
    "number": ("HELD = 1", "HELD = 2"),
    "pattern": ("HELD = re.compile('a')", "HELD = re.compile('b')"),
    "flags": ("HELD = re.compile('a')", "HELD = re.compile('a', re.I)"),
    "decimal": ("HELD = Decimal('1.0')", "HELD = Decimal('1.00')"),
    "fraction": ("HELD = Fraction(1, 2)", "HELD = Fraction(1, 3)"),
    "date": ("HELD = date(2020, 1, 1)", "HELD = date(2020, 1, 2)"),
    "moment": ("HELD = datetime(2020, 1, 1)", "HELD = datetime(2020, 1, 1, tzinfo=timezone.utc)"),
    "time": ("HELD = time(1)", "HELD = time(2)"),
    "span": ("HELD = timedelta(1)", "HELD = timedelta(2)"),
    "uuid": ("HELD = uuid.UUID(int=1)", "HELD = uuid.UUID(int=2)"),
    "path": ("HELD = Path('/a')", "HELD = Path('/b')"),
    "range": ("HELD = range(1)", "HELD = range(2)"),
    "table": ("HELD = {'a': 'x'}", "HELD = {'a': 'y'}"),
    "order of a table": ("HELD = {'a': 1, 'b': 2}", "HELD = {'b': 2, 'a': 1}"),
    "proxy": (
        "HELD = types.MappingProxyType({'a': 1})",
        "HELD = types.MappingProxyType({'a': 2})",
    ),
    "list": ("HELD = ['a', ['b']]", "HELD = ['a', ['c']]"),
    "set": ("HELD = {'a'}", "HELD = {'b'}"),
    "tuple": ("HELD = (1, Decimal(1))", "HELD = (1, Decimal(2))"),
    "named tuple": (
        "P = namedtuple('P', 'a')\nHELD = P(1)",
        "P = namedtuple('P', 'a')\nHELD = P(2)",
    ),
    "member": (
        "class E(enum.Enum):\n    A = 1\n    B = 2\nHELD = E.A",
        "class E(enum.Enum):\n    A = 1\n    B = 2\nHELD = E.B",
    ),
    "number of one's own": (
        "class N(int):\n    pass\nHELD = N(1)",
        "class N(int):\n    pass\nHELD = N(2)",
    ),
    "arguments": ("HELD = RegexValidator('a')", "HELD = RegexValidator('b')"),
    "partial": ("HELD = partial(int, base=2)", "HELD = partial(int, base=8)"),
}
INSTANCES = {
    "attribute": "class C:\n    def __init__(self, x): self.x = x",
    "slot": "class C:\n    __slots__ = 'x'\n    def __init__(self, x): self.x = x",
    "dataclass": "@dataclass\nclass C:\n    x: object",
    "frozen": "@dataclass(frozen=True)\nclass C:\n    x: object",
    "table": "class C:\n    def __init__(self, x): self.x = {'a': [x]}",
    "pattern": "class C:\n    def __init__(self, x): self.x = re.compile(str(x))",
    "instance": (
        "class D:\n    def __init__(self, x): self.x = x\n"
        "class C:\n    def __init__(self, x): self.d = D(x)"
    ),
    "of Django's": (
        "class C(RegexValidator):\n    def __init__(self, x): super().__init__(); self.x = x"
    ),
    "cached property": (
        "class C:\n    def __init__(self, x): pass\n"
        "    @cached_property\n    def x(self): return X"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_at_module_level(name: str) -> None:
    before, after = CHANGES[name]
    assert version(before) == version(before) != version(after)


@pytest.mark.parametrize("name", INSTANCES)
def test_an_instance_at_module_level(name: str) -> None:
    def made(x: int) -> str:
        return version(f"X = {x}\n{INSTANCES[name]}\nHELD = C({x})")

    assert made(1) == made(1) != made(2)


RUNNING = {
    "a memo": ("HELD = {}\ndef f(x): HELD[x] = 1", "f('a')"),
    "a memo of a method": ("HELD = {}\nclass W:\n    def f(self, x): HELD[x] = 1", "W().f('a')"),
    "a registry": ("HELD = []\ndef f(x):\n    def g(): HELD.append(x)\n    g()", "f('a')"),
    "no constants": ("HELD = {}", "HELD['a'] = object()"),
    "a counter": (
        "class C:\n    def __init__(self): self.n = 0\n    def f(self): self.n += 1\nHELD = C()",
        "HELD.f()",
    ),
    "a memo of an instance": (
        "class C:\n    def __init__(self): self.m = {}\n    def f(self): self.m[1] = 2\n"
        "HELD = C()",
        "HELD.f()",
    ),
    "a cached property": (
        "class C:\n    @cached_property\n    def m(self): return 5\nHELD = C()",
        "HELD.m",
    ),
    "a cache": ("@lru_cache\ndef HELD(): return 5", "HELD()"),
    "the state of Django's": (
        "class C(models.Manager): pass\nHELD = C()",
        "HELD.creation_counter += 1",
    ),
}


@pytest.mark.parametrize("name", RUNNING)
def test_what_code_changes_while_it_runs(name: str) -> None:
    """A process that has done more than another must not lose what they share."""
    source, run = RUNNING[name]
    fresh, used = deployed(source + READER), deployed(source + READER)
    exec(run, vars(used))
    assert code_digest(fresh.Loaded) == code_digest(used.Loaded)


PROCESS = """
from tests.unit.test_digest import version
print(version("HELD = {'a', 'bc', 'd'}, frozenset({'x', 'y'})"), version("HELD = {'a', 'b'}"))
"""


def test_processes_agree() -> None:
    assert 1 == len({last_line(f"import django; django.setup(){PROCESS}", seed) for seed in SEEDS})


# What a field was made with


class Scaled(models.IntegerField):  # type: ignore[type-arg]
    def __init__(self, *args: Any, factor: Any = 1, **kwargs: Any) -> None:
        self.factor = factor
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return value * self.factor


class Described(models.CharField):  # type: ignore[type-arg]
    """Tells Django what it is made with, and keeps it elsewhere."""

    def __init__(self, *args: Any, marks: Any = (), **kwargs: Any) -> None:
        self.__dict__["kept"] = marks
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "marks": self.__dict__["kept"]}

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return self.__dict__["kept"]


def double(value: int) -> int:
    return value * 2


def triple(value: int) -> int:
    return value * 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Scaled(factor=10), Scaled(factor=100)),
        (Scaled(factor=double), Scaled(factor=triple)),
        (Described(marks=["a"]), Described(marks=["b"])),
        (Described(marks={"a": models.Q(a=1)}), Described(marks={"a": models.Q(a=2)})),
        (Described(choices=[("a", "b")]), Described(choices=[("a", "c")])),
    ],
)
def test_a_field_of_ones_own(one: Any, other: Any) -> None:
    assert field_digest(one) == field_digest(copy.copy(one)) != field_digest(other)


def test_words_for_people_tell_nothing() -> None:
    words = Scaled("one", help_text=gettext_lazy("Monday"))
    assert field_digest(Scaled("other")) == field_digest(words)
    assert "" == field_digest(models.IntegerField())


def doc(field: Any) -> Any:
    with isolate_apps("tests.testapp"):

        class Doc(CachedModel):
            held = field

            class Meta:
                app_label = "testapp"

    return Doc


def test_where_a_field_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the keys of queries with it or with what it converts by; in rows, where it is registered:
    of any other they hold what the driver gave."""
    for field in (Scaled(factor=10), Scaled(factor=100)):
        made = models.GeneratedField(expression=Value(1), output_field=field, db_persist=True)
        for each in (field, made):
            held = doc(each)._meta.get_field("held")
            assert field_digest(field) in field_token(held)

    def fingerprints() -> set[bytes]:
        return {table_of(doc(Scaled(factor=factor))).fingerprint for factor in (10, 100)}

    assert 1 == len(fingerprints())
    monkeypatch.setitem(codec_fields._registered, Scaled, codec_fields.RAW)
    assert 2 == len(fingerprints())


@pytest.mark.parametrize("factor", [threading.Lock(), [logging.getLogger()], {"a": iter(())}])
def test_an_argument_nobody_can_spell(factor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the field loads must not be served to a process that has another."""
    monkeypatch.setattr(stability, "_declared", {Scaled})
    assert not conversion(doc(Scaled(factor=3)).objects.values("held").query)
    assert "is made with" in conversion(doc(Scaled(factor=factor)).objects.values("held").query)
