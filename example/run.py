"""Shows ormcache at work, on a machine that has only Python: ``python3 example/run.py [options]``.

Makes the database, loads it with generated content and sends visitors and writers through the
site. Options are those of ``manage.py traffic``, and ``--articles`` for the size of the site.
``REDIS_URL`` names a Redis server, ``EXAMPLE_DB=postgres`` takes PostgreSQL; see the settings.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.bootstrap import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument("--articles", default="20000")
    options, traffic = parser.parse_known_args()
    extras = {"hiredis" if os.environ.get("REDIS_URL") else "embedded"}
    if os.environ.get("EXAMPLE_DB") == "postgres":
        extras.add("postgres")
    steps = [
        ["createdb"],
        ["migrate", "--skip-checks", "--verbosity=0"],
        ["load", f"--articles={options.articles}"],
        ["traffic", *traffic],
    ]
    for step in steps:
        if status := run(["example/manage.py", *step], extras):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
