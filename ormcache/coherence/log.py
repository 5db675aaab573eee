"""The log of a stamp: which rows were written since an entry was stored under it.

A stamp only says that something has changed. Its log says what: the step that marks a stamp also
adds a record, which names the rows its transaction wrote, and the record of the mark that drops a
stamp bears the nonce of that stamp. So whoever holds an old stamp finds the record that bears its
nonce, and from there on everything that came after it, or else does not find it and knows nothing.

Nothing of it has to be believed about time or place. A log without gaps since a stamp is one that
still holds that stamp's nonce: records are added at the end and forgotten from the start, every
mark on the stamp adds one or ends the log, and a stamp that goes in another way (evicted, flushed)
leaves its nonce nowhere. A release that finds its mark lost ends the log: stamps were made while
nothing told of the write, and later marks may have put their nonces into the log.
"""

from __future__ import annotations

from ormcache.cells import NONCE_SIZE

MOST_RECORDS = 128
"""Records of one log; an entry that was not read for longer is simply invalid."""

MOST_RECORD_BYTES = 2048
"""Of one record, so of a log a quarter of a megabyte: some hundred rows by their numbers."""

LOG_MS = 3_600_000

END = b""
"""Stands for the record of a write whose rows are not known: it ends the log."""


def since(nonce: bytes, log: object) -> list[bytes] | None:
    """The records from the one that bears ``nonce`` on; ``None`` when it is not there."""
    if type(log) is not list:
        return None
    for position, record in enumerate(log):
        if record.startswith(nonce):
            return [each[NONCE_SIZE:] for each in log[position:]]
    return None
