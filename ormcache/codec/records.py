"""Records of written rows: what the log of a stamp holds (see ``coherence.log``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ormcache.codec.values import pack, unpack
from ormcache.exceptions import Corrupt, Unrepresentable

MOST_ROWS = 64
"""Rows one record names."""


@dataclass(frozen=True, slots=True)
class Written:
    """Primary keys of the rows one transaction wrote, or several."""

    changed: set[object] = field(default_factory=set)
    inserted: set[object] = field(default_factory=set)
    """Rows that were not there before."""
    deleted: set[object] = field(default_factory=set)
    """Rows that are gone, or were in a savepoint."""


def pack_record(
    changed: Iterable[object], inserted: Iterable[object], deleted: Iterable[object]
) -> bytes | None:
    """The record of what was written; ``None`` for more than a record holds."""
    rows = [list(changed), list(inserted), list(deleted)]
    if sum(map(len, rows)) > MOST_ROWS:
        return None
    try:
        return pack(rows)
    except Unrepresentable:
        return None


def rows_of(records: Sequence[bytes], pk_type: type) -> Written | None:
    """The rows that ``records`` name; ``None`` for what is no record: nobody vouches for what the
    store holds."""
    rows = Written()
    kinds = (rows.changed, rows.inserted, rows.deleted)
    for record in records:
        try:
            found = unpack(record)
        except Corrupt:
            return None
        if type(found) is not list or len(found) != len(kinds):
            return None
        for into, pks in zip(kinds, found, strict=True):
            if type(pks) is not list or not all(_is_key(pk, pk_type) for pk in pks):
                return None
            into.update(pks)
    return rows


def _is_key(pk: object, pk_type: type) -> bool:
    """Whether a database takes it for a key of that type."""
    if type(pk) is int:
        return pk_type is int and -(2**63) <= pk < 2**63
    return type(pk) is pk_type and not (type(pk) is str and "\0" in pk)
