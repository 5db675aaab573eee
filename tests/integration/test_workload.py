"""Some hundred operations of the benchmark's traffic: no wrong answer, and no list lost to a
write of columns it does not depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

import ormcache
from benchmarks.workload.data import Size
from benchmarks.workload.load import load
from benchmarks.workload.plan import READ_BY, READS, WRITES, plan
from benchmarks.workload.replay import replay
from benchmarks.workload.systems import Ormcache
from benchmarks.workload.tally import Answer, Tally, Tracker
from ormcache.store import connect
from tests.plugins.redis_server import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True, reset_sequences=True), pytest.mark.slow]

SIZE = Size(categories=4, authors=10, tags=8, articles=120, comments=200)
OPERATIONS = 300
SEED = 7
"""One that brings every kind of operation."""
PARTITIONS = {"comments", "tags of article"}
"""Lists that are all rows of one partition."""


@pytest.fixture
def tally(ormcache_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Tally:
    """What the cache made of the traffic; every answer was compared with the database's."""
    site, operations = plan(SEED, OPERATIONS, 60, SIZE)
    assert {*READS, *WRITES} == {operation.kind for operation in operations}
    load(site, SIZE)
    # What the benchmark sets for a process of its own must not outlive the test.
    monkeypatch.setattr(connect, "TIMEOUT", connect.TIMEOUT)
    system = Ormcache()
    system.start()
    tracker = Tracker(system, Counter(), checked)
    replay(operations, tracker)
    return tracker.tally


def checked(run: Callable[[], Answer]) -> Answer:
    answer = run()
    with ormcache.bypass():
        assert run().data == answer.data
    return answer


def test_a_write_costs_only_lists_that_may_change(tally: Tally) -> None:
    assert not tally.needless()
    # Such writes came, and cost the lists that depend on them.
    assert {("view_saved", "top viewed"), ("edit_title", "search")} <= tally.lost.keys()
    assert READ_BY.keys() <= tally.writes.keys()
    # A list that is a whole partition is lost only when it is another one afterwards.
    of_one_article = [cause for cause in tally.invalidated if cause[1] in PARTITIONS]
    assert of_one_article
    assert not any(tally.same_pointers[cause] for cause in of_one_article)
    assert (0, 0) == (tally.unexplained, tally.uncached)
