"""Runs the history checker on the command line. Ends with 1 if the promise was broken."""

from __future__ import annotations

import os
import signal
import sys

from tests.history.options import Options, parse


def main() -> int:
    options = parse(sys.argv[1:])
    _configure(options)
    import django

    django.setup()
    from tests.history import report
    from tests.history.supervisor import run

    # So that whatever was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    data = report.as_data(options, run(options))
    print(report.as_text(data))
    if options.report is not None:
        options.report.write_text(report.as_json(data))
    return 0 if data["holds"] else 1


def _configure(options: Options) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.history.settings"
    os.environ["ORMCACHE_TEST_DB"] = options.database
    os.environ["ORMCACHE_HISTORY_ISOLATION"] = options.isolation
    os.environ["ORMCACHE_HISTORY_NAME"] = f"ormcache_history_{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main())
