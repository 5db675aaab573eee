"""The documentation tells of every scenario and every variant, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.scenarios import ALL, NEVER, STUCK, WINDOW
from tests.model.test_variants import VARIANTS

pytestmark = [pytest.mark.thorough]

PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/verification.rst"
VERDICTS = {
    "never stale": NEVER,
    "window": WINDOW,
    "window until a look": WINDOW,
    "window, then stuck": STUCK,
}


def rows_of(heading: str) -> Iterator[list[str]]:
    """The rows of the table whose first column has this heading."""
    lines = iter(PAGE.read_text().splitlines())
    for line in lines:
        if line.split("  ")[0] == heading:
            break
    widths = [len(rule) for rule in next(lines).split()]
    starts = [sum(widths[:i]) + 2 * i for i in range(len(widths))]
    for line in lines:
        if line.startswith("="):
            return
        yield [
            line[start : start + width].strip() or line[start:].strip()
            for start, width in zip(starts, widths, strict=True)
        ]


def test_the_scenarios() -> None:
    told = {name: VERDICTS[verdict] for name, _, verdict in rows_of("scenario")}
    assert told == {name: each.expected for name, each in ALL.items()}


def test_the_sum_of_their_states() -> None:
    together = sum(int(states.replace(",", "")) for _, states, _ in rows_of("scenario"))
    assert f"Together {together:,} states." in PAGE.read_text()


def test_the_variants() -> None:
    told = {name: stays == "yes" for name, _, stays in rows_of("variant")}
    assert told == {each.name: each.stuck for each in VARIANTS}
