"""Single operations against the raw ORM, in turn within one run.

``python -m benchmarks.operations [--rounds N] [--profile]`` needs PostgreSQL and Redis. What
counts are the ratios: both sides of each are measured in the same rounds. The raw side runs
without ormcache's hooks on the connection.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

import django

django.setup()

import psycopg
from django.core.management import call_command
from django.db import connection
from django.db.models import Manager

from benchmarks.models import CachedArticle, CachedAuthor, PlainArticle, PlainAuthor
from ormcache import runtime

AUTHORS, ARTICLES, KEYS = 1_000, 20_000, 200

Operation = Callable[[int], Any]


def create_database() -> None:
    """A fresh database with empty tables."""
    options = connection.settings_dict
    name = options["NAME"]
    server = {"host": options["HOST"], "port": options["PORT"], "user": options["USER"]}
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}"')
        admin.execute(f'CREATE DATABASE "{name}"')
    call_command("migrate", run_syncdb=True, verbosity=0)


def create() -> None:
    """A fresh database with the same rows for both sides."""
    create_database()
    for authors, articles in ((CachedAuthor, CachedArticle), (PlainAuthor, PlainArticle)):
        made: Any = [authors(name=f"Author {i}", slug=f"author-{i}") for i in range(AUTHORS)]
        authors._default_manager.bulk_create(made)
        keys = list(authors._base_manager.values_list("pk", flat=True))
        rows: Any = [
            articles(
                title=f"Article {i}",
                slug=f"article-{i}",
                summary="s" * 120,
                body="b" * 350,
                author_id=keys[i % AUTHORS],
                published=i % 10 != 0,
            )
            for i in range(ARTICLES)
        ]
        articles._default_manager.bulk_create(rows, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


class Side:
    """One of the two: its managers, and what it reads and writes."""

    def __init__(self, articles: Manager[Any], authors: Manager[Any]) -> None:
        self.articles = articles
        self.keys = list(articles.order_by("pk").values_list("pk", flat=True)[:KEYS])
        self.authors = list(authors.order_by("pk")[:KEYS])
        self.saved = articles.get(pk=self.keys[0])

    def get(self, i: int) -> Any:
        return self.articles.get(pk=self.keys[i % KEYS])

    def foreign_key(self, i: int) -> Any:
        self.saved._state.fields_cache.clear()
        return self.saved.author

    def list_of_20(self, i: int) -> Any:
        author = self.authors[i % KEYS]
        return list(self.articles.filter(author=author, published=True).order_by("-created")[:20])

    def select_related_100(self, i: int) -> Any:
        start = i % 20
        return list(self.articles.select_related("author").order_by("-pk")[start : start + 100])

    def list_of_500(self, i: int) -> Any:
        return list(self.articles.order_by("pk")[:500])

    def prefetch_100(self, i: int) -> Any:
        return list(self.articles.order_by("pk").prefetch_related("author")[:100])

    def count(self, i: int) -> Any:
        return self.articles.filter(author=self.authors[i % KEYS]).count()

    def exists(self, i: int) -> Any:
        return self.articles.filter(author=self.authors[i % KEYS]).exists()

    def save_some(self, i: int) -> Any:
        self.saved.views += 1
        self.saved.save(update_fields=["views"])

    def save(self, i: int) -> Any:
        self.saved.views += 1
        self.saved.save()


@contextmanager
def unhooked() -> Iterator[None]:
    """Without ormcache on the connection."""
    hooks, connection.execute_wrappers = connection.execute_wrappers, []
    try:
        yield
    finally:
        connection.execute_wrappers = hooks


def timed(operation: Operation, times: int, before: Callable[[int], Any] | None = None) -> float:
    """The median time of one operation, in µs."""
    taken = []
    for i in range(times):
        if before is not None:
            before(i)
        start = time.perf_counter()
        operation(i)
        taken.append((time.perf_counter() - start) * 1e6)
    return statistics.median(taken)


def compare(name: str, cached: Operation, raw: Operation, rounds: int, **options: Any) -> None:
    times = options.pop("times", KEYS)
    for i in range(times):
        cached(i)
    pairs = []
    for _ in range(rounds):
        ours = timed(cached, times, **options)
        with unhooked():
            pairs.append((ours, timed(raw, times)))
    ratio = statistics.median(raw_time / ours for ours, raw_time in pairs)
    ours, raw_time = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:28} {ours:9.0f} {raw_time:9.0f} {ratio:8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="where the time of a get goes")
    options = parser.parse_args()
    create()
    cache = runtime.current()
    ours = Side(CachedArticle.objects, CachedAuthor.objects)
    raw = Side(PlainArticle._default_manager, PlainAuthor._default_manager)
    if options.profile:
        profile(ours.get)
        return
    print(f"{'operation':28} {'cached µs':>9} {'raw µs':>9} {'speed-up':>8}")
    hits = ["get", "foreign_key", "list_of_20", "select_related_100", "list_of_500"]
    for name in [*hits, "prefetch_100", "count", "exists"]:
        times = 30 if name.endswith("00") else KEYS
        compare(
            f"{name} hit", getattr(ours, name), getattr(raw, name), options.rounds, times=times
        )
    keys = cache.keys("default", CachedArticle._meta.db_table)

    def forget_row(i: int) -> None:
        cache.reader.drop([keys.row(ours.keys[i % KEYS])])

    def forget_lists(i: int) -> None:
        ours.articles.filter(author=ours.authors[i % KEYS], published=True).order_by("-created")[
            :20
        ].clean()  # type: ignore[attr-defined]

    def forget_all(i: int) -> None:
        cache.store.run([("FLUSHDB",)])

    compare("get miss", ours.get, raw.get, options.rounds, before=forget_row)
    for name, before in (("rows there", forget_lists), ("rows gone", forget_all)):
        label = f"list_of_20 miss, {name}"
        compare(label, ours.list_of_20, raw.list_of_20, options.rounds, before=before)
    compare("save(update_fields)", ours.save_some, raw.save_some, options.rounds)
    compare("save()", ours.save, raw.save, options.rounds)


def profile(operation: Operation) -> None:
    for i in range(KEYS):
        operation(i)
    profiler = cProfile.Profile()
    profiler.enable()
    for i in range(20 * KEYS):
        operation(i)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
