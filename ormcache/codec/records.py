"""Records of written rows: what the log of a stamp holds (see ``coherence.log``).

There are two kinds. Of most tables a record names the rows by primary key. Of a table that does
nothing but link the rows of two others it names the links by both ends: what changes by one is the
part its ends have in a result, and its own key says nothing of them once it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ormcache.codec.values import pack, unpack
from ormcache.exceptions import Corrupt, Unrepresentable

MOST_ROWS = 64
"""Rows or links one record names."""


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
    return _pack(rows) if sum(map(len, rows)) <= MOST_ROWS else None


def pack_links(columns: Iterable[str], links: Sequence[Any]) -> bytes | None:
    """The record of links that came or went, each by its values of ``columns``; ``None`` for more
    than a record holds."""
    if len(links) > MOST_ROWS:
        return None
    return _pack([list(columns), [list(link) for link in links]])


def _pack(record: list[Any]) -> bytes | None:
    try:
        return pack(record)
    except Unrepresentable:
        return None


def rows_of(records: Sequence[bytes], pk_type: type) -> Written | None:
    """The rows that ``records`` name; ``None`` for what is no record: nobody vouches for what the
    store holds."""
    rows = Written()
    kinds = (rows.changed, rows.inserted, rows.deleted)
    for record in records:
        found = _lists_in(record, len(kinds))
        if found is None or not all(_is_key(pk, pk_type) for pks in found for pk in pks):
            return None
        for into, pks in zip(kinds, found, strict=True):
            into.update(pks)
    return rows


def ends_of(records: Sequence[bytes], column: str, pk_type: type) -> set[object] | None:
    """The values of ``column`` in the links that ``records`` name; ``None`` for what is no such
    record."""
    ends: set[object] = set()
    for record in records:
        found = _lists_in(record, 2)
        if found is None or column not in found[0]:
            return None
        columns, links = found
        position = columns.index(column)
        for link in links:
            if type(link) is not list or len(link) != len(columns):
                return None
            if not _is_key(link[position], pk_type):
                return None
            ends.add(link[position])
    return ends


def _lists_in(record: bytes, number: int) -> list[list[Any]] | None:
    """The ``number`` lists a record consists of."""
    try:
        found = unpack(record)
    except Corrupt:
        return None
    if type(found) is not list or len(found) != number:
        return None
    return found if all(type(each) is list for each in found) else None


def _is_key(pk: object, pk_type: type) -> bool:
    """Whether a database takes it for a key of that type."""
    if type(pk) is int:
        return pk_type is int and -(2**63) <= pk < 2**63
    return type(pk) is pk_type and not (type(pk) is str and "\0" in pk)
