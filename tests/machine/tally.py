"""What a run has done, to be printed at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ormcache import get_stats


@dataclass
class Tally:
    """``steps`` are rules that ran, ``compared`` reads held against the database."""

    steps: int = 0
    examples: int = 0
    reads: int = 0
    compared: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def report(self) -> str:
        stats = get_stats()
        hits = stats["row_hit"] + stats["list_hit"]
        asked = hits + stats["row_miss"] + stats["list_miss"]
        lines = [
            f"{self.steps} steps in {self.examples} examples",
            f"{self.reads} reads, compared {self.compared} times with the database",
            f"{hits} hits of {asked} ({100 * hits / max(asked, 1):.1f} %): "
            f"{stats['list_hit']} lists, {stats['row_hit']} rows; {stats['uncached']} uncached",
            "writes: " + _counted(self.writes),
            "refused by the database or by Django: " + _counted(self.refused),
            "counters: " + ", ".join(f"{name} {count}" for name, count in stats.items() if count),
        ]
        return "\n".join(lines)

    @property
    def hits(self) -> int:
        stats = get_stats()
        return stats["row_hit"] + stats["list_hit"]


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.most_common()) or "none"
