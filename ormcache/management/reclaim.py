"""Walking over the site's keys: counting them, and giving their memory back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ormcache import keys
from ormcache.management.output import Progress
from ormcache.runtime import Runtime

Table = tuple[str, str]
"""A database label and a table."""


@dataclass(slots=True)
class Census:
    """Keys by table and kind; ``kept`` are marks and leases, which stay."""

    tables: dict[Table, Counter[str]] = field(default_factory=dict)
    kept: int = 0

    @property
    def total(self) -> int:
        return sum(counts.total() for counts in self.tables.values())

    def kinds(self) -> dict[str, int]:
        """The number of keys of each kind over all tables."""
        return {kind: sum(counts[kind] for counts in self.tables.values()) for kind in keys.KINDS}


def walk(
    cache: Runtime,
    tables: frozenset[str] | None,
    census: Census,
    progress: Progress,
    *,
    unlink: bool,
) -> None:
    """Note in ``census`` what can go, of these tables in every database (of all if ``None``), and
    with ``unlink`` let it go.

    Only keys that ormcache makes under this site's namespace are looked at. Raises ``StoreError``
    when the store fails on the way; what is noted by then is right.
    """
    prefix = keys.site_prefix(cache.config.namespace)
    only = next(iter(tables)) if tables is not None and len(tables) == 1 else None
    pattern = keys.table_pattern(cache.config.namespace, only)
    for batch in cache.store.scan(pattern):
        known = [(key, found) for key in batch if (found := keys.parse(prefix, key)) is not None]
        wanted = [(key, found) for key, found in known if tables is None or found.table in tables]
        if wanted:
            _take(cache, wanted, census, unlink=unlink)
            progress.at(census.total)


def _take(
    cache: Runtime,
    wanted: Iterable[tuple[bytes, keys.Parsed]],
    census: Census,
    *,
    unlink: bool,
) -> None:
    wanted = list(wanted)
    commands = [("RECLAIM", key, b"1" if unlink else b"0") for key, _ in wanted]
    _, gone = cache.store.run(commands)
    for (_, found), went in zip(wanted, gone, strict=True):
        if went:
            counts = census.tables.setdefault((found.database, found.table), Counter())
            counts[found.kind] += 1
        else:
            census.kept += 1
