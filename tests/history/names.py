"""The names of faults and of broken products, and what reads are bounded by, for those who do not
need Django set up."""

from __future__ import annotations

MISS, HIT = range(2)
"""How a read was answered."""

FIRST = 3
"""Rows of a slice."""
GOOD = 5
"""From so many stars on a book is good; the most are 9."""
BOUND = 20
"""About half of the books have a greater key."""

POLICIES = tuple(
    "noeviction allkeys-lru allkeys-lfu allkeys-random volatile-lru volatile-lfu volatile-random "
    "volatile-ttl".split()
)
FAULTS = (
    *"flush script-flush redis-kill old-rdb debug-sleep client-pause client-kill freeze".split(),
    "fail-over",
    *(f"memory-{policy}" for policy in POLICIES),
    *"redis-cut redis-one-way redis-delay redis-reply-lost".split(),
    *"db-cut db-delay db-commit-lost db-terminate process-stop".split(),
)
BREAKS = tuple(
    "fill-without-lease no-mark release-before-commit no-epoch snapshot-fill late-capture".split()
)
LOSE_MARKS = frozenset(
    {"flush", "redis-kill", "old-rdb", "fail-over", *(f"memory-{policy}" for policy in POLICIES)}
)
"""Faults after which a mark may be gone before its COMMIT: the window told in the docs."""
BREAK_DATABASE = frozenset({"db-cut", "db-delay", "db-commit-lost", "db-terminate"})
"""Faults that an application without a cache sees as well."""
