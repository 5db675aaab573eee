"""System checks. Ids are never reused; each is explained in the reference."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import models

from ormcache import backends
from ormcache.conf import OUTBOX, Config, parse
from ormcache.exceptions import Uncacheable
from ormcache.managers import CacheManager
from ormcache.options import options_of, read_options
from ormcache.partitions import partition_kind
from ormcache.schema import is_cached, schema_of
from ormcache.writes import outboxtable

_DOCS = "See docs/reference/checks.rst#"


def register() -> None:
    checks.register(check_setting)
    checks.register(check_models, checks.Tags.models)
    checks.register(check_outbox, checks.Tags.database)


def check_setting(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """The ``ORMCACHE`` setting; touches no network."""
    setting = getattr(settings, "ORMCACHE", None)
    config, problems = parse(setting)
    found: list[checks.CheckMessage] = [
        checks.Error(problem.message, hint=f"{problem.hint} {_docs(problem.id)}", id=problem.id)
        for problem in problems
    ]
    found += _check_alias(config)
    if config.is_embedded:
        found.append(
            checks.Warning(
                "ormcache uses the embedded store, which other processes do not see: with more "
                "than one process on the database, reads can be stale.",
                hint=f'Set ORMCACHE["URL"] to a Redis server. {_docs("ormcache.W001")}',
                id="ormcache.W001",
            )
        )
    return found


def _check_alias(config: Config) -> list[checks.CheckMessage]:
    found = None if config.cache is None else backends.problem(config.cache)
    if found is None:
        return []
    text, hint = found
    return [checks.Error(text, hint=f"{hint} {_docs('ormcache.E004')}", id="ormcache.E004")]


def check_outbox(
    app_configs: Any = None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """The table of the outbox, in the databases of ``check --database``."""
    config = parse(getattr(settings, "ORMCACHE", None))[0]
    # Before a migrate from the command line Django checks, too: that one makes the table.
    if config.is_embedded or config.on_outage != OUTBOX or sys.argv[1:2] == ["migrate"]:
        return []
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        try:
            if not outboxtable.missing_from(alias):
                continue
            text, hint = outboxtable.missing_text(alias), outboxtable.missing_hint(alias)
        except Exception as error:  # Every driver has errors of its own.
            text = f"The database {alias!r} does not say whether it has an outbox: {error}"
            hint = "Ask again when it answers."
        hint = f"{hint} {_docs('ormcache.W006')}"
        found.append(checks.Warning(text, hint=hint, id="ormcache.W006"))
    return found


def check_models(
    app_configs: Iterable[Any] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Every installed CachedModel."""
    configs = apps.get_app_configs() if app_configs is None else app_configs
    found: list[checks.CheckMessage] = []
    for config in configs:
        for model in config.get_models():
            if is_cached(model):
                found += _check_model(model)
    return found


def _check_model(model: type[models.Model]) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = [
        checks.Error(str(error), hint=_docs("ormcache.E005"), obj=model, id="ormcache.E005")
        for error in read_options(model)[1]
    ]
    found += _check_partitions(model)
    try:
        schema_of(model)
    except Uncacheable as error:
        found.append(
            checks.Warning(
                f"Rows of {model._meta.label} are not cached: {error.reason}.",
                hint=_docs("ormcache.W002"),
                obj=model,
                id="ormcache.W002",
            )
        )
    manager = model._meta.default_manager
    if not isinstance(manager, CacheManager):
        found.append(
            checks.Warning(
                f"The default manager of {model._meta.label} is no CacheManager: what is read "
                "through it is not cached.",
                hint=f"Derive it from ormcache.managers.CacheManager. {_docs('ormcache.W003')}",
                obj=model,
                id="ormcache.W003",
            )
        )
    return found


def _check_partitions(model: type[models.Model]) -> list[checks.CheckMessage]:
    names = options_of(model).partitions or ()
    found: list[checks.CheckMessage] = []
    for position, name in enumerate(names):
        problem, hint = _partition_problem(model, name)
        if name in names[:position]:
            problem, hint = " twice", "Name each field once."
        if not problem:
            continue
        found.append(
            checks.Error(
                f"{model._meta.label}.CacheMeta.partitions names {name!r}{problem}.",
                hint=f"{hint} {_docs('ormcache.E006')}",
                obj=model,
                id="ormcache.E006",
            )
        )
    return found


def _partition_problem(model: type[models.Model], name: str) -> tuple[str, str]:
    """What is wrong with a name in ``partitions`` and how to mend it; empty if nothing is."""
    known = {field.name: field for field in model._meta.concrete_fields}
    field = known.get(name)
    if field is not None and field.primary_key:
        return (
            ", which is the primary key",
            "Leave it out: what is asked by primary key needs no list.",
        )
    if field is not None and field.generated:
        return ", which the database computes", "Name the fields it is computed from."
    if field is not None:
        if partition_kind(field) is not None:
            return "", ""
        return (
            ", whose equality in the database is not surely that of Python",
            "Name foreign keys, integers, UUIDs or text without a collation of its own.",
        )
    if name in {each.name for each in model._meta.many_to_many}:
        return (
            ", which is a many-to-many field",
            "Leave it out: its through table is partitioned by itself.",
        )
    by_attname = {each.attname: each.name for each in known.values()}
    close = difflib.get_close_matches(name, known, n=1)
    meant = by_attname.get(name) or (close[0] if close else "")
    hint = f'Did you mean "{meant}"?' if meant else f"Fields are {', '.join(sorted(known))}."
    return ", which is no field", hint


def _docs(check: str) -> str:
    return _DOCS + check.lower().replace(".", "-")
