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
_KINDS = {
    b"gen": "stamp",
    b"lists": "stamp",
    b"rows": "stamp",
    b"col": "stamp",
    b"loose": "stamp",
    b"part": "stamp",
    b"row": "row",
    b"list": "list",
    b"named": "named",
    b"held": "reverse",
    b"deps": "reverse",
}
KINDS = tuple(dict.fromkeys(_KINDS.values()))
"""The kinds of keys a table has; a reverse key is a sorted set, all others are cells."""


def _part(text: str) -> bytes:
    # A colon inside a part would let one table's key read as another's.
    return text.replace("%", "%25").replace(":", "%3A").encode()


def _suffix(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST_SUFFIX:
        return raw
    # A digest of its own length can not meet a raw suffix: those are never longer than the limit.
    return b"#" * _LONGEST_SUFFIX + hashlib.blake2b(raw, digest_size=24).hexdigest().encode()


class TableKeys:
    """The keys of one table in one database.

    ``namespace`` is the site's, ``database`` names the database (see ``databases.label``).
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

    def column(self, column: str) -> bytes:
        """The stamp of one column: bumped when any row changes in it."""
        return self.columns + column.encode()

    def loose_column(self, column: str) -> bytes:
        """The stamp of one column for changes in rows whose partitions are not known."""
        return self._loose + column.encode()

    def partition(self, column: str, token: bytes) -> bytes:
        """The stamp of the rows whose ``column`` has the value ``token`` stands for: bumped when
        one comes or goes."""
        return self._partition + _part(column) + b":" + token

    def partition_column(self, column: str, token: bytes, changed: str) -> bytes:
        """The same rows' stamp for changes in the column ``changed``."""
        return self.partition(column, token) + b":" + changed.encode()

    def entry(self, digest: bytes) -> bytes:
        """The list entry of a query by its fingerprint."""
        return self.prefix + b"list:" + digest.hex().encode()

    def named_entry(self, key: str) -> bytes:
        """The list entry of a query by the key its developer chose."""
        return self.prefix + b"named:" + _suffix(key)

    def holders(self, pk: object) -> bytes:
        """Reverse dependencies: entries whose pointers hold the row."""
        return self.prefix + b"held:" + _suffix(str(pk))

    def dependents(self, pk: object) -> bytes:
        """Reverse dependencies: entries that declared the row in ``depends_on``."""
        return self.prefix + b"deps:" + _suffix(str(pk))


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
    return part.decode("utf-8", "replace").replace("%3A", ":").replace("%25", "%")


def table_pattern(namespace: str, table: str | None) -> bytes:
    """A SCAN MATCH pattern for the keys of a table in every database, of every table if ``None``.

    It may match keys of other tables too; ``parse`` tells.
    """
    site = glob_escape(site_prefix(namespace))
    return site + b"*" if table is None else site + b"*:" + glob_escape(_part(table)) + b":*"


def glob_escape(raw: bytes) -> bytes:
    """``raw`` as a literal inside a SCAN MATCH pattern."""
    return b"".join(b"\\" + bytes((c,)) if c in b"*?[]\\^" else bytes((c,)) for c in raw)
