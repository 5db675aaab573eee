"""Querysets and helpers that several test modules share."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, WindowFrameExclusion

from ormcache.analysis.fingerprint import digest, walk
from tests.queryapp.models import Article, Tag

ARTICLES: Any = Article.objects.all()
HEAVY: Any = Tag.objects.filter(weight=1)
TAGGED: Any = Tag.objects.filter(articles=OuterRef("pk"))
FRAME = WindowFrameExclusion.CURRENT_ROW


def key(queryset: Any, *extra: bytes) -> str:
    """The digest of a queryset, readable."""
    return digest(*walk(queryset.query), *extra).hex()


def annotated(expression: Any) -> Any:
    return ARTICLES.annotate(v=expression)
