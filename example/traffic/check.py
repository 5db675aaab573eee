"""Is what the site shows what the database holds, in this process and in another?

Other writers go on meanwhile, so an answer that differs proves nothing by itself. It does when the
database said the same before and after, and at most one write was under way: to change an answer
and change it back takes two. What cannot be decided so is asked again while nobody writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from multiprocessing.connection import Connection

from traffic.gate import Gate
from traffic.questions import answer, answer_from_database

ATTEMPTS = 3
PATIENCE = 120.0
"""Seconds the neighbour may take to answer."""


@dataclass(frozen=True)
class Difference:
    """An answer of the site that is not what the database holds."""

    question: str
    whose: str
    after: str
    lines: list[str]

    def __str__(self) -> str:
        head = f"{self.question} differs for {self.whose} after {self.after}"
        return "\n".join([head, *(f"    {line[:200]}" for line in self.lines[:12])])


class Checker:
    """Compares answers. ``neighbour`` is the line to another member of the crew."""

    def __init__(self, gate: Gate, neighbour: Connection) -> None:
        self.gate = gate
        self.neighbour = neighbour
        self.comparisons = 0
        self.still = 0
        self.differences: list[Difference] = []

    def check(self, question: str, after: str) -> None:
        """Compare one question's answers and note a difference. ``after`` names the write."""
        self.comparisons += 1
        for _ in range(ATTEMPTS):
            ended = self.gate.ended
            truth = answer_from_database(question)
            seen = self._seen(question)
            if self._equal(truth, seen):
                return
            moved = truth != answer_from_database(question) or self.gate.begun - ended > 1
            if not moved:
                break
        else:
            self.still += 1
            with self.gate.closed():
                truth, seen = answer_from_database(question), self._seen(question)
            if self._equal(truth, seen):
                return
        self._note(question, after, truth, seen)

    def _seen(self, question: str) -> dict[str, str]:
        """Asked in both places at once: after a write they race to fill the same cells."""
        self.neighbour.send(question)
        here = answer(question)
        if not self.neighbour.poll(PATIENCE):
            raise RuntimeError(f"no answer from the neighbour within {PATIENCE:.0f} s")
        return {"the writer": here, "its neighbour": self.neighbour.recv()}

    @staticmethod
    def _equal(truth: str, seen: dict[str, str]) -> bool:
        return all(found == truth for found in seen.values())

    def _note(self, question: str, after: str, truth: str, seen: dict[str, str]) -> None:
        for whose, found in seen.items():
            if found != truth:
                diff = unified_diff(
                    truth.splitlines(), found.splitlines(), "database", "site", n=0, lineterm=""
                )
                self.differences.append(Difference(question, whose, after, list(diff)))
