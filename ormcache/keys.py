"""Every Redis key ormcache uses, built in one place.

All keys start with the site's ``NAMESPACE``; what a user can influence (a primary key, a
``cache(key=…)``) stands last, so no input can name a key of another kind or site.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import NamedTuple

# Part of every key: a change of the protocol's bytes must not meet cells of the old one.
FORMAT = b"1"
_LONGEST_SUFFIX = 128
_LONGEST_VIEW = 32
_KINDS = {
    b"gen": "stamp",
    b"lists": "stamp",
    b"rows": "stamp",
    b"col": "stamp",
    b"loose": "stamp",
    b"part": "stamp",
    b"row": "row",
    b"view": "row",
    b"list": "list",
    b"named": "named",
    b"viewed": "named",
    b"lease": "list",
    b"deps": "reverse",
}
KINDS = tuple(dict.fromkeys(_KINDS.values()))
"""The kinds of keys a table has; a reverse key is a sorted set, all others are cells."""


def _part(text: str) -> bytes:
    # A colon inside a part would let one table's key read as another's; a brace would choose the
    # slot on a cluster.
    for special in "%:{}":
        text = text.replace(special, f"%{ord(special):02X}")
    return text.encode()


def _suffix(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST_SUFFIX:
        return raw
    # A digest of its own length can not meet a raw suffix: those are never longer than the limit.
    return b"#" * _LONGEST_SUFFIX + hashlib.blake2b(raw, digest_size=24).hexdigest().encode()


class TableKeys:
    """The keys of one table in one database.

    ``namespace`` is the site's, ``database`` names the database (see ``labels``).
    """

    __slots__ = (
        "_loose",
        "_partition",
        "_row",
        "columns",
        "generation",
        "lists",
        "prefix",
        "rows",
        "table",
    )

    def __init__(self, namespace: str, database: str, table: str) -> None:
        self.table = table
        self.prefix = b":".join((_part(namespace), FORMAT, _part(database), _part(table), b""))
        self.generation = self.prefix + b"gen"
        self.lists = self.prefix + b"lists"
        self.rows = self.prefix + b"rows"
        self.columns = self.prefix + b"col:"
        self._row = self.prefix + b"row:"
        self._loose = self.prefix + b"loose:"
        self._partition = self.prefix + b"part:"

    def row(self, pk: object) -> bytes:
        """The row cell of ``pk`` (an int, str or UUID already normalised by its field)."""
        return self._row + (b"%d" % pk if type(pk) is int else _suffix(str(pk)))

    def row_in_view(self, view: bytes, pk: object) -> bytes:
        """The cell of a row as one view shows it (see ``view_token``)."""
        return self.prefix + b"view:" + view + b":" + self.row(pk)[len(self._row) :]

    def column(self, column: str) -> bytes:
        """The stamp of one column: bumped when any row changes in it."""
        return self.columns + _part(column)

    def loose_column(self, column: str) -> bytes:
        """The stamp of one column for changes in rows whose partitions are not known."""
        return self._loose + _part(column)

    def partition(self, column: str, token: bytes) -> bytes:
        """The stamp of the rows whose ``column`` has the value ``token`` stands for: bumped when
        one comes or goes."""
        return self._partition + _part(column) + b":" + token

    def partition_column(self, column: str, token: bytes, changed: str) -> bytes:
        """The same rows' stamp for changes in the column ``changed``."""
        return self.partition(column, token) + b":" + _part(changed)

    def entry(self, digest: bytes) -> bytes:
        """The list entry of a query by its fingerprint."""
        return self.prefix + b"list:" + digest.hex().encode()

    def named_entry(self, key: str, apart: bytes = b"", view: bytes | None = None) -> bytes:
        """The list entry of a query by the key its developer chose, and by a digest of the values
        it does not stand for, as one view shows it."""
        kind = b"named:" if view is None else b"viewed:" + view + b":"
        return self.prefix + kind + apart.hex().encode() + b":" + _suffix(key)

    def lease(self, entry: bytes) -> bytes:
        """The lease of a list entry by its key: whoever holds it runs the SQL."""
        return self.prefix + b"lease:" + entry[len(self.prefix) :]

    def dependents(self, pk: object) -> bytes:
        """Reverse dependencies: entries that declared the row in ``depends_on``."""
        return self.prefix + b"deps:" + _suffix(str(pk))


def is_in_view(key: bytes) -> bool:
    """Whether a key is that of a row as one view shows it."""
    return key.split(b":", 5)[4:5] == [b"view"]


def is_of_value(stamp: bytes) -> bool:
    """Whether a stamp stands for the rows with one value, of which there are any number."""
    return stamp.split(b":", 5)[4:5] == [b"part"]


def value_token(value: object) -> bytes:
    """A column's value as a part of a key: ``None``, an int, a UUID or text.

    Text is hashed, so that no value can name another partition's key.
    """
    if value is None:
        return b"-"
    if type(value) is int:
        return b"%d" % value
    if type(value) is uuid.UUID:
        return value.hex.encode()
    raw = str(value).encode("utf-8", "surrogatepass")
    return b"~" + hashlib.blake2b(raw, digest_size=16).hexdigest().encode()


def view_token(view: object) -> bytes:
    """What ``ORMCACHE["VIEW"]`` answers as a part of a key. Raises ``TypeError`` for what does not
    name a view."""
    if view is None:
        return b"#none"
    if not isinstance(view, str | int | uuid.UUID):
        raise TypeError(f"a view is named by text, a number or None, not {type(view).__name__}")
    text = str(view)
    if text and text[0] != "#" and len(text) <= _LONGEST_VIEW:
        return _part(text)
    raw = text.encode("utf-8", "surrogatepass")
    return b"#" + hashlib.blake2b(raw, digest_size=16).hexdigest().encode()


def site_prefix(namespace: str) -> bytes:
    """What every key of a site starts with."""
    return _part(namespace) + b":" + FORMAT + b":"


def totals_key(namespace: str) -> bytes:
    """The hash of the counters of all processes of a site."""
    return site_prefix(namespace) + b"stats"


class Parsed(NamedTuple):
    """What a key is about. ``kind`` is one of ``KINDS``."""

    database: str
    table: str
    kind: str


def parse(prefix: bytes, key: bytes) -> Parsed | None:
    """Take a key under the site's ``prefix`` apart; ``None`` if no ``TableKeys`` made it."""
    parts = key.removeprefix(prefix).split(b":", 3)
    if not key.startswith(prefix) or len(parts) < 3 or parts[2] not in _KINDS:
        return None
    return Parsed(_text(parts[0]), _text(parts[1]), _KINDS[parts[2]])


def _text(part: bytes) -> str:
    text = part.decode("utf-8", "replace")
    for special in "{}:%":
        text = text.replace(f"%{ord(special):02X}", special)
    return text


def table_pattern(namespace: str, table: str | None) -> bytes:
    """A SCAN MATCH pattern for the keys of a table in every database, of every table if ``None``.

    It may match keys of other tables too; ``parse`` tells.
    """
    site = glob_escape(site_prefix(namespace))
    return site + b"*" if table is None else site + b"*:" + glob_escape(_part(table)) + b":*"


def glob_escape(raw: bytes) -> bytes:
    """``raw`` as a literal inside a SCAN MATCH pattern."""
    return b"".join(b"\\" + bytes((c,)) if c in b"*?[]\\^" else bytes((c,)) for c in raw)
