"""Every error ormcache raises, in one place."""

from __future__ import annotations

from django.db import OperationalError


class OrmcacheError(Exception):
    """Base of every error raised by ormcache."""


class ConfigError(OrmcacheError, ValueError):
    """A setting or an option is wrong; the text names it and how to mend it."""


class Unrepresentable(OrmcacheError):
    """A value has no exact encoding, so what holds it is not cached."""


class Corrupt(OrmcacheError):
    """Bytes read from the store do not decode; the read counts as a miss."""


class Uncacheable(OrmcacheError):
    """A query cannot be cached; ``reason`` says why in words for the developer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreError(OrmcacheError):
    """The store could not be reached or refused a command."""


class InvalidationFailed(OperationalError):
    """Redis did not take the marks of a transaction, so the transaction was not committed.

    A ``DatabaseError``, so that Django rolls the transaction back as for any failed COMMIT.
    """
