"""The error a write ends in when its invalidation cannot be promised."""

from __future__ import annotations

from django.db import OperationalError


class InvalidationFailed(OperationalError):
    """Redis did not take the marks of a transaction, so the transaction was not committed.

    A ``DatabaseError``, so that Django rolls the transaction back as for any failed COMMIT.
    """
