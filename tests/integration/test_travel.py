"""The journeys told in the documentation, followed through the code."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ormcache
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author

pytestmark = pytest.mark.django_db(transaction=True)

HOME = os.path.dirname(ormcache.__file__) + os.sep
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "travel.rst"


def told() -> dict[str, list[str]]:
    """By heading the modules it names, in order."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"\n(?=[^\n]+\n=+\n)", PAGE.read_text())[1:]:
        heading = part.partition("\n")[0]
        steps = re.findall(r"^\d+\. ``([a-z_/]+)``", part, re.MULTILINE)
        if steps:
            found[heading] = steps
    return found


def passed(run: Callable[[], Any]) -> list[str]:
    """The modules that ``run`` passes, each when it is entered first."""
    found: dict[str, None] = {}

    def enter(frame: FrameType, event: str, arg: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(HOME):
            found.setdefault(file[len(HOME) : -len(".py")])

    sys.setprofile(enter)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(found)


@pytest.mark.parametrize("heading", told())
def test_a_journey(ormcache_redis: RedisServer, heading: str) -> None:
    author = Author.objects.create(name="ann", slug="ann")
    article = Article.objects.create(title="old", author=author)

    def listed() -> list[Any]:
        return list(Article.objects.filter(author=author).order_by("-views")[:20])

    def row() -> Any:
        return Article.objects.get(pk=article.pk)

    for _ in range(2):
        row(), listed()
    ormcache.invalidate(Article)
    if heading != "A list that is not cached":
        row(), listed()
    journeys = {
        "A row that is cached": row,
        "A list that is cached": listed,
        "A list that is not cached": listed,
        "A write": article.save,
    }
    steps, way = told()[heading], passed(journeys[heading])
    assert steps == sorted(steps, key=way.index)
    assert journeys.keys() == told().keys()
