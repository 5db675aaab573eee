"""Run the machine on a database and report. The status is 1 when a read differs from the database,
or when none was answered from the cache."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.plugins.redis_server import RedisServer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.machine", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "mariadb"), default="sqlite")
    parser.add_argument("--steps", type=int, default=3000, help="how many at least")
    parser.add_argument("--seconds", type=float, default=None, help="end after so many, whatever")
    parser.add_argument("--seed", type=int, default=None, help="that of a run to be repeated")
    parser.add_argument("--schemas", type=int, default=24, help="how many different ones")
    parser.add_argument(
        "--no-shrink", action="store_true", help="print a failing example as it was found"
    )
    return parser.parse_args()


def main() -> int:
    given = arguments()
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.machine.settings"
    os.environ["ORMCACHE_TEST_DB"] = given.database
    os.environ["ORMCACHE_TEST_SEED"] = str(seed)
    # A database of its own, also when a test of another run started it.
    os.environ["ORMCACHE_TEST_RUN"] = f"machine_{os.getpid()}"
    os.environ["ORMCACHE_MACHINE_SCHEMAS"] = str(given.schemas)
    print(f"{given.database}, --seed {seed}", flush=True)
    import django

    django.setup()
    from tests.machine.run import run

    with tempfile.TemporaryDirectory(prefix="ormcache-machine-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            return run(server, seed, given.steps, given.seconds, shrink=not given.no_shrink)
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
