"""Fields a project might write, each loading its values in another way."""

from __future__ import annotations

import enum
import json
from typing import Any, NamedTuple

from django.db import models


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: int


class UpperCharField(models.CharField):  # type: ignore[type-arg]
    """Inherits its loading unchanged."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else str(value).upper()


class ColourField(models.CharField):  # type: ignore[type-arg]
    """Loads enum members, which go through text and back."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Colour) else Colour(value)

    def get_prep_value(self, value: Any) -> Any:
        return value.value if isinstance(value, Colour) else value

    def value_to_string(self, obj: Any) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))


class PointField(models.Field):  # type: ignore[type-arg]
    """Loads a tuple subclass its text cannot give back: no exact encoding by itself."""

    def db_type(self, connection: Any) -> str:
        return "varchar(50)"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Point(*map(int, value.split(",")))

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else f"{value.x},{value.y}"


class TagsField(models.TextField):  # type: ignore[type-arg]
    """Loads tuples, which are exact by themselves."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else ",".join(value)


class ColourEncoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return {"colour": o.value} if isinstance(o, Colour) else super().default(o)


class ColourDecoder(json.JSONDecoder):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(object_hook=_with_colour, **kwargs)


def _with_colour(found: dict[str, Any]) -> Any:
    return Colour(found["colour"]) if found.keys() == {"colour"} else found
