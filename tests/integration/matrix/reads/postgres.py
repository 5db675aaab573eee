"""What only PostgreSQL has. Empty on other databases. GIS is not installed, so not tried."""

from __future__ import annotations

from typing import Any

import django
from django.db import models
from django.db.models import Value

from tests.integration.matrix.values import Read, rows
from tests.integration.matrix.world import POSTGRES

READS: dict[str, Read] = {}

if POSTGRES:
    from django.contrib.postgres import aggregates
    from django.contrib.postgres.aggregates import ArrayAgg, BoolOr, JSONBAgg
    from django.contrib.postgres.expressions import ArraySubquery
    from django.contrib.postgres.search import (
        SearchQuery,
        SearchRank,
        SearchVector,
        TrigramSimilarity,
    )
    from django.db.models import OuterRef

    from tests.matrixapp.models import Collection
    from tests.testapp.models import Article, Author, Comment

    # PostgreSQL's own is to go.
    IS_GENERAL = django.VERSION >= (6, 0)
    StringAgg: Any = (models if IS_GENERAL else aggregates).StringAgg
    COMMA: Any = Value(",") if IS_GENERAL else ","

    LOOKUPS: list[dict[str, Any]] = [
        {"numbers__contains": [1]},
        {"numbers__contained_by": [0, 1, 2]},
        {"numbers__overlap": [0, 9]},
        {"numbers__len": 2},
        {"numbers__0": 0},
        {"numbers__0_2": [0, 1]},
        {"numbers": [0]},
        {"store__a": "1"},
        {"store__has_key": "a"},
        {"store__has_keys": ["a", "b"]},
        {"store__has_any_keys": ["a", "b"]},
        {"store__contains": {"a": "2"}},
        {"store__keys": ["a"]},
        {"store__values__contains": ["2"]},
        {"during__contains": 6},
        {"during__overlap": (0, 2)},
        {"during__fully_gt": (0, 1)},
        {"during__startswith": 1},
        {"during__isempty": False},
        {"title__search": "number"},
        {"title__trigram_similar": "the cat"},
        {"title__trigram_word_similar": "cat"},
        {"loose": "word1"},
        {"loose__in": ["WORD0", "word2"]},
        {"vector": "cat"},
    ]

    def _found(conditions: dict[str, Any]) -> Read:
        return lambda: rows(Collection.objects.filter(**conditions).order_by("pk"))

    def _annotated(model: Any, expression: Any) -> Read:
        return lambda: [(a.pk, a.v) for a in model.objects.annotate(v=expression).order_by("pk")]

    _texts = Comment.objects.filter(article=OuterRef("pk")).order_by("pk").values("text")

    READS = {
        **{
            f"PostgreSQL {name}={value!r}": _found({name: value})
            for each in LOOKUPS
            for name, value in each.items()
        },
        "PostgreSQL collections": lambda: rows(Collection.objects.order_by("pk")),
        "PostgreSQL distinct on": lambda: rows(
            Article.objects.order_by("author", "-views", "pk").distinct("author")
        ),
        "PostgreSQL distinct on a relation": lambda: rows(
            Article.objects.order_by("author__name", "pk").distinct("author__name")
        ),
        "PostgreSQL ArrayAgg": _annotated(
            Author, ArrayAgg("articles__views", order_by="articles__pk")
        ),
        "PostgreSQL StringAgg": _annotated(
            Author,
            StringAgg("articles__title", COMMA, order_by="articles__pk"),
        ),
        "PostgreSQL JSONBAgg": _annotated(
            Author, JSONBAgg("articles__views", order_by="articles__pk")
        ),
        "PostgreSQL BoolOr": _annotated(Author, BoolOr("articles__published")),
        "PostgreSQL ArraySubquery": _annotated(Article, ArraySubquery(_texts)),
        "PostgreSQL SearchVector": _annotated(Collection, SearchVector("title")),
        "PostgreSQL SearchRank": _annotated(
            Collection, SearchRank(SearchVector("title"), SearchQuery("cat"))
        ),
        "PostgreSQL TrigramSimilarity": _annotated(Collection, TrigramSimilarity("title", "cat")),
        "PostgreSQL array values": lambda: list(
            Collection.objects.order_by("pk").values_list("numbers", "store", "during")
        ),
    }
