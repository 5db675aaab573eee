"""When calls to a store that did not answer are let out again."""

from __future__ import annotations

import pytest

from ormcache.store import breaker as module
from ormcache.store.breaker import Breaker


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_calls_pass_until_one_fails(clock: Clock) -> None:
    breaker = Breaker()
    assert all(breaker.allows() for _ in range(3))
    breaker.failed(OSError())
    clock.now += 0.2
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()


def test_one_probes_at_a_time(clock: Clock) -> None:
    """However long it takes: to connect and to be answered may be a wait each."""
    breaker = Breaker()
    breaker.failed(OSError())
    clock.now += 0.3
    assert breaker.allows()
    clock.now += 0.8
    assert breaker.refuses()
    assert not breaker.allows()
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(3))


def test_a_probe_that_never_reports_is_replaced(clock: Clock) -> None:
    breaker = Breaker(probe=2.0)
    breaker.failed(OSError())
    clock.now += 0.3
    assert breaker.allows()
    clock.now += 2.1
    assert breaker.allows()


def test_probes_of_a_silent_server_take_little_of_the_time(clock: Clock) -> None:
    breaker = Breaker()
    breaker.failed(OSError())
    began, probes = clock.now, 0
    while clock.now < began + 600:
        clock.now += 0.01
        if breaker.allows():
            probes += 1
            clock.now += 0.25
            breaker.failed(OSError())
    assert probes * 0.25 / 600 < 0.03


def test_pauses_double_up_to_the_longest_and_start_anew(clock: Clock) -> None:
    breaker = Breaker(first=1.0, longest=5.0)
    pauses = []
    breaker.failed(OSError())
    for _ in range(5):
        began = clock.now
        while not breaker.allows():
            clock.now += 0.5
        pauses.append(clock.now - began)
        breaker.failed(OSError())
    assert [1, 2, 4, 5, 5] == pauses
    breaker.succeeded()
    breaker.failed(OSError())
    clock.now += 1.0
    assert breaker.allows()
