"""Connect to the server and report what is found. Fails if the cache cannot work with it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from statistics import median
from typing import Any

from django.core.management.base import CommandError

from ormcache import cells, runtime
from ormcache.conf import OUTBOX
from ormcache.keys import site_prefix
from ormcache.management.names import databases
from ormcache.management.output import Output
from ormcache.management.server import look, warn_of
from ormcache.outage import table

ROUND_TRIPS = 20


_PROBE_MS = 1000


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none of its own."""


def handle(options: dict[str, Any], out: Output) -> None:
    server = look()
    _try_scripts()
    latency = _latency_us()
    warnings = [*warn_of(server, out), *_warn_of_outboxes(out)]
    data = {**server.data(), "latency_us": latency, "scripts": True, "warnings": warnings}
    text = [
        *server.lines(),
        f"Latency      {latency:,} µs (median of {ROUND_TRIPS} round trips)",
        "Scripts      run",
    ]
    out.result(data, text)


def _warn_of_outboxes(out: Output) -> list[str]:
    """Warn of databases without the table that keeps writes going while the server is away."""
    cache = runtime.current()
    if not cache.store.shared or cache.config.on_outage != OUTBOX:
        return []
    found = []
    for alias in databases().values():
        try:
            if not table.missing_from(alias):
                continue
            message = f"{table.missing_text(alias)} {table.missing_hint(alias)}"
        except Exception as error:  # Every driver has errors of its own.
            message = f"the database {alias!r} does not say whether it has an outbox: {error}"
        out.warn(message)
        found.append(message)
    return found


def _latency_us() -> int:
    """Microseconds of a round trip."""
    store = runtime.current().store
    took = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        store.run([("PING",)])
        took.append(time.perf_counter() - started)
    return round(median(took) * 1_000_000)


def _try_scripts() -> None:
    """Mark and release a key of its own: shows that scripts load and that the user may write.

    Raises ``StoreError`` or ``CommandError``.
    """
    cache = runtime.current()
    key, token = site_prefix(cache.config.namespace) + b"ping", cells.new_token()
    cache.writer.mark(token, [key])
    if cache.writer.release(token, [key]).lost:
        raise CommandError(
            f"{cache.store.where} takes marks but does not keep them: its memory is full, or "
            "another server answers each time."
        )
    # A full server takes marks and nothing else.
    cache.store.run([("STAMP", key, cells.new_stamp(), _PROBE_MS), ("UNLINK", key)])
