"""The scenarios, and what has to be found in each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ormcache.conf import OUTBOX
from tests.model import programs as p
from tests.model.explore import Read, Scenario, Verdict, Write
from tests.model.replay import DEAR, Setting

Actor = Read | Write

NEVER = "never stale"
WINDOW = "stale while a mark is lost"
STUCK = "stuck after a mark is lost and its writer ends without a release"


@dataclass(frozen=True)
class Checked:
    """A scenario and its verdict: ``NEVER``, or the residual window that has to be found, and
    nothing outside it."""

    scenario: Scenario
    expected: str = NEVER

    def agrees(self, verdict: Verdict) -> bool:
        return not verdict.error and self.expected == found(verdict)


def found(verdict: Verdict) -> str:
    if verdict.stuck:
        return STUCK
    return WINDOW if verdict.stale else NEVER


ONE = ((1, 1, "old"),)
TWO = ((1, 1, "old"), (2, 2, "two"))

ROW = p.row(1)
OF_ONE = p.count(article=1)
OF_TWO = p.count(article=2)
OF_BOTH = p.count("both", article=2, text="a")
OF_TEXT = p.count("text", text="a")

W1 = p.update("W1", 1, text="a")
W2 = p.update("W2", 1, text="b")
MOVE1 = p.update("W1", 1, article=2)
MOVE2 = p.update("W2", 1, article=3)
R1 = p.named("R1", ROW)
R2 = p.named("R2", ROW)
L1 = p.named("L1", OF_ONE)
L2 = p.named("L2", OF_TWO)
LT = p.named("L1", OF_TEXT)
RAW = "text = 'a'", "article_id = 1"

MOVES = MOVE1, MOVE2
READS = L1, L2
OF_BOTH_PARTS = OF_ONE, OF_TWO
RAW1 = p.statement("W1", *RAW, atomic=True)
ALONE1 = p.statement("W1", *RAW, atomic=False)
ALONE2 = p.statement("W2", "text = 'b'", "article_id = 1", atomic=False)


def on_row(name: str, *actors: Actor, expected: str = NEVER, **faults: int) -> Checked:
    """Actors around one row that is cached at the beginning."""
    scenario = Scenario(name, actors, ONE, (ROW,), warm=(ROW,), faults=faults)
    return Checked(scenario, expected)


def on_list(
    name: str,
    *actors: Actor,
    probes: tuple[Read, ...] = (OF_ONE,),
    expected: str = NEVER,
    is_warm: bool = True,
    split: bool = False,
    **faults: int,
) -> Checked:
    """Actors around lists of a table with one row, all cached at the beginning."""
    warm = (ROW, *probes) if is_warm else ()
    scenario = Scenario(
        name, actors, ONE, probes, warm=warm, faults=faults, split=split, has_lists=True
    )
    return Checked(scenario, expected)


def snapshots(checked: Checked) -> Checked:
    """The same, where a transaction goes on seeing what its first statement saw."""
    setting = Setting(isolation="repeatable read")
    return replace(checked, scenario=replace(checked.scenario, setting=setting))


def cold(checked: Checked) -> Checked:
    """The same with nothing in the cache at the beginning."""
    return replace(checked, scenario=replace(checked.scenario, warm=()))


def viewed(checked: Checked) -> Checked:
    """The same where the project names the view of every connection."""
    setting = checked.scenario.setting._replace(view="tenant")
    return replace(checked, scenario=replace(checked.scenario, setting=setting))


def costing(checked: Checked, seconds: float) -> Checked:
    """The same, where SQL seems to take so long."""
    setting = Setting(cost=seconds)
    return replace(checked, scenario=replace(checked.scenario, setting=setting))


ROWS = [
    on_row("row", W1, W2, R1, R2),
    on_row("row, a kill", W1, W2, R1, R2, kill=1),
    on_row("row, 2 kills", W1, W2, R1, kill=2),
    on_row("row, uncertain commits", W1, W2, R1, unknown=1, refuse=1, kill=1),
    on_row("row, calls without an answer", W1, W2, R1, lose=2),
    on_row("row, calls made twice", W1, W2, R1, retry=1),
    on_row("row, a lease expires", W1, W2, R1, R2, expire=1),
    on_row("row, 2 evictions", W1, W2, R1, evict=2, expected=WINDOW),
    on_row("row, 2 flushes", W1, W2, R1, flush=2, expected=WINDOW),
    on_row("row, marks end early", W1, W2, R1, lapse=1, expected=WINDOW),
    on_row("row, a fail-over", W1, R1, R2, failover=1, expected=WINDOW),
    on_row("row, an eviction and a kill", W1, R1, evict=1, kill=1, expected=STUCK),
    on_row("row, a flush and a kill", W1, R1, flush=1, kill=1, expected=STUCK),
    on_row("row, marks end early and a kill", W1, R1, lapse=1, kill=1, expected=STUCK),
    on_row("row, a fail-over and a kill", W1, R1, failover=1, kill=1, expected=STUCK),
    on_row("row, an eviction and an uncertain commit", W1, R1, evict=1, unknown=1, expected=STUCK),
    on_row("row, an eviction and a call unanswered", W1, R1, evict=1, lose=1, expected=STUCK),
    on_row("row, raw SQL in a transaction, a kill", RAW1, W2, R1, kill=1),
    on_row("row, raw SQL by itself, a kill", ALONE1, W2, R1, kill=1),
    on_row("row, raw SQL by itself, uncertain outcome", ALONE1, W2, R1, unknown=1),
    on_row("row, raw SQL by itself twice, a kill", ALONE1, ALONE2, R1, kill=1),
    snapshots(on_row("row, old snapshots", W1, p.named("S1", p.in_snapshot(1)), R1, kill=1)),
]

VIEWS = [
    viewed(on_row("row in a view", W1, W2, R1, R2)),
    viewed(on_row("row in a view, a kill", W1, W2, R1, R2, kill=1)),
    viewed(on_row("row in a view, calls without an answer", W1, W2, R1, lose=2)),
    viewed(on_row("row in a view, calls made twice", W1, W2, R1, retry=1)),
    viewed(on_row("row in a view, 2 evictions", W1, W2, R1, evict=2, expected=WINDOW)),
    viewed(on_row("row in a view, raw SQL by itself, a kill", ALONE1, W2, R1, kill=1)),
    viewed(on_list("list in a view, a row moves twice", *MOVES, *READS, probes=OF_BOTH_PARTS)),
]

DEPENDENT = Scenario(
    "list that depends on a row",
    (p.update("W1", 2, text="a"), p.update("W2", 2, text="b"), p.named("L1", p.depending(1))),
    TWO,
    (p.depending(1), p.row(2)),
    warm=(p.depending(1),),
    faults={"kill": 1},
    split=False,
    has_lists=True,
)

LISTS = [
    on_list("list, a row moves", MOVE1, *READS, R1, probes=OF_BOTH_PARTS),
    on_list("list, a row moves twice", *MOVES, *READS, probes=OF_BOTH_PARTS),
    on_list("list, a row moves twice, cold", *MOVES, L1, R1, probes=OF_BOTH_PARTS, is_warm=False),
    on_list("list, a row moves twice, a kill", *MOVES, *READS, probes=OF_BOTH_PARTS, kill=1),
    on_list("list, command by command", MOVE1, L1, R1, split=True, is_warm=False),
    on_list("list, uncertain commits", MOVE1, *READS, probes=OF_BOTH_PARTS, unknown=1, refuse=1),
    on_list("list, calls without an answer", MOVE1, L1, R1, lose=1),
    on_list("list, calls made twice", MOVE1, L1, R1, retry=1),
    on_list("list, an eviction", MOVE1, L1, R1, evict=1, expected=WINDOW),
    on_list("list, a flush", MOVE1, L1, flush=1, expected=WINDOW),
    on_list("list, marks end early", MOVE1, L1, lapse=1, expected=WINDOW),
    on_list("list, a fail-over", MOVE1, L1, failover=1, expected=WINDOW),
    on_list("list, an eviction and a kill", MOVE1, L1, evict=1, kill=1, expected=STUCK),
    on_list("list of a column, a kill", W1, W2, LT, R1, probes=(OF_TEXT, ROW), kill=1),
    on_list(
        "list of instances, a kill",
        MOVE1,
        W2,
        p.named("L1", p.rows_of(1)),
        probes=(p.rows_of(1),),
        kill=1,
    ),
    on_list(
        "list, a bulk update, a kill",
        p.bulk("W1", 1, article=2),
        W2,
        *READS,
        probes=OF_BOTH_PARTS,
        kill=1,
    ),
    on_list("list, raw SQL in a transaction", RAW1, W2, LT, R1, probes=(OF_TEXT, ROW)),
    on_list("list, raw SQL by itself, a kill", ALONE1, W2, LT, probes=(OF_TEXT, ROW), kill=1),
    on_list(
        "list, raw SQL that names its row",
        p.naming("W1", 1, "a"),
        p.update("W2", 1, article=2),
        p.named("L1", OF_BOTH),
        probes=(OF_BOTH,),
    ),
    on_list(
        "list, an insert and a delete, a kill",
        p.insert("W1", 1, "new"),
        p.delete("W2", 1),
        L1,
        probes=(OF_ONE, p.count()),
        kill=1,
    ),
    on_list(
        "list, a save, a kill", p.save("W1", 1, 2, "new"), W2, L1, R1, probes=(OF_ONE, ROW), kill=1
    ),
    Checked(DEPENDENT),
]

SAME = L1, p.named("L2", OF_ONE)

ELECTIONS = [
    on_list("election, cold", MOVE1, *SAME, is_warm=False),
    costing(on_list("election, a row moves twice", *MOVES, *SAME), 1.0),
    costing(on_list("election, a kill", MOVE1, *SAME, kill=1), 1.0),
    costing(on_list("election, a lease expires", MOVE1, *SAME, expire=1), 1.0),
    costing(on_list("election, calls without an answer", MOVE1, *SAME, lose=1), 1.0),
    on_list("election, calls made twice", MOVE1, L1, is_warm=False, retry=1),
    costing(on_list("election to refresh", MOVE1, *SAME), DEAR),
]


def noting(checked: Checked) -> Checked:
    """The same with an outbox, and with probes by processes that look into it."""
    scenario = checked.scenario
    setting = scenario.setting._replace(on_outage=OUTBOX)
    probes = (*scenario.probes, *map(p.later, scenario.probes))
    return replace(checked, scenario=replace(scenario, setting=setting, probes=probes))


LATER = p.named("R2", p.later(ROW))
TWICE = p.named("R2", p.after_reading(ROW))
ALERT = p.named("R2", p.after_reading(p.row(2), p.later(ROW)))
OWN = p.named("R2", p.after_writing(W2, ROW))

IN_TURN = Scenario(
    "outbox, marks are refused in turn",
    (W1, p.update("W2", 2, text="b"), ALERT),
    TWO,
    (p.row(2),),
    warm=(ROW, p.row(2)),
    faults={"deny": 2},
    split=False,
)

OUTAGES = [
    noting(each)
    for each in (
        on_row("outbox, Redis is away", W1, R1, TWICE, outage=1),
        on_row("outbox, Redis is away, a kill", W1, TWICE, outage=1, kill=1),
        on_row("outbox, one is cut off", W1, R1, LATER, cut=1, expected=WINDOW),
        on_row("outbox, one is cut off, a kill", W1, LATER, cut=1, kill=1, expected=WINDOW),
        cold(on_row("outbox, one is cut off, cold", W1, R1, LATER, cut=1, expected=WINDOW)),
        on_row("outbox, calls without an answer", W1, R1, LATER, lose=2, expected=WINDOW),
        on_row("outbox, marks are refused", W1, OWN, deny=2, expected=WINDOW),
        on_row(
            "outbox, uncertain commits", W1, LATER, cut=1, unknown=1, refuse=1, expected=WINDOW
        ),
        on_list(
            "outbox, a row moves twice",
            *MOVES,
            p.named("L1", p.later(OF_TWO)),
            probes=(OF_TWO,),
            cut=1,
            expected=WINDOW,
        ),
        Checked(IN_TURN, WINDOW),
    )
]

ALL = {each.scenario.name: each for each in [*ROWS, *VIEWS, *LISTS, *ELECTIONS, *OUTAGES]}
