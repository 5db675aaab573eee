"""``ORMCACHE["MODELS"]``: the cache for models one does not own, by label or glob.

Such a model keeps its class, its bases and its migrations. Its managers are made to cache when it
is prepared, so before anybody can ask it anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models

from ormcache.adoption import adopt, disown
from ormcache.conf import parse
from ormcache.modelset import changed
from ormcache.reads.bypass import bypass
from ormcache.schema.options import ENROLMENT, Enrolment, enrolment_of
from ormcache.schema.tables import forget_table

Model = type[models.Model]

_WILD = re.compile(r"[*?\[]")
_BROAD = frozenset({"sessions.session", "admin.logentry"})
"""Written with nearly every request: enrolled by the name of their application only."""
_REFRESH = "refresh_from_db"


def patterns() -> Mapping[str, Mapping[str, Any] | None]:
    """``ORMCACHE["MODELS"]``; empty if it cannot be used, which the system checks report."""
    return parse(getattr(settings, "ORMCACHE", None))[0].models


def consider(model: Model) -> None:
    """Enrol a model that has just been prepared, if the setting says so."""
    _apply(model, patterns())
    owner: Any = model._meta.auto_created or model
    if enrolment_of(owner) is not None:
        # A proxy, or what links the rows of an enrolled model.
        adopt(model)


def reconsider() -> None:
    """The setting changed: enrol the models that are in it, and let go of the others."""
    current = patterns()
    changes = [_apply(model, current) for model in _candidates()]
    if any(changes):
        _forget_related_managers()


def is_glob(pattern: str) -> bool:
    return _WILD.search(pattern) is not None


def matching(pattern: str, among: Iterable[Model]) -> Iterator[Model]:
    """The models whose label, in any case, is like the pattern."""
    for model in among:
        if fnmatchcase(model._meta.label_lower, pattern.lower()):
            yield model


def refusal(model: Model, pattern: str) -> str:
    """Why a model that is like a pattern is not enrolled by it; empty if it is."""
    meta = model._meta
    if getattr(model, "_ormcache_cached", False):
        return "is a CachedModel: its options stand in its CacheMeta"
    if meta.proxy:
        assert meta.concrete_model is not None
        return f"is a proxy: name {meta.concrete_model._meta.label}, whose rows it has"
    if meta.swapped:
        return f"has been swapped for {meta.swapped}: name that"
    if meta.auto_created:
        return "links two models by itself: it is cached with the one that declares the relation"
    if meta.app_label == "ormcache":
        return "is read past every cache"
    if is_glob(pattern.partition(".")[0]) and _is_broad(model):
        return "is written with nearly every request: name its application"
    return ""


def _apply(model: Model, among: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Make a model what the setting says; whether that is something else than it was."""
    found = _enrolment(model, among) if among else None
    if found == model.__dict__.get(ENROLMENT):
        return False
    _let_go(model)
    if found is not None:
        _enrol(model, found)
    forget_table(model)
    changed()
    return True


def _enrolment(model: Model, among: Mapping[str, Mapping[str, Any] | None]) -> Enrolment | None:
    best = max(
        (each for each in among if any(matching(each, [model])) and not refusal(model, each)),
        key=_precision,
        default=None,
    )
    options = None if best is None else among[best]
    return None if best is None or options is None else Enrolment(best, options)


def _precision(pattern: str) -> tuple[bool, int]:
    """A label before a glob; of globs that with more characters of its own."""
    return not is_glob(pattern), len(_WILD.sub("", pattern))


def _enrol(model: Model, enrolment: Enrolment) -> None:
    setattr(model, ENROLMENT, enrolment)
    refresh: Any = getattr(model, _REFRESH)

    @wraps(refresh)
    def refresh_from_db(self: Any, *args: Any, **kwargs: Any) -> Any:
        with bypass():
            return refresh(self, *args, **kwargs)

    refresh_from_db._ormcache_own = model.__dict__.get(_REFRESH)  # type: ignore[attr-defined]
    setattr(model, _REFRESH, refresh_from_db)
    for each in _with_links(model):
        adopt(each)


def _let_go(model: Model) -> None:
    if ENROLMENT not in model.__dict__:
        return
    delattr(model, ENROLMENT)
    own = model.__dict__[_REFRESH]._ormcache_own
    delattr(model, _REFRESH)
    if own is not None:
        setattr(model, _REFRESH, own)
    for each in _with_links(model):
        disown(each)


def _with_links(model: Model) -> Iterator[Model]:
    """The model, its proxies, and the models that link its rows by themselves."""
    yield model
    for other in _candidates(proxies=True):
        is_own = getattr(other, "_ormcache_cached", False)
        if other._meta.proxy and other._meta.concrete_model is model and not is_own:
            yield other
    for relation in model._meta.local_many_to_many:
        through: Any = relation.remote_field.through
        if not isinstance(through, str) and through._meta.auto_created:
            yield through


def _candidates(*, proxies: bool = False) -> list[Model]:
    registered = [model for config in apps.all_models.values() for model in config.values()]
    return [model for model in registered if proxies or not model._meta.proxy]


def _forget_related_managers() -> None:
    """Related managers are made of the manager that a model had when they were first used."""
    for model in _candidates(proxies=True):
        for attribute in vars(model).values():
            if not isinstance(attribute, type):
                getattr(attribute, "__dict__", {}).pop("related_manager_cls", None)


def _is_broad(model: Model) -> bool:
    from ormcache.schema.watched import is_session

    return model._meta.label_lower in _BROAD or is_session(model)
