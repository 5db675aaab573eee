"""Empty the cache, or parts of it. Everything is useless at once; then its memory is freed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from ormcache import keys, runtime
from ormcache.exceptions import InvalidationFailed, StoreError
from ormcache.management.names import databases, tables_named
from ormcache.management.output import Output
from ormcache.management.reclaim import Census, walk
from ormcache.management.server import look, warn_of
from ormcache.schema.watched import watched_tables
from ormcache.text import columns
from ormcache.writes.announce import invalidate_tables

_INTERRUPTED = 130


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAMESPACE | app_label | app_label.Model",
        help="What to purge (default: the whole site).",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Change nothing, count what would go."
    )


def handle(options: dict[str, Any], out: Output) -> None:
    names, dry_run = options["names"], options["dry_run"]
    tables = tables_named(names) if names else None
    # Before anything is marked: a server that does not answer is better met here.
    warn_of(look(), out, only_sharing=True)
    if not dry_run:
        _invalidate(tables)
    census = Census()
    progress = out.progress("keys counted" if dry_run else "keys freed")
    try:
        walk(runtime.current(), tables, census, progress, unlink=not dry_run)
    except (KeyboardInterrupt, StoreError) as error:
        progress.end()
        if dry_run:
            raise
        raise _unfinished(error, census) from error
    progress.end()
    _report(census, out, dry_run=dry_run)


def _invalidate(tables: frozenset[str] | None) -> None:
    """From here on nothing stored before is served: two stamps a table, however many its rows."""
    names = sorted(watched_tables() if tables is None else tables)
    try:
        for alias in databases().values():
            invalidate_tables(names, alias)
    except (KeyboardInterrupt, InvalidationFailed) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else error.__cause__
        raise CommandError(
            f"Not everything was purged ({reason}): run it again.",
            returncode=_INTERRUPTED if interrupted else 1,
        ) from error


def _unfinished(error: BaseException, census: Census) -> CommandError:
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = "interrupted" if interrupted else str(error)
    return CommandError(
        "Everything was purged and nothing old is served, but not all memory was freed "
        f"({reason}; {census.total:,} keys freed). The rest expires by itself, or run it again.",
        returncode=_INTERRUPTED if interrupted else 1,
    )


def _report(census: Census, out: Output, *, dry_run: bool) -> None:
    aliases = databases()
    found = sorted(
        ((aliases.get(label, label), table), counts)
        for (label, table), counts in census.tables.items()
    )
    data = {
        "dry_run": dry_run,
        "tables": [
            {"database": database, "table": table, **{kind: counts[kind] for kind in keys.KINDS}}
            for (database, table), counts in found
        ],
        "keys": census.total,
        "kept": census.kept,
    }
    rows: list[list[object]] = [["database", "table", *keys.KINDS]]
    rows += [[*name, *(counts[kind] for kind in keys.KINDS)] for name, counts in found]
    went = "would go" if dry_run else "freed"
    text = columns(rows) if found else []
    text.append(f"{census.total:,} keys {went}, {census.kept:,} marks and leases in use stay.")
    out.result(data, text)
