"""The page about other people's packages is what their tests declare."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.ecosystem import support
from tests.ecosystem.support import PASSES, Support

_VERSION = re.compile(r"^     - \d[\w.+]*$", re.MULTILINE)


def test_the_page_tells_what_the_tests_try() -> None:
    # The version is that of whoever wrote the page: a release of a package breaks nothing here.
    written = _VERSION.sub("     - 1", support.PAGE.read_text())
    assert support.rendered(lambda package: "1") == written, f"run python -m {support.__name__}"


@pytest.mark.parametrize("name", support.modules())
def test_what_is_declared_is_tried(name: str) -> None:
    source = Path(str(import_module(name).__file__)).read_text()
    assert ".check_support(" in source


def test_a_row_lists_reads_reasons_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Support(
        "some-package",
        cached=(("rows", "x"), ("lists", "x")),
        uncached=(("trees", "x", "it is raw SQL"), ("plain", "x", PASSES)),
        notes="Set ``VIEW``.",
    )
    monkeypatch.setattr(support, "supports", lambda: [declared])
    assert support.rendered(lambda package: "1.2").endswith(
        "   * - some-package\n"
        "     - 1.2\n"
        "     - - rows\n"
        "       - lists\n"
        "     - - trees: it is raw SQL\n"
        "       - plain\n"
        "\n"
        "       Set ``VIEW``.\n"
    )
