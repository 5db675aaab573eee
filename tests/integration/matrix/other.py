"""A second process with connections of its own, which reads when it is told to."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, TypeAlias

from tests.integration.matrix.values import Reads, evaluate

ROOT = Path(__file__).resolve().parent.parent.parent.parent


Answers: TypeAlias = dict[str, tuple[list[Any], bool]]


def answers(reads: Reads, times: int = 2) -> Answers:
    """Each read's answers, and whether the cache alone gave them.

    Read twice unless it did: once as the write left it, once as the first reading refilled it.
    Once suffices if only what the cache holds afterwards matters.
    """
    from ormcache.stats import counters

    found = {}
    for name, read in reads.items():
        before = _misses(counters)
        got = [evaluate(read)]
        is_hit = before == _misses(counters)
        if times == 2 and not is_hit:
            got.append(evaluate(read))
        found[name] = (got, is_hit)
    return found


def _misses(counters: Any) -> int:
    return int(sum(counters[name] for name in ("row_miss", "list_miss", "uncached", "bypassed")))


class Other:
    """The helper process, driven over its standard streams."""

    def __init__(self, redis_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.matrix.other"],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "ORMCACHE_TEST_REDIS": redis_url,
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, names: list[str], times: int = 2) -> None:
        """Tell it to read these; ``take`` has the answers."""
        assert self._process.stdin is not None
        pickle.dump((names, times), self._process.stdin)
        self._process.stdin.flush()

    def take(self) -> Answers:
        assert self._process.stdout is not None
        found: Answers | str = pickle.load(self._process.stdout)
        assert not isinstance(found, str), f"there:\n{found}"
        return found

    def close(self) -> None:
        self._process.communicate()


def _serve() -> None:
    import django

    django.setup()
    from tests.integration.matrix.reads import READS

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever is printed must not get between the answers.
    stdin = io.BufferedReader(os.fdopen(os.dup(0), "rb", buffering=0))
    while stdin.peek(1):
        names, times = pickle.load(stdin)
        found: Answers | str
        try:
            found = answers({name: READS[name] for name in names}, times)
        except Exception:
            found = traceback.format_exc()
        pickle.dump(found, out)
        out.flush()


if __name__ == "__main__":
    _serve()
