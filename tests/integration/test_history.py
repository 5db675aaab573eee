"""Short runs of the history checker: on the product as it is, and on products broken on purpose.

Long runs are started by hand: ``python -m tests.history --help``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.history.names import BREAKS
from tests.plugins.redis_server import PROGRAM, program_version
from tests.plugins.seed import SEED

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [
    pytest.mark.redis_server,
    pytest.mark.faults,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.skipif(program_version() is None, reason=f"no program {PROGRAM}"),
]
LEVELS = ("read committed", "repeatable read")
ROUNDS = 4
"""Rounds in which a broken product has to be found out; one is enough as a rule."""
# Few rows, written often, by processes that stop where it hurts.
NARROW = "--books 4 --shelves 2 --batch 6 --write-share 0.5 --linger 0.02"
# What each of the broken products needs to show its fault, beyond that.
NEEDS = {
    "no-epoch": ("--faults old-rdb --fault-pause 0.3", LEVELS[0]),
    "snapshot-fill": ("--faults none", LEVELS[1]),
}


def history(tmp_path: Path, level: str, arguments: str, seed: int = SEED) -> dict[str, Any]:
    """The figures of one run."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.history", "--isolation", level]
    done = subprocess.run(
        [*command, "--seed", str(seed), "--report", str(report), *shlex.split(arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert report.exists(), done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    found["text"] = done.stdout
    return found


@pytest.mark.postgres
@pytest.mark.mariadb
@pytest.mark.parametrize("level", LEVELS)
def test_the_promise_holds_on_broken_servers(tmp_path: Path, level: str) -> None:
    run = history(
        tmp_path, level, "--reads 4000 --seconds 60 --fault-pause 0.1 --life 80 --no-exhaustive"
    )
    assert run["holds"], run["text"]
    # A run that did nothing would have shown nothing.
    assert run["reads"] > 400
    assert run["hit rate of rows"] > 0
    assert run["hit rate of lists"] > 0
    assert run["hits at the end"] > 0
    assert run["kills"] > 4
    assert len(run["faults"]) > 3


@pytest.mark.postgres
@pytest.mark.mariadb
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_product_is_found_out(tmp_path: Path, name: str) -> None:
    needs, level = NEEDS.get(name, ("--faults none", LEVELS[0]))
    arguments = f"{NARROW} --no-exhaustive --life 0 --reads 3000 --seconds 60 {needs}"
    runs = []
    for round_ in range(ROUNDS):
        runs.append(history(tmp_path, level, f"{arguments} --break {name}", SEED + round_))
        assert 0 == runs[-1]["errors seen by the application"], runs[-1]["text"]
        if runs[-1]["violations"]:
            break
    assert runs[-1]["violations"] > 0, runs[-1]["text"]
    assert not runs[-1]["holds"]
