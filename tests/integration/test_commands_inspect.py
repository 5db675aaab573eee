"""``manage.py ormcache inspect``."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ormcache import cells, runtime
from ormcache.schema.tables import schema_of
from ormcache.text import key_text
from tests.commands import change_unseen, execute_unseen, keys_of, new_author, run, run_json, warm
from tests.plugins.redis_server import RedisServer
from tests.testapp.models import Article, Author, Film, ItalianRestaurant, Photo, Tag

pytestmark = pytest.mark.django_db(transaction=True)


def test_inspect_shows_a_value_and_what_depends_on_it(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    list(Tag.objects.cache(key="tags", depends_on=[author]))
    found = run_json("inspect", "testapp.Author", str(author.pk))
    assert ("testapp.Author", str(author.pk), "default", True) == tuple(
        found[name] for name in ("model", "pk", "database", "hit")
    )
    (cell,) = found["cells"]
    assert ("value", "", "'Ann'") == (cell["state"], cell["reason"], cell["columns"]["name"])
    assert 3_000_000 < cell["ttl_ms"] <= 3_600_000
    assert 3_000_000 < cell["soft_expiry_ms"] <= 3_600_000
    assert 24 == len(cell["generation"])
    assert [True] == [each["exists"] for each in cell["dependents"]]
    Tag.objects.cache(key="tags").clean()
    (cell,) = run_json("inspect", "testapp.Author", str(author.pk))["cells"]
    assert [False] == [each["exists"] for each in cell["dependents"]]


def test_inspect_shows_absence(ormcache_redis: RedisServer) -> None:
    found = run_json("inspect", "testapp.Author", "5")
    assert not found["hit"]
    assert ["absent"] == [cell["state"] for cell in found["cells"]]
    assert "absent" in run("inspect", "testapp.Author", "5")[0]


def test_inspect_shows_marks_and_leases(ormcache_redis: RedisServer) -> None:
    cache, keys = runtime.current(), keys_of(Author)
    tokens = [cells.new_token(), cells.new_token()]
    for token in tokens:
        cache.writer.mark(token, [keys.row(1)])
    (cell,) = run_json("inspect", "testapp.Author", "1")["cells"]
    assert "marked" == cell["state"]
    assert {token.hex() for token in tokens} == {mark["token"] for mark in cell["marks"]}
    assert all(4000 < mark["remaining_ms"] <= 5000 for mark in cell["marks"])
    lease = cells.pack_lease(b"e" * 8, cells.new_nonce())
    cache.store.run([("LEASE", keys.row(2), b"", lease, 3000)])
    assert ["lease"] == [c["state"] for c in run_json("inspect", "testapp.Author", "2")["cells"]]


def test_inspect_tells_why_a_value_is_of_no_use(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    cache, keys = runtime.current(), keys_of(Author)
    stamp = cache.store.mget([keys.generation])[1][0]
    epoch, (cell,) = cache.store.mget([keys.row(author.pk)])
    assert stamp is not None
    assert cell is not None
    fingerprint = schema_of(Author).table.fingerprint
    payload = cell[cells.value_offset(cells.value_prefix(epoch, fingerprint, stamp)) :]
    for prefix, body, state, reason in (
        ((b"e" * 8, fingerprint, stamp), payload, "unusable", "other epoch"),
        ((epoch, b"f" * 8, stamp), payload, "unusable", "other schema"),
        ((epoch, fingerprint, b"S" + b"g" * 12), payload, "unusable", "old generation"),
        ((epoch, fingerprint, stamp), b"\xc1", "corrupt", "does not decode"),
    ):
        value = cells.pack_value(cells.value_prefix(*prefix), b"n" * 8, 0.0, 0.0, body)
        cache.store.run([("SET", keys.row(author.pk), value)])
        found = run_json("inspect", "testapp.Author", str(author.pk))
        assert not found["hit"]
        assert (state, -1) == (found["cells"][0]["state"], found["cells"][0]["ttl_ms"])
        assert reason in found["cells"][0]["reason"]
        assert reason in run("inspect", "testapp.Author", str(author.pk))[0]


def test_inspect_cuts_long_values(ormcache_redis: RedisServer) -> None:
    author = new_author()
    article = Article.objects.create(title="t", body="x" * 1000, author=author)
    Article.objects.get(pk=article.pk)
    (cell,) = run_json("inspect", "testapp.Article", str(article.pk))["cells"]
    assert 80 == len(cell["columns"]["body"])


def test_inspect_reads_keys_as_the_field_does(ormcache_redis: RedisServer) -> None:
    photo = Photo.objects.create(title="sea")
    Photo.objects.get(pk=photo.pk)
    assert run_json("inspect", "testapp.Photo", photo.pk.hex)["hit"]
    child = ItalianRestaurant.objects.create(name="Roma")
    ItalianRestaurant.objects.get(pk=child.pk)
    found = run_json("inspect", "testapp.italianrestaurant", str(child.pk))
    assert found["hit"]
    assert 3 == len(found["cells"])


def test_a_key_cannot_command_the_terminal() -> None:
    assert "row:a\\x1b[2J" == key_text(b"row:a\x1b[2J")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["testapp.Author", "five"], "'five' is no primary key of testapp.Author"),
        (["testapp.Photo", "5"], "'5' is no primary key"),
        (["testapp.Autor", "5"], "Did you mean testapp.Author"),
        (["Author", "5"], "There is no model 'Author'"),
        (["testapp.PlainThing", "5"], "no CachedModel"),
        (["testapp.Author", "5", "--database", "defualt"], "Did you mean default"),
    ],
)
def test_inspect_refuses_what_is_not_there(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("inspect", *arguments)


def test_compare_finds_equality_and_differences(ormcache_redis: RedisServer) -> None:
    author = new_author()
    warm(author)
    arguments = ("inspect", "testapp.Author", str(author.pk), "--compare")
    assert {"in_database": True, "equal": True, "differences": []} == run_json(*arguments)[
        "comparison"
    ]
    change_unseen(author, "Bea")
    out = StringIO()
    with pytest.raises(CommandError, match="differ"):
        call_command("ormcache", *arguments, "--format", "json", stdout=out)
    assert [{"column": "name", "cache": "'Ann'", "database": "'Bea'"}] == json.loads(
        out.getvalue()
    )["comparison"]["differences"]
    run("purge", "testapp.Author")
    assert run_json(*arguments)["comparison"]["equal"]


def test_compare_finds_a_row_that_is_gone(ormcache_redis: RedisServer) -> None:
    film = Film.objects.create(title="M")
    Film.objects.get(pk=film.pk)
    execute_unseen("DELETE FROM testapp_film")
    with pytest.raises(CommandError, match="differ"):
        run("inspect", "testapp.Film", str(film.pk), "--compare")
