"""Random choices, made by ``random`` or by Hypothesis, which can shrink them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choice:
    """``below(n)`` gives a number from 0 to n - 1; the smaller, the simpler."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    def of(self, items: Sequence[T]) -> T:
        """One of ``items``; the simplest stands first."""
        return items[self.below(len(items))]

    def chance(self, of: int) -> bool:
        """True once in ``of`` times."""
        return self.below(of) == of - 1

    def some(self, items: Sequence[T], most: int, least: int = 0) -> list[T]:
        """Some different ones of ``items``, in a random order."""
        rest = list(items)
        count = min(least + self.below(most - least + 1), len(rest))
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def weighted(self, **weights: int) -> str:
        """One of the names, each as often as its weight says."""
        return self.of(_repeated(tuple(weights.items())))


@cache
def _repeated(weights: tuple[tuple[str, int], ...]) -> list[str]:
    return [name for name, weight in weights for _ in range(weight)]


@cache
def _below(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most - 1)


@st.composite
def chosen(draw: Any, make: Callable[..., T], *args: Any) -> T:
    """What ``make(choice, *args)`` makes of choices that Hypothesis draws."""
    return make(Choice(lambda most: 0 if most < 2 else draw(_below(most))), *args)
