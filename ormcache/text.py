"""Lines, keys, sizes and spans of time as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN_KEY = re.compile(rb"[\w:.~#%\[\]\-]+\Z", re.ASCII)


def columns(rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of aligned columns: numbers to the right, all else to the left."""
    if not rows:
        return []
    cells = [[f"{item:,}" if type(item) is int else str(item) for item in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # The first line may be a heading; a line on its own is none.
    body = rows[1:] or rows
    numeric = [all(type(item) is int for item in column) for column in zip(*body, strict=True)]
    lines = []
    for line in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def bytes_text(size: int) -> str:
    """A number of bytes for people."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def ms_text(milliseconds: int) -> str:
    """A span for people; as Redis says it, -1 is no expiry."""
    if milliseconds < 0:
        return "no expiry"
    return f"{milliseconds / 1000:,.1f} s"


def key_text(key: bytes) -> str:
    """A key for people: a text primary key in it may hold what a terminal would obey."""
    text = key.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def cli_text(key: bytes) -> str:
    """A key as the prompt of ``redis-cli`` takes it: quoted where it has to be."""
    if _PLAIN_KEY.match(key):
        return key.decode()
    quoted = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in key
    )
    return f'"{quoted}"'
