"""One seed for everything random in a run; ``ORMCACHE_TEST_SEED`` repeats it."""

from __future__ import annotations

import os
import random

import hypothesis
import pytest

# Through the environment, so that worker processes draw from the same seed.
SEED = int(os.environ.setdefault("ORMCACHE_TEST_SEED", str(random.SystemRandom().getrandbits(32))))

# Deadlines measure the machine, not the code.
hypothesis.settings.register_profile("ormcache", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ormcache")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


@pytest.fixture
def rng() -> random.Random:
    """Random numbers that the seed in the header brings back."""
    return random.Random(SEED)
