"""How an operation ended: what the application is told, and what it may conclude from it."""

from __future__ import annotations

from django.db import Error, IntegrityError, InterfaceError, OperationalError

from ormcache.exceptions import InvalidationFailed
from tests.history.writes import Withdrawn

COMMITTED = "committed"
ROLLED_BACK = "rolled back"
REFUSED = "refused"
"""By ormcache before the COMMIT, because Redis did not take the marks."""
CONFLICT = "conflict"
"""By the database, in favour of another transaction."""
UNKNOWN = "unknown"
"""The connection to the database broke."""
ERROR = "error"
"""Nothing plain Django would have raised."""

NOT_COMMITTED = (ROLLED_BACK, REFUSED, CONFLICT)

# Serialisation failure, deadlock, lock not available.
_POSTGRES_CONFLICTS = {"40001", "40P01", "55P03"}
# Record changed, lock wait timeout, deadlock.
_MARIADB_CONFLICTS = {1020, 1205, 1213}
# Class 08, admin shutdown, crash shutdown, cannot connect now, protocol violation of a cut reply.
_POSTGRES_LOST = {"57P01", "57P02", "57P03"}
# Interrupted, connection was killed, cannot connect, gone away, lost, commands out of sync.
_MARIADB_LOST = {1053, 1317, 1927, 2002, 2003, 2006, 2013, 2014, 2055}


def outcome_of(error: BaseException) -> str:
    """What ``error``, raised by an operation, says about it."""
    if isinstance(error, Withdrawn):
        return ROLLED_BACK
    if isinstance(error, InvalidationFailed):
        return REFUSED
    if isinstance(error, IntegrityError):
        return CONFLICT
    if not isinstance(error, Error):
        return ERROR
    code = _code(error)
    if code in _POSTGRES_CONFLICTS or code in _MARIADB_CONFLICTS:
        return CONFLICT
    return UNKNOWN if _is_lost(error, code) else ERROR


def _is_lost(error: Error, code: object) -> bool:
    if isinstance(error, InterfaceError):
        return True
    if code in _POSTGRES_LOST or code in _MARIADB_LOST:
        return True
    # psycopg gives no code where the connection itself failed.
    return isinstance(error, OperationalError) and code is None


def _code(error: Error) -> object:
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return state
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else None
