"""A lock that nobody keeps: whoever was interrupted while holding it, is replaced.

An exception that a signal handler or another thread raises may strike between any two steps, also
between taking a lock and the ``try`` that gives it back. And a handler may come to the same lock
while the code it interrupts holds it. So nothing here waits without an end, and what is held is
let go of with the call that holds it, or when its time is over.
"""

from __future__ import annotations

import threading
import time
import weakref


class Claim:
    """What a thread holds a lock by, for as long as it keeps this object."""

    __slots__ = ("__weakref__", "over", "thread", "until")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.until = 0.0
        """When others stop minding it (monotonic seconds)."""
        self.over = threading.Event()


class ExpiringLock:
    """Held for ``seconds`` at most. After that it may have two holders for a moment: what it
    guards has to be safe, if dearer, when it is done twice."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: dict[str, weakref.ref[Claim]] = {}

    def take(self, claim: Claim) -> bool:
        """Take the lock unless another holds it. Make the claim before the ``try`` that gives
        it back."""
        now, over = time.monotonic(), claim.over
        claim.until = now + self._seconds
        own = weakref.ref(claim, lambda _: over.set())
        # One step: no two threads see it free.
        held = self._held.setdefault("", own)()
        if held is not claim and (held is None or now >= held.until):
            self._held[""], held = own, claim
        return held is claim

    def give_back(self, claim: Claim) -> None:
        """Safe for a claim that did not take the lock."""
        if self.holder is claim:
            self._held.pop("", None)
        claim.over.set()

    @property
    def holder(self) -> Claim | None:
        held = self._held.get("")
        claim = None if held is None else held()
        return claim if claim is not None and time.monotonic() < claim.until else None
