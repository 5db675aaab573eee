"""What a read is, what it relies on, and how it is answered.

``stable`` declares an expression of one's own deterministic, so that queries with it are cached.
"""

from __future__ import annotations

from ormcache.query.declared import stable

__all__ = ["stable"]
