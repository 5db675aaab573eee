"""Plain models to build queries on: nothing here is cached."""

from __future__ import annotations
