"""A run of the machine: databases made, batches of examples, the report."""

from __future__ import annotations

import time

import hypothesis
from django.conf import settings
from django.db import connection
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import CacheMachine, Difference
from tests.plugins.redis_server import RedisServer

STEPS = 40
"""Of one example."""
BATCH = 25
"""Examples between two looks at the clock."""


def run(server: RedisServer, seed: int, steps: int, seconds: float | None, *, shrink: bool) -> int:
    """The exit status: 1 for a difference, or when nothing was answered from the cache."""
    settings.ORMCACHE = {"URL": server.url, "NAMESPACE": "machine"}
    CacheMachine.server = server
    tally = CacheMachine.tally
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])]
    begun = time.monotonic()
    if seconds is not None:
        CacheMachine.ends = begun + seconds
    try:
        while tally.steps < steps and time.monotonic() < CacheMachine.ends:
            _batch(seed + tally.examples, phases)
    except Difference as difference:
        print(f"DIFFERENCE after {tally.steps} steps: {difference}")
        return 1
    finally:
        print(tally.report())
        print(f"{time.monotonic() - begun:.0f} seconds")
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    return 0 if tally.hits else 1


def _batch(seed: int, phases: list[hypothesis.Phase]) -> None:
    run_state_machine_as_test(
        hypothesis.seed(seed)(CacheMachine),
        settings=hypothesis.settings(
            max_examples=BATCH,
            stateful_step_count=STEPS,
            phases=phases,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
