"""Tests of Django that differ where every model is cached, each with the reason."""

from __future__ import annotations

EXPECTED: dict[str, str] = {}
