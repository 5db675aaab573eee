"""The ``ORMCACHE`` setting: what it may hold, and what is wrong with it.

Knows no Django settings object: ``parse`` is given the dictionary.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from inspect import signature
from typing import Any

OUTBOX, RAISE = "outbox", "raise"
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "memory")
LONGEST_TIMEOUT = 10 * 365 * 24 * 3600
"""Seconds; what is longer is a mistake (milliseconds, or meant as ``None``)."""
_LONGEST_SHOWN = 30

URL_DOCS = "https://ormcache.readthedocs.io/en/stable/reference/settings.html#setting-url"

_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Config:
    """The setting, read. ``timeout`` in seconds, ``None`` for no expiry."""

    url: str | None = None
    cache: str | None = None
    namespace: str = "ormcache"
    timeout: float | None = 3600.0
    on_outage: str = OUTBOX
    enabled: bool = True
    models: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    view: Callable[[Any], Any] | None = None
    """Given a connection, names what it may see."""

    @property
    def is_embedded(self) -> bool:
        """Whether the store is inside the process."""
        if self.url is None:
            return self.cache is None
        return self.url.startswith("memory:")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the setting, as a system check reports it."""

    id: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


def parse(setting: object) -> tuple[Config, list[Problem]]:
    """Read the setting. What is wrong is listed and replaced by its default."""
    if setting is None:
        return Config(), []
    if not isinstance(setting, Mapping):
        return Config(), [
            Problem(
                "ormcache.E002",
                f"ORMCACHE must be a dictionary, not {type(setting).__name__}.",
                'Write ORMCACHE = {"URL": "redis://127.0.0.1:6379/0"}.',
            )
        ]
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for key, value in setting.items():
        reader = _READERS.get(key)
        if reader is None:
            problems.append(_unknown(key))
            continue
        try:
            values[key.lower()] = reader(value)
        except ValueError as error:
            number = _IDS.get(key, "ormcache.E002")
            problems.append(Problem(number, f'ORMCACHE["{key}"] {error}', _HINTS[key]))
    if values.get("url") is not None and values.get("cache") is not None:
        problems.append(
            Problem(
                "ormcache.E003",
                'ORMCACHE has both "URL" and "CACHE".',
                'Keep "URL" for a server of its own, or "CACHE" to share that of a CACHES alias.',
            )
        )
    return Config(**values), problems


def names_a_server(setting: object) -> bool:
    """Whether the setting was meant to say where the server is, rightly or not."""
    if not isinstance(setting, Mapping):
        return setting is not None
    meant = (_meant(key) for key, value in setting.items() if value is not None)
    return not {"URL", "CACHE"}.isdisjoint(meant)


def timeout_seconds(value: object) -> float | None:
    """A timeout as users write it: seconds, a timedelta, or ``None`` for no expiry.

    Raises ``ValueError`` with the end of a sentence that begins with the option's name.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be seconds, a timedelta or None, not {type(value).__name__}.")
    if not 0 < value <= LONGEST_TIMEOUT:
        shown = str(value)
        shown = shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"
        raise ValueError(
            f"must be above 0 and at most {LONGEST_TIMEOUT} seconds (ten years), not {shown}. "
            "None is no expiry."
        )
    return float(value)


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {type(value).__name__}.")
    scheme = value.partition(":")[0]
    if scheme not in SCHEMES:
        # The URL itself may hold a password: only its scheme is shown.
        raise ValueError(f"has the scheme {scheme[:20]!r}; known are {', '.join(SCHEMES)}.")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a non-empty string, not {type(value).__name__}.")
    return value


def _namespace(value: object) -> str:
    text = _text(value)
    if not _NAMESPACE.match(text):
        raise ValueError("may hold up to 64 letters, digits, dots, dashes and underscores.")
    return text


def _enabled(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {value!r}.")
    return value


def _on_outage(value: object) -> str:
    if value not in (OUTBOX, RAISE):
        raise ValueError(f'must be "{OUTBOX}" or "{RAISE}", not {value!r}.')
    return str(value)


def _models(value: object) -> Mapping[str, Mapping[str, Any] | None]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dictionary, not {type(value).__name__}.")
    for name, options in value.items():
        if not isinstance(name, str):
            raise ValueError(f"has the key {name!r}, which is not a string.")
        if options is None:
            continue
        if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
            raise ValueError(f"must have a dictionary of options, or None, for {name!r}.")
    return value


def _view(value: object) -> Callable[[Any], Any] | None:
    """A callable, or the dotted path of one. It may do without the connection."""
    found = _imported(value) if isinstance(value, str) else value
    if found is None:
        return None
    if not callable(found):
        raise ValueError(f"must be a callable or the path of one, not {type(found).__name__}.")
    try:
        takes = signature(found)
    except ValueError:  # Some built-in ones have none.
        return found
    for arguments in ((None,), ()):
        try:
            takes.bind(*arguments)
        except TypeError:
            continue
        return found if arguments else lambda _: found()
    raise ValueError("must be callable with a connection, or without arguments.")


def _imported(path: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"does not import: {error}.") from None


_IDS = {"VIEW": "ormcache.E007"}
_READERS = {
    "URL": _url,
    "CACHE": _text,
    "NAMESPACE": _namespace,
    "TIMEOUT": timeout_seconds,
    "ON_OUTAGE": _on_outage,
    "ENABLED": _enabled,
    "MODELS": _models,
    "VIEW": _view,
}
_HINTS = {
    "URL": f'For example "redis://127.0.0.1:6379/0". The forms of a URL: {URL_DOCS}',
    "CACHE": "Name an alias of CACHES that uses Redis.",
    "NAMESPACE": "Name the site; every site on one Redis needs its own.",
    "TIMEOUT": "For example 3600 for an hour.",
    "ON_OUTAGE": '"outbox" commits and invalidates later, "raise" refuses the write.',
    "ENABLED": "False reads and fills nothing; writes still invalidate.",
    "MODELS": 'For example {"auth.*": {"timeout": 600}, "auth.Permission": None}.',
    "VIEW": 'For example "mysite.tenants.view", a function that names the tenant of a connection.',
}


def _unknown(key: object) -> Problem:
    meant = _meant(key)
    hint = f'Did you mean "{meant}"?' if meant else f"Known are {', '.join(_READERS)}."
    return Problem("ormcache.E001", f'ORMCACHE["{key}"] is not a known option.', hint)


def _meant(key: object) -> str:
    """The option that a key is, or is closest to; empty if to none."""
    close = difflib.get_close_matches(str(key).upper(), _READERS, n=1)
    return close[0] if close else ""
