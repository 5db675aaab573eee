"""What the repository promises to those who open it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ormcache.checks import _docs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


# Where the pages are read, and what they are made of here.
PLACES = {
    r"https://ormcache\.readthedocs\.io/en/stable/(.*)\.html(?:#.*)?": "docs/{}.rst",
    r"https://github\.com/ormcache/ormcache/(?:blob|tree)/main/(.*)": "{}",
}


def source_of(link: str) -> Path:
    for pattern, place in PLACES.items():
        if found := re.fullmatch(pattern, link):
            return ROOT / place.format(found[1])
    raise AssertionError(f"{link} leads out of the project's pages")


@pytest.mark.parametrize("link", re.findall(r"<([^>\s]+)>`_", README))
def test_readme_links_lead_somewhere(link: str) -> None:
    assert source_of(link).exists()


def test_hints_of_checks_lead_to_their_page() -> None:
    page, _, anchor = _docs("ormcache.E001").removeprefix("See ").partition("#")
    assert ROOT / "docs" / "reference" / "checks.rst" == source_of(page)
    # As Sphinx makes an id of a label.
    assert "ormcache-e001" == anchor


def test_the_package_names_its_pages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"Documentation", "Source", "Changelog", "Issues"} == project["urls"].keys()
    assert README.count(project["urls"]["Documentation"])


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
