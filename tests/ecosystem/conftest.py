"""The site of each test."""

from __future__ import annotations

from tests.ecosystem.site import site

__all__ = ["site"]
