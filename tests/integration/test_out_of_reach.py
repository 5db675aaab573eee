"""Writes whose text does not name the table they change: what goes stale, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import connection

import ormcache
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

Write = Callable[[], None]

pytestmark = pytest.mark.django_db(transaction=True)

# By database: what makes the code in the database, what runs it, and what removes it.
CODE = {
    "sqlite": {
        "trigger": (
            "CREATE TRIGGER own AFTER UPDATE ON testapp_tag "
            "BEGIN UPDATE testapp_author SET name = 'changed'; END",
            "UPDATE testapp_tag SET name = 'b'",
            "DROP TRIGGER own",
        )
    },
    "postgres": {
        "function": (
            "CREATE FUNCTION own() RETURNS void LANGUAGE sql AS "
            "'UPDATE testapp_author SET name = ''changed'''",
            "SELECT own()",
            "DROP FUNCTION own",
        ),
        "procedure": (
            "CREATE PROCEDURE own() LANGUAGE sql AS "
            "'UPDATE testapp_author SET name = ''changed'''",
            "CALL own()",
            "DROP PROCEDURE own",
        ),
    },
    "mariadb": {
        "procedure": (
            "CREATE PROCEDURE own() UPDATE testapp_author SET name = 'changed'",
            "CALL own()",
            "DROP PROCEDURE own",
        ),
        "trigger": (
            "CREATE TRIGGER own AFTER UPDATE ON testapp_tag FOR EACH ROW "
            "UPDATE testapp_author SET name = 'changed'",
            "UPDATE testapp_tag SET name = 'b'",
            "DROP TRIGGER own",
        ),
    },
}[settings.TEST_DB]


def names() -> list[str]:
    return [author.name for author in Author.objects.order_by("pk")]


@pytest.fixture(params=CODE)
def run(request: pytest.FixtureRequest, ormcache_redis: RedisServer) -> Iterator[Write]:
    """Runs code in the database, which renames all authors."""
    make, statement, remove = CODE[request.param]
    execute("INSERT INTO testapp_tag (name) VALUES ('a')")
    execute(make)
    yield lambda: execute(statement)
    execute(remove)


def execute(statement: str) -> None:
    # In a cursor of its own: what SQLite reads beside an open one is not stored.
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_code_in_the_database_is_out_of_reach(run: Write) -> None:
    Author.objects.create(name="old", slug="a")
    assert [["old"]] * 2 == [names(), names()]
    run()
    # Whoever runs such code has to say what it changed.
    ormcache.invalidate(Author)
    assert [["changed"]] * 2 == [names(), names()]


def test_it_stays_stale_until_somebody_says_so(run: Write) -> None:
    """Documents the limit. Should it fail, the limit is gone: say so in the docs."""
    author = Author.objects.create(name="old", slug="a")
    assert "old" == Author.objects.get(pk=author.pk).name
    run()
    assert "old" == Author.objects.get(pk=author.pk).name
    ormcache.invalidate(author)
    assert "changed" == Author.objects.get(pk=author.pk).name
