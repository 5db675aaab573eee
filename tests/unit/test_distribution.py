"""What the repository promises to those who open it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("path", re.findall(r"<([\w./-]+)>`_", README))
def test_readme_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).is_file()


def test_readme_commands_exist() -> None:
    commands = re.findall(r"^    python3 (\S+)$", README, re.MULTILINE)
    assert ["example/run.py", "tests/run.py"] == commands
    assert all((ROOT / command).is_file() for command in commands)


def test_every_check_is_documented() -> None:
    known = {
        check
        for name in ("conf", "checks")
        for check in re.findall(
            r"ormcache\.[EW]\d{3}", (ROOT / "ormcache" / f"{name}.py").read_text()
        )
    }
    anchors = re.findall(
        r"^\.\. _(.*):$", (ROOT / "docs" / "reference" / "checks.rst").read_text(), re.MULTILINE
    )
    assert sorted(known) == sorted(anchors)


def test_the_package_is_typed() -> None:
    assert (ROOT / "ormcache" / "py.typed").is_file()
