"""``manage.py ormcache explain``."""

from __future__ import annotations

import pytest
from django.core.management import CommandError

from ormcache.stats import counters
from tests.commands import new_author, run, run_json
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def _redis(ormcache_redis: RedisServer) -> None:
    pass


def explain(expression: str, *more: str) -> str:
    return run("explain", "testapp.Article", expression, *more)[0]


def test_explain_as_text_and_as_json() -> None:
    expression = "filter(author=5, published=True).order_by('-created')[:20]"
    text = explain(expression)
    assert "testapp.Article in default, list: cached" in text
    assert "every row of testapp_article where author_id = 5: coming or going" in text
    found = run_json("explain", "testapp.Article", expression)
    assert ("list", True, "absent", []) == (
        found["kind"],
        found["cached"],
        found["state"],
        found["reasons"],
    )
    assert found["key"] == found["entry"]["key"]
    assert "author_id = 5" == found["depends_on"][0]["where"]


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("objects.filter(title__contains='x')", "list"),
        ("all() | filter(views__gt=3)", "list"),
        ("Article.objects.filter(author__in=Author.objects.filter(active=True))", "list"),
        ("values('title').annotate(n=Count('tags'))", "values"),
        ("filter(Q(views=1) | Q(views=F('author')))", "list"),
        ("filter(created__lt=timezone.now() - timedelta(days=3)).count()", "count"),
        (
            "filter(created__lt=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)).count()",
            "count",
        ),
        ("annotate(u=Upper('title')).exists()", "exists"),
        ("aggregate(Max('views'), total=Sum('views'))", "aggregate"),
        ("get(pk=1)", "rows"),
        ("filter(pk=1)", "rows"),
        ("get(title='x')", "list"),
        ("cache(key='front', timeout=5).first()", "list"),
        ("objects", "list"),
        ("order_by('?')", "list"),
    ],
)
def test_expressions(expression: str, kind: str) -> None:
    assert kind == run_json("explain", "testapp.Article", expression)["kind"]


def test_the_last_method_is_not_run() -> None:
    author = new_author()
    Article.objects.create(title="x", author=author)
    misses = counters["list_miss"], counters["row_miss"]
    explain("count()")
    explain("get(title='x')")
    explain("first()")
    assert misses == (counters["list_miss"], counters["row_miss"])


def test_another_database() -> None:
    assert "testapp.Article in other, list: cached" in explain("all()", "--database", "other")
    assert "testapp.Article in other, count" in explain("count()", "--database", "other")


def test_a_server_that_is_away(ormcache_redis: RedisServer) -> None:
    ormcache_redis.kill()
    assert "unreachable: " in explain("all()")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "An expression is wanted"),
        (
            "filter(author=5",
            "It is no Python: '(' was never closed.\n  filter(author=5\n        ^",
        ),
        ("x = 1", r"An expression is wanted, not a statement (Assign)."),
        ("import os", "An expression is wanted, not a statement (Import)."),
        ("all(); all()", "One expression is wanted, not 2."),
        (
            "filter(auther=5)",
            "FieldError: Cannot resolve keyword 'auther' into field",
        ),
        ("get(auther=5)", "FieldError: Cannot resolve keyword 'auther' into field"),
        ("nosuch()", "NameError: name 'nosuch' is not defined"),
        ("cache(kay='x')", "TypeError: cache() got an unexpected keyword"),
        ("1 + 1", "The expression gives no queryset but a int."),
        ("nocache.all()", "name 'nocache' is not defined"),
        ("Article.nocache.all()", "A QuerySet of testapp.Article reads past the cache"),
        ("Visitor.objects.all()", "A QuerySet of testapp.Visitor reads past the cache"),
        ("in_bulk([1])", "in_bulk() is not explained: name the queryset without it"),
        ("count(5)", "explain_cache('count') takes no further arguments"),
        ("delete()", "delete() changes something: only reads are explained.\n  delete()\n  ^"),
        (
            "filter(pk=1).update(views=1)",
            "update() changes something: only reads are explained.\n"
            "  filter(pk=1).update(views=1)\n               ^",
        ),
        ("[each.delete() for each in all()]", "delete() changes something"),
        ("abulk_create([])", "abulk_create() changes something"),
        ("get_or_create(title='x')", "get_or_create() changes something"),
        ("filter(title='é').clean()", f"  filter(title='é').clean()\n{' ' * 20}^"),
    ],
)
def test_mistakes_are_named(expression: str, message: str) -> None:
    marks = counters["mark"]
    with pytest.raises(CommandError) as raised:
        explain(expression)
    assert message in str(raised.value)
    # Nor was anything written.
    assert marks == counters["mark"]


def test_names_that_lead_nowhere() -> None:
    with pytest.raises(CommandError, match=r"no model 'testapp.Artcle'. Did you mean testapp.Art"):
        run("explain", "testapp.Artcle", "all()")
    with pytest.raises(CommandError, match=r'no CachedModel.*"testapp.Visitor": {} to ORMCACHE'):
        run("explain", "testapp.Visitor", "all()")
    with pytest.raises(CommandError, match="There is no database 'x'"):
        explain("all()", "--database", "x")
