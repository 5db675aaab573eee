"""Errors of the cache's own work: counted, logged, and kept from the user, whose query goes to
the database as if there were no cache.

What Django itself answers with is nobody's fault here. The work of the cache is kept apart from
what runs for the user, the SQL of a miss and the making of instances, so these errors pass.
"""

from __future__ import annotations

import logging
import os
import traceback

from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error

from ormcache import interrupts
from ormcache.exceptions import ConfigError
from ormcache.stats import counters

logger = logging.getLogger("ormcache")

MOST_KINDS = 100
"""Kinds of errors of which one is logged; those beyond are counted only."""

are_raised = bool(os.environ.get("ORMCACHE_RAISE_FAULTS"))
"""Whether such errors reach the caller, as in the project's own tests."""

_OF_USER = (Error, ConfigError, SynchronousOnlyOperation)
# Where Django opens connections and runs statements; what they give is read elsewhere.
_SENDERS = frozenset({"django.db.backends.base.base", "django.db.backends.utils"})

_logged: set[tuple[type, str]] = set()


def note(error: Exception) -> None:
    """Count an error that the work of the cache was stopped by, and log the first of its kind.

    Raises it again if it is the user's to see: of the database, of a statement that could not be
    sent, of the setting, or a time limit. To be called where the error is handled.
    """
    interrupts.pass_on(error)
    if are_raised or isinstance(error, _OF_USER) or _is_of_statement(error):
        raise error
    counters["analysis_error"] += 1
    kind = (type(error), _place(error))
    if kind not in _logged and len(_logged) < MOST_KINDS:
        _logged.add(kind)
        logger.exception(
            "ormcache.analysis.failed: the query went to the database, and so will others like it"
        )


def _is_of_statement(error: Exception) -> bool:
    """Whether it was raised on the way of a statement to the database, by a driver that cannot
    encode a value, say, or by whoever forbids statements. Sent again it would fail again."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") in _SENDERS for frame in frames)


def _place(error: Exception) -> str:
    """Where it was raised: what tells two faults of one type apart."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f"{frame.filename}:{frame.lineno}" for frame in last)
