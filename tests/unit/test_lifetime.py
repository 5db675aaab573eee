"""How long what is stored lives."""

from __future__ import annotations

from ormcache.coherence.reader import lifetime_ms


def test_what_was_filled_together_does_not_expire_together() -> None:
    found = {lifetime_ms(100) for _ in range(200)}
    assert len(found) > 100
    assert min(found) >= 90_000
    assert max(found) <= 100_000
    assert max(found) - min(found) > 5_000


def test_no_expiry_and_the_shortest() -> None:
    assert 0 == lifetime_ms(None)
    assert 1 == lifetime_ms(0.0001)
