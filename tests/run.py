"""Runs the tests on a machine that has only Python: ``python3 tests/run.py [pytest options]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.bootstrap import run

# A driver is installed only for the database asked for: MariaDB's needs a compiler.
DRIVERS = {"postgres", "mariadb"} & {os.environ.get("ORMCACHE_TEST_DB", "sqlite")}

if __name__ == "__main__":
    both_cores = ["-n", "2", "--dist", "loadfile"]
    sys.exit(run(["-m", "pytest", *both_cores, *sys.argv[1:]], extras={"test", *DRIVERS}))
