"""Every scenario has exactly the verdict that the documentation promises."""

from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.scenarios import ALL, NEVER, Checked, found

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


@pytest.mark.parametrize("checked", ALL.values(), ids=ALL)
def test_a_scenario(checked: Checked) -> None:
    verdict = explore(checked.scenario)
    assert verdict.is_complete
    assert "" == verdict.error, f"{verdict}\n{verdict.error}\n{verdict.trace}"
    assert checked.expected == found(verdict), f"{verdict}\n{verdict.example}"
    # A cache that never answers is never stale.
    assert verdict.hits > 0
    assert checked.expected == NEVER or verdict.example
