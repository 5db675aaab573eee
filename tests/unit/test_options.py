"""``CacheMeta``: what is wrong with it is said by the system checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from ormcache.checks import _check_model
from ormcache.models import CachedModel
from ormcache.schema.options import options_of


def found_in(**options: Any) -> list[tuple[str, str]]:
    """The ids and texts of the checks of a model with these options."""
    with isolate_apps("tests.testapp"):

        class Thing(CachedModel):
            name = models.CharField(max_length=10, unique=True)
            price = models.DecimalField(max_digits=5, decimal_places=2)
            kind = models.IntegerField(default=0)
            double = models.GeneratedField(
                expression=models.F("kind") * 2,
                output_field=models.IntegerField(),
                db_persist=True,
            )
            things = models.ManyToManyField("self")
            other = models.ForeignKey("self", models.CASCADE, null=True)
            CacheMeta = type("CacheMeta", (), options)

            class Meta:
                app_label = "testapp"

        return [(str(each.id), f"{each.msg} {each.hint}") for each in _check_model(Thing)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timeout": 5, "lists": False, "namespace": "n", "partitions": ["name", "kind"]},
        {"timeout": None, "identity_map": None, "multi_db": True, "partitions": []},
    ],
)
def test_right_options(options: dict[str, Any]) -> None:
    assert [] == found_in(**options)


@pytest.mark.parametrize(
    ("options", "check", "text"),
    [
        ({"ttl": 5}, "E005", 'CacheMeta.ttl is not a known option. Did you mean "timeout"?'),
        ({"expires": 5}, "E005", 'Did you mean "timeout"?'),
        ({"timout": 5}, "E005", 'CacheMeta.timout is not a known option. Did you mean "timeout"?'),
        ({"timeout": -5}, "E005", "CacheMeta.timeout must be above 0 and at most"),
        ({"lists": 1}, "E005", "CacheMeta.lists must be True or False, not 1."),
        ({"namespace": ""}, "E005", "CacheMeta.namespace must be a non-empty string"),
        ({"partitions": "name"}, "E005", "CacheMeta.partitions must be a list of field names"),
        (
            {"identity_map": "big"},
            "E005",
            'CacheMeta.identity_map must be "weak", "strong" or None',
        ),
        ({"partitions": {"name"}}, "E005", "CacheMeta.partitions must be a list of field names"),
        ({"partitions": ["name", 5]}, "E005", "must be a list of field names, not ['name', 5]."),
        (
            {"partitions": ["nme"]},
            "E006",
            "'nme', which is no field. Did you mean \"name\"?",
        ),
        ({"partitions": ["other_id"]}, "E006", 'is no field. Did you mean "other"?'),
        ({"partitions": ["zzz"]}, "E006", "no field. Fields are double, id, kind, name, other, "),
        ({"partitions": ["id"]}, "E006", "names 'id', which is the primary key. Leave it out"),
        ({"partitions": ["double"]}, "E006", "'double', which the database computes. Name the"),
        ({"partitions": ["things"]}, "E006", "names 'things', which is a many-to-many field."),
        ({"partitions": ["kind", "kind"]}, "E006", "names 'kind' twice. Name each field once."),
        ({"timeout": 0}, "E005", "CacheMeta.timeout must be above 0 and at most"),
        ({"timeout": True}, "E005", "must be seconds, a timedelta or None, not bool."),
        ({"partitions": ["price"]}, "E006", "names 'price', whose equality in the database"),
    ],
)
def test_wrong_options(options: dict[str, Any], check: str, text: str) -> None:
    ((found, said),) = found_in(**options)
    assert f"ormcache.{check}" == found
    assert text in said


def test_a_wrong_option_counts_as_not_given() -> None:
    with isolate_apps("tests.testapp"):

        class Thing(CachedModel):
            class CacheMeta:
                timeout = "soon"
                lists = False

            class Meta:
                app_label = "testapp"

        assert options_of(Thing).lists is False
        assert "testapp.Thing" == options_of(Thing).namespace
