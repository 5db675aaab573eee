"""Readings of what is volatile differ, and settings of one session do not reach others."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from django.db import connection
from django.db.models import CharField, F, Prefetch
from django.db.models.functions import Cast, Now, Random, TruncHour
from django.utils import timezone

from ormcache import bypass
from ormcache.stats import counters
from tests.integration.interleave import elsewhere
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def author(ormcache_redis: RedisServer) -> Author:
    author = Author.objects.create(name="ann", slug="ann")
    for number in range(12):
        Article.objects.create(title=f"{number}", author=author)
    return author


def test_two_readings_differ(author: Author) -> None:
    def drawn() -> list[Any]:
        return list(Author.objects.annotate(r=Random()).values_list("r", flat=True))

    def shuffled() -> list[Any]:
        return [article.pk for article in Article.objects.order_by("?")]

    def prefetched() -> list[Any]:
        inner = Article.objects.annotate(r=Random())
        found = Author.objects.prefetch_related(Prefetch("articles", inner)).get()
        return [article.r for article in found.articles.all()]  # type: ignore[attr-defined]

    for read in (drawn, shuffled, prefetched):
        # One in 12! that twelve rows come in the same order twice.
        assert 3 == len({repr(read()) for _ in range(3)}), read


def test_what_ages_is_seen_to_age(author: Author) -> None:
    """Nobody writes: time alone moves the row out of the result."""
    soon = timezone.now() + dt.timedelta(seconds=1)
    Author.objects.filter(pk=author.pk).update(created=soon)
    coming = Author.objects.filter(created__gt=Now())
    assert 1 == coming.count() == len(coming.all())
    while Author.nocache.filter(created__gt=Now()).exists():
        time.sleep(0.05)
    assert 0 == coming.count() == len(coming.all())


def test_another_time_zone_has_another_answer(author: Author) -> None:
    if connection.vendor == "mysql":
        pytest.skip("its named time zones need not be loaded")
    noon = dt.datetime(2026, 5, 4, 12, 45, tzinfo=dt.UTC)
    Author.objects.filter(pk=author.pk).update(created=noon)
    hours = Author.objects.annotate(hour=TruncHour("created")).values_list("hour", flat=True)
    late = Author.objects.filter(created__date=dt.date(2026, 5, 5))
    for zone, hour, is_late in [
        ("UTC", 12, False),
        ("Asia/Tokyo", 21, False),
        ("Pacific/Auckland", 0, True),
        ("UTC", 12, False),
    ]:
        with timezone.override(zone):
            assert [hour] == [found.hour for found in hours.all()]
            assert is_late is late.exists()


def test_a_setting_of_one_session_does_not_reach_another(author: Author) -> None:
    statement = {
        "postgresql": "SET TIME ZONE 'Asia/Tokyo'",
        "mysql": "SET time_zone = '+09:00'",
        "sqlite": "PRAGMA case_sensitive_like = 1",
    }[connection.vendor]
    texts = Author.objects.annotate(t=Cast(F("created"), CharField(max_length=40)))
    readings = (
        lambda: list(texts.values_list("t", flat=True)),
        lambda: Author.objects.filter(name__contains="ANN").count(),
    )

    def set_and_read() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        for read in readings:
            read()

    elsewhere(set_and_read)
    for read in readings:
        found = read()
        with bypass():
            assert read() == found
    hits = counters["list_hit"]
    readings[1]()
    assert hits < counters["list_hit"]
