"""``manage.py ormcache stats``, and the counters of the site behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.core.signals import request_finished

from ormcache import runtime, stats, totals
from tests.commands import new_author, run, run_json, warm
from tests.plugins.redis_server import RedisServer
from tests.plugins.wire import Wire
from tests.testapp.models import Author

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.processes
def test_stats_adds_up_the_counts_of_all_processes(ormcache_redis: RedisServer) -> None:
    author = new_author()
    run("stats", "--reset")
    warm(author)
    here = run_json("stats")["counters"]
    script = (
        "import django; django.setup()\n"
        "from tests.testapp.models import Author\n"
        f"for _ in range(3): Author.objects.get(pk={author.pk})\n"
    )
    namespace = runtime.current().config.namespace
    child = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ORMCACHE_TEST_REDIS": ormcache_redis.url,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "" == child.stderr
    found = run_json("stats")
    assert namespace == found["namespace"]
    assert here["row_hit"] + 3 == found["counters"]["row_hit"]
    reads = found["counters"]["row_hit"] + found["counters"]["row_miss"]
    assert round(found["counters"]["row_hit"] / reads, 4) == found["row_hit_rate"]
    assert ("Redis", "master", True) == tuple(
        found["server"][name] for name in ("name", "role", "epoch_known")
    )


def test_stats_reset_sets_the_counters_to_zero(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    assert 0 < run_json("stats", "--reset")["counters"]["row_hit"]
    found = run_json("stats")
    assert {0} == set(found["counters"].values())
    assert found["row_hit_rate"] is None


def test_stats_counts_keys_on_demand(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    assert "keys" not in run_json("stats")
    found = run_json("stats", "--keys")["keys"]
    assert (1, 1, 1, 0, 0) == tuple(
        found[kind] for kind in ("row", "list", "named", "reverse", "mark_or_lease")
    )
    assert 0 < found["stamp"]


def test_stats_as_text(ormcache_redis: RedisServer) -> None:
    warm(new_author())
    out, err = run("stats", "--keys")
    assert "Row hits" in out
    assert "row_hit" in out
    assert "maxmemory" in err


def test_a_request_adds_counts_at_most_every_few_seconds(
    ormcache_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = new_author()
    warm(author)
    monkeypatch.setattr(totals, "_due", 0.0)
    ormcache_wire.reset()
    request_finished.send(None)
    assert 1 == ormcache_wire.round_trips
    assert {"HINCRBY", "INFO"} == set(ormcache_wire.commands)
    Author.objects.get(pk=author.pk)
    ormcache_wire.reset()
    request_finished.send(None)
    assert 0 == ormcache_wire.round_trips


@pytest.mark.faults
def test_counts_wait_for_a_server_that_is_down(ormcache_redis: RedisServer) -> None:
    author = new_author()
    totals.flush()
    Author.objects.get(pk=author.pk)
    counted = stats.unflushed()["row_miss"]
    ormcache_redis.kill()
    totals.flush()
    assert counted == stats.unflushed()["row_miss"]
    with pytest.raises(CommandError, match="not answer"):
        run("stats")


FORK = """
import os
from ormcache import stats
stats.counters["row_hit"] += 5
child = os.fork()
if child == 0:
    stats.counters["row_hit"] += 1
    os._exit(stats.unflushed()["row_hit"])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stats.unflushed()["row_hit"])
"""


@pytest.mark.processes
def test_a_forked_child_does_not_count_for_its_parent() -> None:
    found = subprocess.run(
        [sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "1 5" == found.stdout.strip()
