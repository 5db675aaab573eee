"""After the run: every row and list is read through the cache twice and held against the
database, in a process of its own."""

from __future__ import annotations

import os
import time
import traceback

from ormcache import bypass, runtime
from ormcache.cells import is_mark
from ormcache.stats import counters
from tests.history.children import die_with_parent
from tests.history.models import Book
from tests.history.reads import READS, UNORDERED
from tests.history.records import Log, now
from tests.history.worker import Job, use_store

MARK_SECONDS = 5.5
"""After that no mark is left, whoever set it."""


def compare(job: Job) -> None:
    """Log one record ``settled``: what was compared, what differed, how much was hit at last."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    die_with_parent()
    log = Log(job.directory / "settled.log")
    try:
        use_store(job, 0)
        # What the outbox still holds is replayed before it, and leaves marks.
        READS["row"](1, 1)
        _await_marks()
        _compare(job, log)
    except BaseException:
        log.write("error", now(), "settled", traceback.format_exc())
    finally:
        os._exit(0)


def _await_marks() -> None:
    """Wait until the marks of killed writers have expired."""
    store = runtime.current().store
    deadline = time.monotonic() + MARK_SECONDS
    while time.monotonic() < deadline:
        keys = [key for batch in store.scan(b"*") for key in batch]
        if not any(map(is_mark, store.mget(keys)[1] if keys else ())):
            return
        time.sleep(0.1)


def _compare(job: Job, log: Log) -> None:
    compared, different, hits = 0, [], 0
    # The first round finds what was left in the cache, the second what it filled itself.
    for round_ in range(2):
        before = counters["row_hit"] + counters["list_hit"]
        cached = _everything(job)
        hits = counters["row_hit"] + counters["list_hit"] - before
        with bypass():
            truth = _everything(job)
        for key, answer in truth.items():
            compared += 1
            if cached[key] != answer:
                different.append([round_, key, repr(cached[key]), repr(answer)])
    log.write("settled", now(), compared, different, hits)


def _everything(job: Job) -> dict[str, object]:
    """The answer of every kind of read for every row and shelf."""
    found: dict[str, object] = {}
    for book in {*range(1, job.books + 1), *Book.nocache.values_list("pk", flat=True)}:
        found[f"row {book}"] = READS["row"](book, 1)[1]
    for shelf in range(1, job.shelves + 1):
        for kind, read in READS.items():
            answer = read(shelf, shelf)[1]
            found[f"{kind} {shelf}"] = sorted(answer) if kind in UNORDERED else answer
    return found
