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
from django.db.models.sql.query import Query

from ormcache import backends
from ormcache.analysis.genuine import overridden
from ormcache.analysis.resolved import own_in_sql
from ormcache.conf import OUTBOX, URL_DOCS, Config, names_a_server, parse
from ormcache.enrolment import is_glob, matching, patterns, refusal
from ormcache.exceptions import ConfigError, Uncacheable
from ormcache.managers import CachedQuerySet
from ormcache.outage import table
from ormcache.schema.options import enrolment_of, misspelt, options_of, read_mapping, read_options
from ormcache.schema.partitions import partition_kind
from ormcache.schema.tables import is_cached, schema_of
from ormcache.store.connect import open_url

_DOCS = "See https://ormcache.readthedocs.io/en/stable/reference/checks.html#"


def register() -> None:
    checks.register(check_setting)
    checks.register(check_models, checks.Tags.models)
    checks.register(check_enrolment, checks.Tags.models)
    checks.register(check_relations, checks.Tags.models)
    checks.register(check_outbox, checks.Tags.database)


def check_setting(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """The ``ORMCACHE`` setting; touches no network."""
    setting = getattr(settings, "ORMCACHE", None)
    config, problems = parse(setting)
    found: list[checks.CheckMessage] = [
        checks.Error(problem.message, hint=f"{problem.hint} {_docs(problem.id)}", id=problem.id)
        for problem in problems
    ]
    found += _check_url(config) + _check_alias(config)
    # A server that is named wrong is an error already.
    if config.is_embedded and (config.url is not None or not names_a_server(setting)):
        found.append(
            checks.Warning(
                "ormcache uses the embedded store, which other processes do not see: with more "
                "than one process on the database, reads can be stale.",
                hint=f'Set ORMCACHE["URL"] to a Redis server. {_docs("ormcache.W001")}',
                id="ormcache.W001",
            )
        )
    return found


def _check_url(config: Config) -> list[checks.CheckMessage]:
    """What only whoever is about to connect finds out; no socket is opened."""
    try:
        if config.url is not None:
            open_url(config.url)
    except ConfigError as error:
        hint = f"See the forms of a URL: {URL_DOCS}"
        return [checks.Error(str(error), hint=hint, id="ormcache.E002")]
    return []


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
            if not table.missing_from(alias):
                continue
            text, hint = table.missing_text(alias), table.missing_hint(alias)
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
            elif "CacheMeta" in vars(model):
                found.append(_without_effect(model))
    return found


def _without_effect(model: type[models.Model]) -> checks.CheckMessage:
    label = model._meta.label
    return checks.Warning(
        f"{label}.CacheMeta has no effect: {label} is no CachedModel.",
        hint=f"Derive it from ormcache.models.CachedModel. {_docs('ormcache.W007')}",
        obj=model,
        id="ormcache.W007",
    )


def check_installed(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Whether the application is there, without whose receivers some writes would not be seen.

    Registered by ``ormcache.models``: who forgot the application has not forgotten these.
    """
    if apps.is_installed("ormcache"):
        return []
    return [
        checks.Error(
            "A CachedModel is used, but ormcache is not installed.",
            hint=f'Add "ormcache" to INSTALLED_APPS. {_docs("ormcache.E009")}',
            id="ormcache.E009",
        )
    ]


def _check_model(model: type[models.Model]) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = [
        checks.Error(str(error), hint=_docs("ormcache.E005"), obj=model, id="ormcache.E005")
        for error in (() if enrolment_of(model) else read_options(model)[1])
    ]
    wrong = misspelt(model)
    if wrong:
        found.append(
            checks.Error(
                f"{model._meta.label}.{wrong} has no effect. Did you mean CacheMeta?",
                hint=_docs("ormcache.E005"),
                obj=model,
                id="ormcache.E005",
            )
        )
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
    reason = _passed_by(model)
    if reason:
        found.append(
            checks.Warning(
                f"Lists read through the default manager of {model._meta.label} are not cached: "
                f"{reason}.",
                hint=_docs("ormcache.W003"),
                obj=model,
                id="ormcache.W003",
            )
        )
    return found


def _passed_by(model: type[models.Model]) -> str:
    """Why the querysets of a model's default manager pass the cache by; empty if they do not."""
    manager: Any = model._meta.default_manager
    try:
        queryset = manager.get_queryset()
    except Exception:
        # It needs what a check has not, such as the tenant of a request.
        return ""
    kind: Any = type(queryset)
    if not isinstance(queryset, CachedQuerySet):
        return f"its get_queryset() gives a plain {kind.__name__}"
    made: Any = type(queryset.query)
    return overridden(kind, "list") or ("" if made is Query else own_in_sql(made))


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


def check_enrolment(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """``ORMCACHE["MODELS"]``: whether every key finds a model, and every option is one."""
    found: list[checks.CheckMessage] = []
    for pattern, options in patterns().items():
        where = f'ORMCACHE["MODELS"]["{pattern}"]'
        problems = [_enrolment_problem(pattern)]
        for error in read_mapping(options or {}):
            name, _, text = error.partition(" ")
            problems.append((f'["{name}"] {text}', ""))
        found += [
            checks.Error(
                where + text, hint=f"{hint} {_docs('ormcache.E008')}".lstrip(), id="ormcache.E008"
            )
            for text, hint in problems
            if text
        ]
    return found


def _enrolment_problem(pattern: str) -> tuple[str, str]:
    """What is wrong with a key of ``MODELS`` and how to mend it; empty if nothing is."""
    models = apps.get_models(include_auto_created=True, include_swapped=True)
    found = list(matching(pattern, models))
    if found:
        reasons = [refusal(model, pattern) for model in found]
        if is_glob(pattern) or not reasons[0]:
            return "", ""
        return f" names a model that {reasons[0]}.", ""
    labels = {model._meta.label.lower(): model._meta.label for model in apps.get_models()}
    names = {config.label.lower(): f"{config.label}.*" for config in apps.get_app_configs()}
    if pattern.lower() in names:
        return " names no model.", f'Did you mean "{names[pattern.lower()]}"?'
    close = difflib.get_close_matches(pattern.lower(), labels | names, n=1)
    hint = f'Did you mean "{(labels | names)[close[0]]}"?' if close else ""
    return " names no model.", hint or 'Write an application and a model, as in "auth.User".'


def check_relations(
    app_configs: Iterable[Any] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Models that are not cached and that foreign keys of cached ones lead to."""
    configs = apps.get_app_configs() if app_configs is None else app_configs
    referrers: dict[type[models.Model], list[str]] = {}
    for config in configs:
        for model in config.get_models():
            if not is_cached(model) or model._meta.proxy:
                continue
            for field in model._meta.local_fields:
                target: Any = field.remote_field and field.remote_field.model
                if target and not isinstance(target, str) and not is_cached(target):
                    referrers.setdefault(target, []).append(f"{model._meta.label}.{field.name}")
    left_out = [pattern for pattern, options in patterns().items() if options is None]
    return [
        _uncached_target(target, names)
        for target, names in referrers.items()
        if not any(any(matching(pattern, [target])) for pattern in left_out)
    ]


def _uncached_target(target: type[models.Model], names: list[str]) -> checks.CheckMessage:
    label, count = target._meta.label, len(names)
    others = f" and {count - 1} more" if count > 1 else ""
    return checks.Info(
        f"{label} is not cached. Foreign keys lead to it ({names[0]}{others}): what they lead to "
        "is read from the database, and so are lists that follow them with select_related().",
        hint=f'Add "{label}": {{}} to ORMCACHE["MODELS"] or derive it from CachedModel; '
        f'"{label}": None leaves it so. '
        f"{_docs('ormcache.W005')}",
        obj=target,
        id="ormcache.W005",
    )


def _docs(check: str) -> str:
    return _DOCS + check.lower().replace(".", "-")
