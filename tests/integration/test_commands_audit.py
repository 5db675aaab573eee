"""``manage.py ormcache audit`` finds what differs, and nothing else."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ormcache import runtime
from ormcache.management import audit
from ormcache.outage import outbox
from ormcache.stats import counters
from tests.commands import change_unseen, execute_unseen, keys_of, run, run_json
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Author, ItalianRestaurant, Photo

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def authors(ormcache_redis: RedisServer) -> list[Author]:
    authors = [Author.objects.create(name=f"A {i}", slug=f"a-{i}") for i in range(20)]
    assert 20 == len(Author.objects.all())
    Photo.objects.create(title="sea")
    ItalianRestaurant.objects.create(name="Da Ugo")
    Photo.objects.get()
    ItalianRestaurant.objects.get()
    return authors


def audited(*arguments: str) -> dict[str, Any]:
    return run_json("audit", *arguments)


def failing(*arguments: str) -> tuple[str, dict[str, Any]]:
    """The error an audit ends in, and what it wrote before."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("ormcache", "audit", *arguments, "--format", "json", stdout=out)
    return str(caught.value), json.loads(out.getvalue())


def test_a_sound_cache(authors: list[Author]) -> None:
    found = audited()
    # Twenty authors, a photo, and a restaurant in three tables.
    assert (24, 24, 0, 0.0) == tuple(found[k] for k in ("cells", "compared", "stale", "ppm"))
    assert 125_000 == found["below_ppm"]
    assert 0 <= found["median_age"] <= found["oldest_age"]


def test_a_row_that_differs(authors: list[Author]) -> None:
    change_unseen(authors[3], "other")
    counted = {name: counters[name] for name in ("audit_compared", "audit_stale")}
    error, found = failing()
    assert "1 of 24 cells are stale." == error
    assert 1 == found["stale"]
    assert [24, 1] == [counters[name] - before for name, before in counted.items()]
    assert round(1_000_000 / 24, 3) == round(found["ppm"], 3)
    (stale,) = found["stale_cells"]
    assert ("testapp.Author", ["name"]) == (stale["model"], stale["differs"])
    assert stale["key"].endswith(f"row:{authors[3].pk}")
    assert 1 == audited("--max-ppm", "50000")["stale"]


def test_a_row_that_is_gone(authors: list[Author]) -> None:
    execute_unseen(f"DELETE FROM testapp_author WHERE id = {authors[3].pk}")
    _, found = failing("testapp.Author")
    assert [["the row is gone"]] == [each["differs"] for each in found["stale_cells"]]
    assert 20 == found["compared"]


def test_what_changes_meanwhile_is_not_stale(
    authors: list[Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between the two reads makes them differ, without anybody being served old data."""
    select = audit._select

    def write_first(*args: Any) -> Any:
        monkeypatch.setattr(audit, "_select", select)
        Author.objects.filter(pk=authors[0].pk).update(name="new")
        return select(*args)

    monkeypatch.setattr(audit, "_select", write_first)
    assert 0 == audited("testapp.Author")["stale"]


def test_what_the_outbox_makes_useless_is_not_stale(authors: list[Author]) -> None:
    """No reader would be given it."""
    change_unseen(authors[3], "other")
    keys = keys_of(Author)
    outbox.put(connection, [keys.row(authors[3].pk), keys.lists])
    runtime.current().store.contact += 1
    assert 0 == audited()["stale"]


def test_a_sample(authors: list[Author]) -> None:
    found = audited("testapp.Author", "--sample", "5")
    assert (20, 5) == (found["cells"], found["compared"])


def test_cells_no_reader_would_use_do_not_count(
    authors: list[Author], ormcache_redis: RedisServer
) -> None:
    keys = keys_of(Author)
    with ormcache_redis.client() as client:
        for author, raw in zip(authors, (b"", b"V", b"garbage", b"L" + bytes(16)), strict=False):
            client.set(keys.row(author.pk), raw)
    assert 16 == audited("testapp.Author")["compared"]


def test_nothing_to_compare(ormcache_redis: RedisServer) -> None:
    found = audited()
    assert (0, None, None) == (found["compared"], found["ppm"], found["below_ppm"])
    assert "nothing to compare" in run("audit")[0]


def test_wrong_arguments() -> None:
    with pytest.raises(CommandError, match="no namespace"):
        run("audit", "nothing")
    with pytest.raises(CommandError, match="at least 1"):
        run("audit", "--sample", "0")
