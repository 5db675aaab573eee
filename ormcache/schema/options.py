"""``CacheMeta``: the options of a model."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import models

from ormcache.conf import timeout_seconds
from ormcache.exceptions import ConfigError
from ormcache.modelset import ModelMemo


class Default(enum.Enum):
    """Stands for "as the site's setting says"; stays itself when copied or pickled."""

    DEFAULT = enum.auto()


DEFAULT = Default.DEFAULT


@dataclass(frozen=True, slots=True)
class Options:
    """``CacheMeta``, read. ``timeout`` in seconds, ``None`` for no expiry."""

    timeout: Any = DEFAULT
    lists: bool = True
    namespace: str = ""
    partitions: Sequence[str] | None = None
    identity_map: str | None = "weak"
    multi_db: bool = False


class Enrolment(NamedTuple):
    """What ``ORMCACHE["MODELS"]`` says of a model that is no ``CachedModel``."""

    pattern: str
    """The key under which it says so."""
    options: Mapping[str, Any]


ENROLMENT = "_ormcache_enrolment"
"""Where an enrolled model has it; in itself, as its subclasses are not enrolled by that."""


def enrolment_of(model: type[models.Model]) -> Enrolment | None:
    """How a model, or that whose rows a proxy has, was enrolled; ``None`` if it was not."""
    concrete = model._meta.concrete_model
    return None if concrete is None else concrete.__dict__.get(ENROLMENT)


def options_of(model: type[models.Model]) -> Options:
    """The options of a model. Wrong ones count as not given; the system checks report them."""
    return _known[model]


def read_options(model: type[models.Model]) -> tuple[Options, list[ConfigError]]:
    """The options of a model and what is wrong with them."""
    enrolment = enrolment_of(model)
    if enrolment is None:
        given, where = getattr(model, "CacheMeta", None), f"{model._meta.label}.CacheMeta"
    else:
        given = type("CacheMeta", (), dict(enrolment.options))
        where = f'ORMCACHE["MODELS"]["{enrolment.pattern}"]'
    return _read(given, where, model._meta.label)


def read_mapping(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that are given in the settings; each begins with their name."""
    errors = _read(type("CacheMeta", (), dict(options)), "", "")[1]
    return [str(error).removeprefix(".") for error in errors]


def misspelt(model: type[models.Model]) -> str:
    """The name of an inner class that was surely meant to be ``CacheMeta``; empty if none is."""
    for each in model.__mro__:
        if each.__module__.startswith(("django.", "ormcache.")):
            continue
        for name, value in vars(each).items():
            is_options = isinstance(value, type | dict) and not isinstance(value, enum.EnumType)
            if is_options and name != "CacheMeta" and _looks_like_it(name):
                return name
    return ""


def _looks_like_it(name: str) -> bool:
    plain = name.replace("_", "").lower()
    return difflib.SequenceMatcher(None, plain, "cachemeta").ratio() > _ALIKE


_ALIKE = 0.85


def _read(given: Any, where: str, namespace: str) -> tuple[Options, list[ConfigError]]:
    values: dict[str, Any] = {"namespace": namespace}
    errors: list[ConfigError] = []
    if given is not None and not isinstance(given, type):
        kind = type(given).__name__
        errors.append(
            ConfigError(f"{where} is a {kind}. Make it an inner class, as Meta is: {_EXAMPLE}")
        )
        given = None
    names = [name for name in dir(given) if not name.startswith("_")] if given else []
    for name in names:
        reader = _OPTIONS.get(name)
        if reader is None:
            meant = _meant(name)
            hint = f'Did you mean "{meant}"?' if meant else f"Known are {', '.join(_OPTIONS)}."
            errors.append(ConfigError(f"{where}.{name} is not a known option. {hint}"))
            continue
        try:
            values[name] = reader(getattr(given, name))
        except ValueError as error:
            errors.append(ConfigError(f"{where}.{name} {error}"))
    return Options(**values), errors


def _meant(name: str) -> str:
    """The option that a wrong name stands for; empty if for none."""
    word = name.lower()
    if word in TIMEOUT_WORDS:
        return "timeout"
    close = difflib.get_close_matches(word, _OPTIONS, n=1)
    return close[0] if close else ""


TIMEOUT_WORDS = frozenset(
    "ttl expire expires expiry expiration expire_after max_age age seconds duration px".split()
)
"""What other libraries call a timeout."""
_EXAMPLE = "class CacheMeta: timeout = 600"


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {value!r}.")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a non-empty string, not {value!r}.")
    return value


def _names(value: object) -> Sequence[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"must be a list of field names, not {value!r}.")
    return tuple(value)


def _map_kind(value: object) -> str | None:
    if value is None or value == "weak" or value == "strong":
        return value
    raise ValueError(f'must be "weak", "strong" or None, not {value!r}.')


_OPTIONS = {
    "timeout": timeout_seconds,
    "lists": _flag,
    "namespace": _name,
    "partitions": _names,
    "identity_map": _map_kind,
    "multi_db": _flag,
}
_known: ModelMemo[type[models.Model], Options] = ModelMemo(lambda model: read_options(model)[0])


def timeout_of(
    model: type[models.Model], site: float | None, given: Any = DEFAULT
) -> float | None:
    """How long what is cached of a model lives, in seconds, ``None`` for no expiry: as ``given``
    by a queryset, else by ``CacheMeta``, else by the ``site``."""
    timeout = options_of(model).timeout if given is DEFAULT else given
    return site if timeout is DEFAULT else timeout
