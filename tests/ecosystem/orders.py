"""The orders of bases in which a model is made cached."""

from __future__ import annotations

import re

import pytest

ORDERS = pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
"""Whether ``CachedModel`` stands before the other base."""

_BASES = re.compile(r"\(CachedModel, (\w+)\)")


def in_order(models: str, is_first: bool) -> str:
    """The source of models whose bases are ``(CachedModel, Other)``, or the other way round."""
    return models if is_first else _BASES.sub(r"(\1, CachedModel)", models)
