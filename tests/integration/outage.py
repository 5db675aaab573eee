"""Getting over an outage of the store."""

from __future__ import annotations

import time

from ormcache import runtime
from tests.testapp.models import Tag


def recover() -> None:
    """Wait until the breaker lets a probe through."""
    breaker = runtime.current().store.breaker
    deadline = time.monotonic() + 20
    while breaker.is_open and time.monotonic() < deadline:
        Tag.objects.filter(name="probe").exists()
        time.sleep(0.01)
    assert not breaker.is_open
