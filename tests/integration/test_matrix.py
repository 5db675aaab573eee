"""After each kind of write, each kind of read equals the database, here and in another process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests.integration.matrix import harness
from tests.integration.matrix.harness import Matrix, reasons
from tests.integration.matrix.other import Other
from tests.integration.matrix.reads import READS
from tests.integration.matrix.spellings import SPELLINGS, Spelling, stale
from tests.integration.matrix.uncached import PAGE, rendered, uncached
from tests.integration.matrix.writes import WRITES
from tests.plugins.over_invalidation import EFFECTS
from tests.plugins.redis_server import RedisServer, program_version

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.redis_server,
    pytest.mark.slow,
    pytest.mark.thorough,
]


@pytest.fixture
def _django_db_helper() -> None:
    """Instead of pytest-django's: the rows live as long as the module, and are put back by
    ``Snapshot`` in a fraction of the time a flush takes."""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A Redis server for all tests of this module, which ormcache talks to."""
    if program_version() is None:
        pytest.skip("no program redis-server")
    with tempfile.TemporaryDirectory(prefix="ormcache-redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            with override_settings(ORMCACHE={**settings.ORMCACHE, "URL": server.url}):
                yield server.url
        finally:
            server.kill()


@pytest.fixture(scope="module")
def matrix(
    store: str,
    django_db_setup: None,
    django_db_blocker: Any,
    request: pytest.FixtureRequest,
) -> Iterator[Matrix]:
    """The world of all tests of this module; each write begins with the same rows."""
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
        other = Other(store)
        try:
            matrix = Matrix(other)
            yield matrix
            matrix.close()
        finally:
            other.close()
            call_command("flush", interactive=False, verbosity=0)
            connections.close_all()
    request.config.stash[EFFECTS] = {
        name: (effect.compared, effect.changed, effect.lost)
        for name, effect in matrix.effects.items()
    }


def test_what_is_not_cached_and_why(matrix: Matrix) -> None:
    found = {name: "; ".join(why) for name, read in READS.items() if (why := reasons(read))}
    harness.UNCACHED.update(found)
    assert uncached(settings.TEST_DB) == found


def test_the_reference_says_what_is_not_cached() -> None:
    """``python -m tests.integration.matrix.uncached`` brings it up to date."""
    assert rendered() == PAGE.read_text()


@pytest.mark.parametrize("name", WRITES)
def test_a_write_against_every_read(matrix: Matrix, name: str) -> None:
    assert [] == matrix.run(name, WRITES[name])


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_two_spellings_of_one_value(matrix: Matrix, spelling: Spelling) -> None:
    matrix.restore()
    assert [] == list(stale(spelling))


def test_what_no_write_touched_is_as_it_was(matrix: Matrix) -> None:
    assert [] == matrix.rest()
