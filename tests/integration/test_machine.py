"""A short run of the state machine over random schemas, reads and writes, in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.plugins.redis_server import PROGRAM, program_version
from tests.plugins.seed import SEED

ROOT = Path(__file__).resolve().parent.parent.parent
# Whichever comes first ends the run.
SHORT = ("--steps", "600", "--seconds", "25")


@pytest.mark.faults
@pytest.mark.processes
@pytest.mark.redis_server
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.skipif(program_version() is None, reason=f"no program {PROGRAM}")
def test_every_read_equals_the_database_after_random_writes() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.machine"]
    done = subprocess.run(
        [*command, "--database", settings.TEST_DB, "--seed", str(SEED), *SHORT],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # It fails when a read differs, and when no read was answered from the cache.
    assert 0 == done.returncode, done.stdout
