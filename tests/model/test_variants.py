"""The gate: a checker that does not find every weakened variant proves nothing."""

from __future__ import annotations

import pytest

from tests.model import outbox_variants, variants
from tests.model.explore import explore
from tests.model.variants import Variant

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

VARIANTS = [*variants.VARIANTS, *outbox_variants.VARIANTS]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_weakened_protocol_is_found_out(variant: Variant) -> None:
    with variant.applied():
        verdict = explore(variant.weakened())
        lasting = explore(variant.weakened(), only_stuck=True)
    assert verdict.error, verdict
    assert verdict.trace, verdict
    assert "STALE" in verdict.error + lasting.error, verdict
    assert variant.stuck == ("STUCK" in lasting.error), lasting
