"""``ORMCACHE["MODELS"]``: which models it means, and what is said of what is wrong in it."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test import override_settings

from ormcache.checks import check_enrolment, check_relations, check_setting
from ormcache.conf import parse
from ormcache.managers import CachedQuerySet
from ormcache.models import OutboxEntry
from ormcache.schema.options import options_of
from ormcache.schema.tables import is_cached
from ormcache.schema.watched import watched_tables
from tests.settings import ORMCACHE
from tests.testapp.models import Article


def chosen(models: Any) -> Any:
    return override_settings(ORMCACHE={**ORMCACHE, "MODELS": models})


def found_by(check: Any) -> list[str]:
    return [f"{each.id.removeprefix('ormcache.')} {each.msg} {each.hint}" for each in check()]


def timeouts() -> list[Any]:
    """Of users, groups, permissions and content types; ``False`` where they are not cached."""
    kinds = (User, Group, Permission, ContentType)
    return [is_cached(each) and options_of(each).timeout for each in kinds]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, [False] * 4),
        ({"auth.User": {"timeout": 1}}, [1, False, False, False]),
        ({"AUTH.user": {"timeout": 1}}, [1, False, False, False]),
        ({"auth.*": {"timeout": 1}}, [1, 1, 1, False]),
        ({"*.*": {"timeout": 1}}, [1, 1, 1, 1]),
        ({"*.group": {"timeout": 1}}, [False, 1, False, False]),
        (
            {"auth.user": {"timeout": 1}, "*.*": {"timeout": 2}, "auth.*": {"timeout": 3}},
            [1, 3, 3, 2],
        ),
        ({"auth.*": {"timeout": 1}, "auth.group": None}, [1, False, 1, False]),
        ({"auth.*": None, "auth.p*": {"timeout": 1}}, [False, False, 1, False]),
        ({"authx.*": {"timeout": 1}}, [False] * 4),
    ],
)
def test_the_most_precise_key_counts(setting: Any, expected: list[Any]) -> None:
    with chosen(setting):
        assert expected == timeouts()
    assert [False] * 4 == timeouts()


def test_what_a_glob_leaves_alone() -> None:
    with chosen({"*.*": {"timeout": 1}}):
        assert not is_cached(OutboxEntry)
        assert options_of(Article).timeout != 1
        assert isinstance(User.groups.through._base_manager.all(), CachedQuerySet)


def test_enrolled_models_are_let_go_again() -> None:
    before = (type(User._meta), type(User.objects), User.__dict__.get("refresh_from_db"))
    user = User(pk=1)
    assert not isinstance(user.groups.all(), CachedQuerySet)
    with chosen({"auth.*": {}}):
        assert isinstance(User.objects.all(), CachedQuerySet)
        assert isinstance(User._base_manager.all(), CachedQuerySet)
        assert isinstance(user.groups.all(), CachedQuerySet)
        assert isinstance(Group(pk=1).user_set.all(), CachedQuerySet)
        assert watched_tables()["auth_user"].table is not None
        assert watched_tables()["auth_user_groups"].table is not None
    assert before == (type(User._meta), type(User.objects), User.__dict__.get("refresh_from_db"))
    assert type(User.objects.all()) is models.QuerySet
    assert not isinstance(user.groups.all(), CachedQuerySet)
    assert not isinstance(Group(pk=1).user_set.all(), CachedQuerySet)
    assert watched_tables()["auth_user"].table is None
    assert watched_tables()["auth_user_groups"].table is None


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"auth.User": {}, "auth.*": {"timeout": 5}}, []),
        ({"auth.Usr": {}}, ['["auth.Usr"] names no model. Did you mean "auth.User"?']),
        ({"auth": {}}, ['["auth"] names no model. Did you mean "auth.*"?']),
        ({"*": {}}, []),
        ({"zzz.*": {}}, ['["zzz.*"] names no model. Write an application and a model']),
        ({"testapp.Article": {}}, ["is a CachedModel: its options stand in its CacheMeta."]),
        ({"ormcache.OutboxEntry": {}}, ["is read past every cache."]),
        ({"auth.User_groups": {}}, ["links two models by itself"]),
        (
            {"auth.*": {"list": True, "timeout": "5"}},
            [
                '["auth.*"]["list"] is not a known option. Did you mean "lists"?',
                '["auth.*"]["timeout"] must be seconds, a timedelta or None, not str.',
            ],
        ),
    ],
)
def test_what_the_check_says(setting: Any, expected: list[str]) -> None:
    with chosen(setting):
        found = found_by(check_enrolment)
    assert len(expected) == len(found), found
    for text, message in zip(expected, found, strict=True):
        assert message.startswith('E008 ORMCACHE["MODELS"]')
        assert text in message


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (["auth.User"], "must be a dictionary, not list."),
        ({1: {}}, "has the key 1, which is not a string."),
        ({"auth.User": True}, "must have a dictionary of options, or None, for 'auth.User'."),
        ({"auth.User": {1: 2}}, "must have a dictionary of options, or None, for 'auth.User'."),
    ],
)
def test_a_setting_of_another_form_is_an_error_and_enrols_nothing(setting: Any, text: str) -> None:
    with chosen(setting):
        assert [f'E002 ORMCACHE["MODELS"] {text}'] == [
            found.split(" For example")[0]
            for found in found_by(check_setting)
            if "MODELS" in found
        ]
        assert [False] * 4 == timeouts()
    assert {} == parse({"MODELS": setting})[0].models


def test_uncached_models_that_foreign_keys_lead_to_are_named_once() -> None:
    with chosen({"auth.Permission": {}}):
        (found,) = [each for each in check_relations() if each.obj is ContentType]
        assert "ormcache.W005" == found.id
        assert "Foreign keys lead to it (auth.Permission.content_type" in found.msg
        assert 'Add "contenttypes.ContentType": {} to ORMCACHE["MODELS"]' in str(found.hint)
        assert "or derive it from CachedModel" in str(found.hint)
    quiet: Any
    for quiet in ({}, None):
        with chosen({"auth.Permission": {}, "contenttypes.*": quiet}):
            assert not [each for each in check_relations() if each.obj is ContentType]


def test_a_model_that_is_prepared_is_enrolled_at_once() -> None:
    def make(name: str, base: type, **options: Any) -> Any:
        meta = type("Meta", (), {"app_label": "auth", **options})
        return type(name, (base,), {"__module__": __name__, "Meta": meta})

    with chosen({"auth.late*": {"timeout": 7}}):
        late = make("LateOne", models.Model)
        proxy = make("LateProxy", late, proxy=True)
        child = make("Child", late)
        made = (late, proxy, child)
        try:
            assert [True, True, False] == [is_cached(each) for each in made]
            assert [7, 7] == [options_of(each).timeout for each in (late, proxy)]
            querysets = [each._default_manager.all() for each in made]
            assert [True, True, False] == [isinstance(each, CachedQuerySet) for each in querysets]
        finally:
            for each in made:
                del apps.all_models["auth"][each._meta.model_name]
            apps.clear_cache()
