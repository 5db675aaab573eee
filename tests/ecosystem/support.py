"""What is cached beside each package of others, as data that the package's tests try.

``python -m tests.ecosystem.support`` writes the page of the how-to guides. It has to run where the
packages are installed, as the page names their versions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "how-to" / "third-party.rst"
HEAD = HERE / "third-party-head.rst"

PASSES = "passes the cache by"
"""The reason of a read that never asks the cache: its model or manager is a plain one."""


@dataclass(frozen=True, slots=True)
class Support:
    """A row of the table, kept in the module that tries it: ``SUPPORT``, or several in
    ``SUPPORTS``.

    ``package``: its name on PyPI. ``cached``: words for the reader and an expression of the site.
    ``uncached``: the same, and some words of the logged reason (``PASSES`` where none is logged).
    ``notes``: what the reader has to know besides, in reStructuredText.
    """

    package: str
    cached: tuple[tuple[str, str], ...] = ()
    uncached: tuple[tuple[str, str, str], ...] = ()
    notes: str = ""


def modules() -> list[str]:
    """The test modules that declare support."""
    return [
        f"tests.ecosystem.{path.stem}"
        for path in sorted(HERE.glob("test_*.py"))
        if re.search(r"^SUPPORTS?\b", path.read_text(), re.MULTILINE)
    ]


def supports() -> list[Support]:
    """All that is declared, by name of the package."""
    found = [each for name in modules() for each in _declared(vars(import_module(name)))]
    return sorted(found, key=lambda each: each.package.casefold())


def _declared(names: dict[str, Any]) -> tuple[Support, ...]:
    return names["SUPPORTS"] if "SUPPORTS" in names else (names["SUPPORT"],)


def rendered(version_of: Callable[[str], str] = version) -> str:
    """The page."""
    return HEAD.read_text() + "".join(_row(each, version_of) for each in supports())


def _row(support: Support, version_of: Callable[[str], str]) -> str:
    uncached = [
        words if reason == PASSES else f"{words}: {reason}"
        for words, _, reason in support.uncached
    ]
    cells = (
        [support.package],
        [version_of(support.package)],
        _bullets([words for words, _ in support.cached]),
        [*_bullets(uncached), *([""] if uncached and support.notes else []), support.notes],
    )
    lines = []
    for number, cell in enumerate(cells):
        first, *rest = cell or [""]
        lines.append(f"   {'*' if number == 0 else ' '} - {first}")
        lines += [f"       {line}" for line in rest]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _bullets(items: list[str]) -> list[str]:
    return [f"- {item}" for item in items]


if __name__ == "__main__":
    PAGE.write_text(rendered())
    print(f"wrote {os.path.relpath(PAGE)}")
