"""A circuit breaker: after a failure, calls are refused at once until a probe succeeds."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("ormcache")


class Breaker:
    """Closed: calls pass. Open: they are refused, until one caller probes.

    ``first`` and ``longest`` are seconds: the pause doubles with every failed probe. ``probe``:
    the seconds after which a probe that has not reported is taken for dead.
    """

    def __init__(self, first: float = 0.25, longest: float = 10.0, probe: float = 2.0) -> None:
        self._first = first
        self._probe = probe
        self._longest = longest
        self._pause = first
        self._retry_at = 0.0
        self.is_open = False

    def allows(self) -> bool:
        """Whether a call may go out now."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        # This caller probes; until it reports, the others keep waiting. Without a lock, which an
        # interrupt could leave behind: at worst two probe.
        self._retry_at = now + self._probe
        return True

    def refuses(self) -> bool:
        """Whether an open breaker would let no call out now."""
        return time.monotonic() < self._retry_at

    def succeeded(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._pause = self._first
        logger.warning("ormcache.store.up: the store answers again, reads use it from now on")

    def failed(self, error: BaseException) -> None:
        was_open, self.is_open = self.is_open, True
        if was_open:
            self._pause = min(self._pause * 2, self._longest)
        self._retry_at = time.monotonic() + self._pause
        if not was_open:
            logger.error("ormcache.store.down: reads go to the database: %s", error)
