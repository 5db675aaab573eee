"""Deterministic text."""

from __future__ import annotations

from random import Random

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstv" for vowel in "aeio"]
NAMES = "Ada Alan Barbara Claude Donald Edith Frances Grace Ida Jean John Karen Mary Radia".split()


def word(rng: Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))


def name(rng: Random) -> str:
    return f"{rng.choice(NAMES)} {word(rng).title()}"


def sentence(rng: Random, words: int = 9) -> str:
    return " ".join(word(rng) for _ in range(words)).capitalize() + "."


def body(rng: Random, sentences: int = 8) -> str:
    return "\n\n".join(sentence(rng, 12) for _ in range(sentences))
