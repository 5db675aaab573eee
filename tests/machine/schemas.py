"""Random schemas, as the source of their models."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.machine.choice import Choice

# Name of the field, its class, its arguments, and how often it may be unique.
_FIELDS = [
    ("int", "IntegerField", "default=0", True),
    ("char", "CharField", "max_length=20, default=''", True),
    ("bool", "BooleanField", "default=False", False),
    ("dec", "DecimalField", "max_digits=8, decimal_places=2, default=0", False),
    ("date", "DateField", "default=date(2024, 2, 1)", False),
    ("stamp", "DateTimeField", "default=datetime(2025, 2, 1, 12, tzinfo=UTC)", False),
    ("uuid", "UUIDField", "default=UUID(int=1)", True),
    ("json", "JSONField", "default=dict", False),
    ("text", "TextField", "default=''", False),
    ("slug", "SlugField", "default='a'", True),
    ("big", "BigIntegerField", "default=0", True),
    ("pos", "PositiveIntegerField", "default=0", False),
    ("float", "FloatField", "default=0.5", False),
    ("time", "TimeField", "default=time(12, 30)", False),
    ("span", "DurationField", "default=timedelta(0)", False),
    ("bin", "BinaryField", "default=b''", False),
    ("ip", "GenericIPAddressField", "default='127.0.0.1'", False),
    ("given", "IntegerField", "db_default=3", False),
    ("gen", "GeneratedField", "", False),
]
_PARTITIONS = {"int", "char", "uuid", "text", "slug", "big", "pos", "fk", "one"}
_PREFIX: Any = re.compile("[a-z]+")
_ON_DELETE = ["CASCADE", "SET_NULL", "PROTECT", "RESTRICT", "SET_DEFAULT", "DO_NOTHING", "SET"]


@dataclass
class _Model:
    name: str
    is_cached: bool = True
    parent: _Model | None = None
    is_proxy: bool = False
    lines: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    meta: list[str] = field(default_factory=list)
    cache: list[str] = field(default_factory=list)
    key: str = "BigAutoField"

    def source(self) -> str:
        bases = self.parent.name if self.parent else None
        bases = bases or ("CachedModel" if self.is_cached else "models.Model")
        lines = [f"class {self.name}({bases}):", *(f"    {line}" for line in self.lines)]
        for name, options in (("Meta", self.meta), ("CacheMeta", self.cache)):
            if options:
                lines += ["", f"    class {name}:", *(f"        {option}" for option in options)]
        return "\n".join(lines if len(lines) > 1 else [*lines, "    pass"])


@dataclass(frozen=True)
class Schema:
    """``names`` are those of its models, parents and targets first."""

    number: int
    names: tuple[str, ...]
    source: str


def make(seed: int, number: int) -> Schema:
    """The schema of this number among those of ``seed``."""
    choice = Choice(Random(f"{seed} {number}").randrange)
    made: list[_Model] = []
    for letter in "ABCDE"[: 3 + choice.below(3)]:
        made.append(_model(choice, f"{letter}{number}", made))
    source = "\n\n\n".join(model.source() for model in made)
    return Schema(number, tuple(model.name for model in made), source + "\n")


def _model(choice: Choice, name: str, made: list[_Model]) -> _Model:
    model = _Model(name)
    if made:
        shape = choice.weighted(own=6, child=2, proxy=1, plain=2)
        model.is_cached = shape != "plain"
        cached = [each for each in made if each.is_cached and not each.is_proxy]
        if shape == "child":
            model.parent = choice.of(cached)
        elif shape == "proxy":
            model.parent, model.is_proxy = choice.of(cached), True
            model.meta.append("proxy = True")
            return model
    if model.parent is None:
        _primary_key(choice, model)
    for _ in range(choice.below(3) + (2 if model.parent is None else 1)):
        _field(choice, model)
    targets = [each for each in made if not each.is_proxy]
    for number in range(choice.below(3) if targets else 0):
        _relation(choice, model, choice.of(targets), number)
    if choice.chance(4):
        _relation(choice, model, model, 8)
    if targets and choice.chance(2):
        _many_to_many(choice, model, choice.of([*targets, model]), made)
    _options(choice, model)
    return model


def _primary_key(choice: Choice, model: _Model) -> None:
    shape = choice.weighted(auto=6, uuid=1, char=1, integer=1)
    if shape == "uuid":
        model.lines.append("id = models.UUIDField(primary_key=True, default=uuid4)")
        model.key = "UUIDField"
    elif shape == "char":
        model.lines.append("code = models.CharField(max_length=20, primary_key=True)")
        model.key = "CharField"
    elif shape == "integer":
        model.lines.append("number = models.IntegerField(primary_key=True)")
        model.key = "IntegerField"


def _field(choice: Choice, model: _Model) -> None:
    prefix, kind, arguments, may_be_unique = choice.of(_FIELDS)
    name = f"{prefix}{len(model.names)}_{model.name[0].lower()}"
    if kind == "GeneratedField":
        own = [each for each in model.names if each.startswith(("int", "big", "pos"))]
        if not own:
            return
        arguments = (
            f"expression=F({choice.of(own)!r}) + 1, output_field=models.BigIntegerField(), "
            "db_persist=True"
        )
    elif may_be_unique and choice.chance(3):
        arguments = arguments.partition("default=")[0] + "unique=True, null=True"
    elif choice.chance(3) and "db_default" not in arguments:
        arguments = f"{arguments}, null=True"
    if choice.chance(8):
        arguments = f"{arguments}, db_column='Col {name}'".removeprefix(", ")
    model.names.append(name)
    model.lines.append(f"{name} = models.{kind}({arguments})")


def _relation(choice: Choice, model: _Model, target: _Model, number: int) -> None:
    kind = "OneToOneField" if choice.chance(4) else "ForeignKey"
    name = f"{'one' if kind == 'OneToOneField' else 'fk'}{number}_{model.name[0].lower()}"
    on_delete = choice.of(_ON_DELETE)
    arguments = [f"{'self' if target is model else target.name!s}", f"models.{on_delete}"]
    if on_delete == "SET":
        arguments[1] = "models.SET(None)"
    arguments[0] = f'"{arguments[0]}"'
    if on_delete in ("SET_NULL", "SET_DEFAULT", "SET") or target is model or choice.chance(2):
        arguments.append("null=True")
    if on_delete == "SET_DEFAULT":
        arguments.append("default=None")
    if on_delete == "DO_NOTHING":
        arguments.append("db_constraint=False")
    uniques = [line.split(" = ")[0] for line in target.lines if "unique=True" in line]
    if uniques and kind == "ForeignKey" and choice.chance(3):
        arguments.append(f"to_field={choice.of(uniques)!r}")
    arguments.append(f'related_name="{model.name.lower()}_{name}"')
    model.names.append(name)
    model.lines.append(f"{name} = models.{kind}({', '.join(arguments)})")


def _many_to_many(choice: Choice, model: _Model, target: _Model, made: list[_Model]) -> None:
    name = f"many_{model.name[0].lower()}"
    arguments = [f'"{"self" if target is model else target.name}"']
    if target is model and choice.chance(2):
        arguments.append("symmetrical=False")
    arguments.append(f'related_name="{model.name.lower()}_{name}"')
    through = next((each for each in made if each.name.startswith("T")), None)
    if target is not model and through is None and choice.chance(3):
        through = _Model("T" + model.name, is_cached=not choice.chance(3))
        for number, end in enumerate((model, target)):
            through.names.append(f"fk{number}_t")
            through.lines.append(
                f'fk{number}_t = models.ForeignKey("{end.name}", models.CASCADE, '
                f'related_name="{through.name.lower()}_fk{number}")'
            )
        _field(choice, through)
        made.append(through)
        arguments.append(f'through="{through.name}"')
    model.lines.append(f"{name} = models.ManyToManyField({', '.join(arguments)})")


def _options(choice: Choice, model: _Model) -> None:
    plain = [each for each in model.names if not each.startswith(("fk", "one", "json"))]
    if plain and choice.chance(4):
        sign = choice.of(["", "-"])
        model.meta.append(f"ordering = [{sign + choice.of(plain)!r}]")
    if choice.chance(8):
        model.meta.append(f'db_table = "Machine {model.name}"')
    if not model.is_cached:
        return
    able = [each for each in model.names if _PREFIX.match(each)[0] in _PARTITIONS]
    if choice.chance(2):
        model.cache.append(f"partitions = {sorted(choice.some(able, 3))}")
    elif choice.chance(12):
        model.cache.append("lists = False")
    if choice.chance(6):
        model.cache.append(f'namespace = "space.{model.name}"')
