"""Names of parametrised tests that are the same in every process."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def named(value: object) -> str:
    """``repr`` without addresses."""
    return _ADDRESS.sub("", repr(value))
