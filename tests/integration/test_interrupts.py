"""A commit that is interrupted while its marks are set: Ctrl-C, a worker that is told to end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction

from ormcache.coherence.writer import Writer
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def test_an_interrupted_commit_is_rolled_back(
    ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author.objects.create(name="old", slug="a")
    mark = Writer.mark

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        mark(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "mark", interrupted)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="new")
    assert connection.get_autocommit()
    assert "old" == Author.objects.get(pk=author.pk).name
    assert "old" == Author.objects.get(pk=author.pk).name
    author.name = "newer"
    author.save()
    assert "newer" == Author.objects.get(pk=author.pk).name
