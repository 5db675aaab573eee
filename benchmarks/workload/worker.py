"""One process that replays the plan on one system."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from benchmarks.workload.data import Size
from benchmarks.workload.systems import SYSTEMS, NoCache


def start(name: str, place: dict[str, Any]) -> NoCache:
    """Set up Django for a system, with empty tables."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    system = SYSTEMS[name]()
    settings.configure(
        DATABASES={"default": place["database"]},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        **system.settings(place["socket"]),
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    system.start()
    return system


def work(name: str, place: dict[str, Any], line: Connection, job: tuple[int, int, int]) -> None:
    """Set up Django for the system ``name``, fill its database, then replay as many operations as
    each message says; answers with the time they took, and at the end with the tally."""
    system = start(name, place)

    from benchmarks.workload.load import load
    from benchmarks.workload.plan import plan
    from benchmarks.workload.replay import replay, statement_counter
    from benchmarks.workload.tally import Tracker

    size = Size()
    site, operations = plan(*job, size)
    load(site, size)
    tracker = Tracker(system, statement_counter())
    done = 0
    while number := line.recv():
        before = tracker.tally.seconds
        replay(operations[done : done + number], tracker)
        done += number
        line.send(tracker.tally.seconds - before)
    tracker.tally.counters.update(system.counters)
    line.send(tracker.tally)
