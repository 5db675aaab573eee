"""What people write in ``cache(…)`` and what the word for it is here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from ormcache.conf import timeout_seconds
from ormcache.schema.options import TIMEOUT_WORDS

_LONGEST_KEY = 10_000
_OPTIONS = ("key", "timeout", "depends_on")
_MEANT = {
    "timeout": TIMEOUT_WORDS,
    "depends_on": "tags tag tables models deps dependencies depends dependency on parents".split(),
    "key": "name id cache_key fingerprint label prefix version extra".split(),
}
_NOT_NEEDED = {
    "ops": "Every read of a CachedModel is cached, whatever its kind: leave it out.",
    "lock": "Of all readers that miss a list one runs its SQL: leave it out.",
    "write_only": "Write reset() to run the SQL and overwrite the cached list.",
    "enabled": "Write nocache() to go to the database.",
    "using": "Write using(…), as without a cache.",
}


def check_words(wrong: Iterable[str]) -> None:
    """Raise ``TypeError`` if ``cache()`` was given any option it does not take."""
    for name in wrong:
        raise TypeError(
            f"cache() got an unexpected keyword argument {name!r}. {_advice(name)}"
            "It takes key, timeout and depends_on."
        )


def check_key(key: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless it is the key of a list, or ``None``."""
    if key is None:
        return
    if not isinstance(key, str):
        is_span = isinstance(key, int | float | timedelta) and not isinstance(key, bool)
        advice = f" For a timeout write cache(timeout={key!r})." if is_span else ""
        raise TypeError(f"cache(key=…) must be a string, not {type(key).__name__}.{advice}")
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ValueError(f"cache(key=…) must have 1 to {_LONGEST_KEY} characters, not {len(key)}.")


def read_timeout(timeout: Any) -> float | None:
    """Seconds. Raises ``ValueError``."""
    try:
        return timeout_seconds(timeout)
    except ValueError as error:
        raise ValueError(f"cache(timeout=…) {error}") from None


def _advice(name: str) -> str:
    word = name.lower()
    if word in _NOT_NEEDED:
        return f"{_NOT_NEEDED[word]} "
    meant = next((option for option, words in _MEANT.items() if word in words), None)
    if meant is None:
        close = difflib.get_close_matches(word, _OPTIONS, n=1)
        meant = close[0] if close else None
    return f"Did you mean {meant}=…? " if meant else ""
