"""``--over-invalidation``: what each write of the matrix made a miss though it did not change."""

from __future__ import annotations

import pytest

EFFECTS: pytest.StashKey[dict[str, tuple[int, int, list[str]]]] = pytest.StashKey()
"""By write: reads compared, reads changed, and names of those lost for nothing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--over-invalidation",
        action="store_true",
        help="list the reads each write of the matrix invalidated without changing them",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    effects = config.stash.get(EFFECTS, {})
    if not effects or not config.getoption("--over-invalidation"):
        return
    terminalreporter.section("reads invalidated without a change")
    for write, (compared, changed, lost) in sorted(effects.items(), key=lambda e: -len(e[1][2])):
        terminalreporter.line(f"{len(lost):4} of {compared} ({changed} changed)  {write}")
        for name in lost:
            terminalreporter.line(f"       {name}")
    pairs = sum(each[0] for each in effects.values())
    differing = sum(each[1] for each in effects.values())
    terminalreporter.line(
        f"{len(effects)} writes, {pairs} pairs compared, {differing} changed, "
        f"{sum(len(each[2]) for each in effects.values())} lost for nothing"
    )
