"""Scenarios in which entries are kept after writes that change nothing in them, because the logs
of their stamps say which rows were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.model import database
from tests.model import programs as p
from tests.model.explore import Read, Scenario
from tests.model.scenarios import (
    NEVER,
    STUCK,
    WINDOW,
    Actor,
    Checked,
    cold,
    costing,
    noting,
    snapshots,
)

HERE = ((1, 1, "old"), (2, 1, "two"))
"""Two rows in one partition."""

COUNTED = p.count("text", text="a")
LISTED = p.matching("a")
C1 = p.named("L1", COUNTED)
C2 = p.named("L2", COUNTED)
L1 = p.named("L1", LISTED)

# What changes the result, and what does not; both have the same stamps.
COMES = p.insert("W1", 1, "a")
PASSES = p.insert("W2", 1, "b")
ENTERS = p.update("W1", 1, text="a")
CHANGES = p.update("W2", 2, text="b")
MOVES = p.update("W2", 1, article=2)
BOTH = p.count("both", article=2, text="a")
OLD = p.count("text here", text="old", article__lt=2)
LEAVES = p.update("W1", 1, article=2)
FORGETS = p.update("W2", 1, text="b")
RAW = p.statement("W1", "text = 'a'", "id = 1", atomic=True)


def kept(
    name: str,
    *actors: Actor,
    probes: tuple[Read, ...] = (COUNTED,),
    rows: database.Contents = HERE,
    warm: Sequence[Read] = (),
    expected: str = NEVER,
    split: bool = False,
    **faults: int,
) -> Checked:
    """Actors around an entry that some of the writes leave right. What the probes read is cached
    at the beginning, and ``warm``."""
    scenario = Scenario(
        f"kept, {name}",
        actors,
        rows,
        probes,
        warm=(*probes, *warm),
        faults=faults,
        split=split,
        has_lists=True,
    )
    return Checked(scenario, expected, keeps=True)


def of_list(name: str, *actors: Actor, expected: str = NEVER, **faults: int) -> Checked:
    """The same around a list of instances; the old rows are known."""
    warm = p.row(1), p.row(2)
    checked = kept(name, *actors, probes=(LISTED,), warm=warm, expected=expected)
    return replace(checked, scenario=replace(checked.scenario, faults=faults))


def in_small_records(checked: Checked) -> Checked:
    """The same, where two rows are too many for a record."""
    scenario = checked.scenario
    setting = scenario.setting._replace(most_rows=1)
    return replace(checked, scenario=replace(scenario, setting=setting))


COUNTS = [
    kept("inserts", COMES, PASSES, C1, C2),
    cold(kept("inserts, cold", COMES, PASSES, C1)),
    kept("inserts, command by command", COMES, PASSES, C1, split=True),
    kept("inserts, a kill", COMES, PASSES, C1, kill=1),
    kept("inserts, 2 kills", COMES, PASSES, kill=2),
    kept("inserts, uncertain commits", COMES, PASSES, C1, unknown=1, refuse=1),
    kept("inserts, calls without an answer", COMES, PASSES, C1, lose=1),
    kept("inserts, calls made twice", COMES, PASSES, C1, retry=1),
    kept("inserts, an eviction", COMES, PASSES, C1, evict=1, expected=WINDOW),
    kept("inserts, a flush", COMES, PASSES, C1, flush=1, expected=WINDOW),
    kept("inserts, marks end early", COMES, PASSES, C1, lapse=1, expected=WINDOW),
    kept("inserts, a fail-over", COMES, PASSES, C1, failover=1, expected=WINDOW),
    kept("inserts and raw SQL", RAW, PASSES, C1, kill=1),
    kept("marks end early and a kill", COMES, C1, lapse=1, kill=1, expected=STUCK),
    kept("unknown old rows", ENTERS, MOVES, p.named("L1", BOTH), probes=(BOTH,), kill=1),
    kept("two updates", LEAVES, FORGETS, p.named("L1", OLD), probes=(OLD,), warm=(p.row(1),)),
    cold(kept("an insert and its update", COMES, p.update("W2", 3, text="b"), C1)),
    snapshots(kept("old snapshots", COMES, PASSES, p.after_its_snapshot(C1), C2)),
    costing(kept("inserts, an election", COMES, PASSES, C1, C2), 1.0),
    noting(kept("inserts, an outbox", COMES, PASSES, C1, cut=1, expected=WINDOW)),
]

LISTS = [
    of_list("updates", ENTERS, CHANGES, L1),
    of_list("updates, a kill", ENTERS, CHANGES, L1, kill=1),
    of_list("updates, marks end early", ENTERS, CHANGES, L1, lapse=1, expected=WINDOW),
    in_small_records(
        kept(
            "updates, too many for a record",
            p.exchange("W1", 1, 3, "a"),
            CHANGES,
            L1,
            probes=(LISTED,),
            rows=(*HERE, (3, 1, "x")),
            warm=(p.row(1), p.row(2), p.row(3)),
        )
    ),
    of_list("updates, an exchange", ENTERS, p.exchange("W2", 1, 2, "a"), L1),
    of_list("an update and a delete", ENTERS, p.delete("W2", 2), L1, kill=1),
]

LOGS = {each.scenario.name: each for each in [*COUNTS, *LISTS]}
