"""What a run is asked to do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.history.names import BREAKS, FAULTS


@dataclass(frozen=True, slots=True)
class Options:
    database: str
    isolation: str
    seconds: float
    reads: int
    kills: int
    faults: tuple[str, ...]
    fault_pause: float
    exhaustive: bool
    life: int
    processes: int
    books: int
    shelves: int
    write_share: float
    linger: float
    batch: int
    breaks: str
    kinds: tuple[str, ...]
    on_outage: str
    seed: int
    report: Path | None
    keep: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """The options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    add = parser.add_argument
    default_database = os.environ.get("ORMCACHE_TEST_DB", "postgres")
    add("--database", choices=("postgres", "mariadb"), default=default_database)
    add(
        "--isolation",
        choices=("read committed", "repeatable read"),
        default="read committed",
        help="of every transaction",
    )
    add("--seconds", type=float, default=0.0, help="run no longer (0: until the rest is met)")
    add("--reads", type=int, default=0, help="run until so many reads were made")
    add("--kills", type=int, default=0, help="and so many processes were killed")
    add(
        "--faults",
        default="all",
        help=f"besides kills: all, none, or some of {', '.join(FAULTS)}",
    )
    add("--fault-pause", type=float, default=1.5, help="mean seconds between two faults")
    add(
        "--exhaustive",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="kill at every point of every kind of operation first",
    )
    add("--life", type=int, default=300, help="operations until a process is killed, 0: never")
    add("--processes", type=int, default=6)
    add("--books", type=int, default=40, help="rows")
    add("--shelves", type=int, default=6, help="values of the partition")
    add("--write-share", type=float, default=0.3, help="writes among writes and batches of reads")
    add("--linger", type=float, default=0.004, help="mean seconds of pauses that widen races")
    add("--batch", type=int, default=20, help="reads in a row")
    add("--break", dest="breaks", choices=BREAKS, default="", help="a product that is wrong")
    add("--kinds", default="", help="only these reads and writes, separated by commas")
    add("--on-outage", choices=("outbox", "raise"), default="", help="ORMCACHE['ON_OUTAGE']")
    add("--seed", type=int, default=int(os.environ.get("ORMCACHE_TEST_SEED", "1")))
    add("--report", type=Path, help="write the figures there, as JSON")
    add("--keep", type=Path, help="keep the logs in this directory")
    found = vars(parser.parse_args(arguments))
    names = found.pop("faults")
    chosen = {"all": FAULTS, "none": ()}.get(names) or tuple(filter(None, names.split(",")))
    if names == "none":
        chosen = ()
    for name in chosen:
        if name not in FAULTS:
            parser.error(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    if not (found["seconds"] or found["reads"] or found["kills"]):
        found["seconds"] = 60.0
    kinds = tuple(filter(None, found.pop("kinds").split(",")))
    return Options(faults=tuple(chosen), kinds=kinds, **found)
