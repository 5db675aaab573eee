"""The bytes of a cell: one Redis string key in one of a few states.

A cell is absent, or one of::

    V epoch8 fingerprint8 stamp13* nonce8 soft8 cost4 payload   a value (row cell or list entry)
    L epoch8 nonce8 time16                                      a reader's lease
    S scheme4 nonce8                                            a stamp or generation
    W (token16 deadline13)*                                     writers' marks

The part a reader compares stands first and is contiguous, so "is this a hit" is one
``bytes.startswith``. A row cell carries one stamp, its table's generation; a list entry carries
every stamp it relies on.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

VALUE = b"V"
LEASE = b"L"
STAMP = b"S"
MARK = b"W"

EPOCH_SIZE = 8
FINGERPRINT_SIZE = 8
NONCE_SIZE = 8
SCHEME_SIZE = 4
STAMP_SIZE = 1 + SCHEME_SIZE + NONCE_SIZE
TOKEN_SIZE = 16

LEFT = b"left"
"""What the token of marks begins with that nobody will take off: they are left to expire."""

_DEADLINE_SIZE = 13
_TAIL = struct.Struct(">8sdf")
_HEAD_SIZE = 1 + EPOCH_SIZE + FINGERPRINT_SIZE


def new_nonce() -> bytes:
    """Eight random bytes; two writers never choose the same."""
    return os.urandom(NONCE_SIZE)


def new_token() -> bytes:
    """Sixteen random bytes that name one transaction in the cells it marks."""
    return os.urandom(TOKEN_SIZE)


def new_left_token() -> bytes:
    """The same for marks that are left to expire."""
    return LEFT + os.urandom(TOKEN_SIZE - len(LEFT))


def value_prefix(epoch: bytes, fingerprint: bytes, stamps: bytes) -> bytes:
    """What a value must start with to be a hit now."""
    return VALUE + epoch + fingerprint + stamps


def value_offset(prefix: bytes) -> int:
    """Where the payload of a value that starts with ``prefix`` begins."""
    return len(prefix) + _TAIL.size


def pack_value(prefix: bytes, nonce: bytes, soft: float, cost: float, payload: bytes) -> bytes:
    """A value cell. ``soft`` is the time of soft expiry (Unix seconds), ``cost`` the seconds the
    fill took; both serve early refresh."""
    return prefix + _TAIL.pack(nonce, soft, cost) + payload


def pack_lease(epoch: bytes, nonce: bytes) -> bytes:
    """A lease as it is asked for; the server adds the time when it grants it."""
    return LEASE + epoch + nonce


def new_stamp(scheme: bytes = bytes(SCHEME_SIZE)) -> bytes:
    """A stamp nobody has seen; the server puts its time into the nonce when it takes it. That of a
    table's lists names the ``scheme`` of partitions whose stamps its writers keep (see
    ``schema.Scheme``)."""
    return STAMP + scheme + new_nonce()


def scheme_of(stamp: bytes | None) -> bytes | None:
    """The scheme a stamp names; ``None`` when it is absent, marked or no stamp."""
    if stamp is None or len(stamp) != STAMP_SIZE or stamp[:1] != STAMP:
        return None
    return stamp[1 : 1 + SCHEME_SIZE]


def nonce_of(stamp: bytes) -> bytes:
    """What makes a stamp this one and no other."""
    return stamp[-NONCE_SIZE:]


def stamp_of_value(value: Value) -> bytes:
    """What stands for a row cell among stamps: its nonce, which every fill renews."""
    return STAMP + bytes(SCHEME_SIZE) + value.nonce


def stamps_of(value: Value) -> list[bytes]:
    """The stamps a value carries, one by one."""
    stamps = value.stamps
    return [stamps[i : i + STAMP_SIZE] for i in range(0, len(stamps), STAMP_SIZE)]


def join_stamps(found: list[bytes | None]) -> bytes | None:
    """The stamps as a value carries them; ``None`` when one is absent, marked or no stamp."""
    for stamp in found:
        if stamp is None or len(stamp) != STAMP_SIZE or stamp[:1] != STAMP:
            return None
    return b"".join(found)  # type: ignore[arg-type]  # no None is left


def is_mark(cell: bytes | None) -> bool:
    return cell is not None and cell[:1] == MARK


def tokens_of(cell: bytes | None) -> list[bytes]:
    """The tokens in a mark, those that have expired included; none in anything else."""
    if cell is None or cell[:1] != MARK:
        return []
    return [cell[i : i + TOKEN_SIZE] for i in range(1, len(cell), TOKEN_SIZE + _DEADLINE_SIZE)]


@dataclass(frozen=True, slots=True)
class Value:
    """A value cell taken apart."""

    epoch: bytes
    fingerprint: bytes
    stamps: bytes
    nonce: bytes
    soft: float
    cost: float
    payload: bytes


def unpack_value(cell: bytes | None, stamps: int = 1) -> Value | None:
    """Take a value that carries ``stamps`` stamps apart; ``None`` when it is not one."""
    start = _HEAD_SIZE + stamps * STAMP_SIZE
    if cell is None or cell[:1] != VALUE or len(cell) < start + _TAIL.size:
        return None
    nonce, soft, cost = _TAIL.unpack_from(cell, start)
    return Value(
        epoch=cell[1 : 1 + EPOCH_SIZE],
        fingerprint=cell[1 + EPOCH_SIZE : _HEAD_SIZE],
        stamps=cell[_HEAD_SIZE:start],
        nonce=nonce,
        soft=soft,
        cost=cost,
        payload=cell[start + _TAIL.size :],
    )
