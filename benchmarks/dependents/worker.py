"""One process that measures writes on one system."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import psycopg
import redis
from redis.connection import AbstractConnection

from benchmarks.dependents.fill import fill
from benchmarks.workload.data import Size
from benchmarks.workload.worker import start

ROW = 1
"""The article that is written. It is of the first category."""

# From a snapshot, which is another database of the server, to the working database 0.
_RESTORE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
    redis.call('COPY', key, key, 'DB', 0, 'REPLACE')
end
"""


@dataclass(frozen=True, slots=True)
class Case:
    """How many lists are in the cache; ``dependent``: of the row's category, or else of the
    other one."""

    lists: int
    dependent: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """One write. ``commands`` counts those that its scripts call, too; ``lost``: whether the lists
    were invalidated."""

    ms: float
    round_trips: int
    commands: int
    lost: bool


def work(name: str, place: dict[str, Any], line: Connection) -> None:
    """Answer messages: ``("fill", number, case)`` prepares a case, ``("save", number)`` and
    ``("update", number)`` give the sample of one write in it."""
    bench = Bench(name, place, _count_round_trips())
    while True:
        verb, *arguments = line.recv()
        line.send(bench.fill(*arguments) if verb == "fill" else bench.sample(verb, *arguments))


class Bench:
    """The lists, the row and the write."""

    def __init__(self, name: str, place: dict[str, Any], counted: Counter[str]) -> None:
        self._name = name
        self._system = start(name, place)
        self._counted = counted
        self._socket = place["socket"]
        self._redis = redis.Redis(unix_socket_path=self._socket)
        database = place["database"]
        # Sets the row back where neither Django nor a cache sees it.
        self._aside = psycopg.connect(
            host=database["HOST"],
            port=database["PORT"],
            user=database["USER"],
            password=database["PASSWORD"] or None,
            dbname=database["NAME"],
            autocommit=True,
        )

        from benchmarks.workload.load import load
        from benchmarks.workload.models import Article
        from benchmarks.workload.plan import Site
        from benchmarks.workload.replay import statement_counter

        size = Size(categories=2, authors=10, tags=5, articles=100, comments=100)
        site = Site(Random(1), size)
        site.articles[ROW].category = 1
        load(site, size)
        self._statements = statement_counter()
        self._articles: Any = Article.objects
        self._lists: dict[int, Any] = {}

    def fill(self, number: int, case: Case) -> None:
        """Put the row and the lists into the cache, and keep it all as the snapshot ``number``."""
        self._reset_row()
        self._redis.flushdb()
        self._articles.get(pk=ROW)
        found = self._articles.filter(category=1 if case.dependent else 2, views__gte=0)
        self._lists[number] = found.order_by("pk")[:5]
        fill(self._name, self._lists[number], case.lists)
        self._redis.swapdb(0, number)

    def sample(self, verb: str, number: int) -> Sample:
        """Write the row while the cache is as in that snapshot."""
        self._reset_row()
        self._redis.flushdb()
        with redis.Redis(unix_socket_path=self._socket, db=number) as snapshot:
            snapshot.eval(_RESTORE, 0)
        article = self._articles.get(pk=ROW)
        article.views = 1
        row = self._articles.filter(pk=ROW)
        self._redis.config_resetstat()
        sent, started = self._counted["sent"], time.perf_counter()
        if verb == "save":
            article.save(update_fields=["views"])
        else:
            self._system.update(row, views=1)
        ms = (time.perf_counter() - started) * 1000
        sent = self._counted["sent"] - sent
        stats: Any = self._redis.info("commandstats")
        # Without the commands that ask for the figures.
        ours = {"cmdstat_info", "cmdstat_config|resetstat"}
        calls = sum(each["calls"] for name, each in stats.items() if name not in ours)
        return Sample(ms, sent, calls, self._is_lost(number))

    def _is_lost(self, number: int) -> bool:
        before = self._statements["sql"]
        list(self._lists[number].all())
        return self._statements["sql"] > before

    def _reset_row(self) -> None:
        self._aside.execute("UPDATE workload_article SET views = 0 WHERE id = %s", [ROW])


def _count_round_trips() -> Counter[str]:
    """Count what redis-py sends from now on, as ``["sent"]``; a pipeline is sent at once."""
    counted: Counter[str] = Counter()
    send = AbstractConnection.send_packed_command

    def count(self: Any, *args: Any, **kwargs: Any) -> Any:
        counted["sent"] += 1
        return send(self, *args, **kwargs)

    AbstractConnection.send_packed_command = count  # type: ignore[method-assign]
    return counted
