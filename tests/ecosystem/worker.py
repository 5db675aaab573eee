"""One process of a site: reads commands from its input, line by line, and answers each.

Both are JSON. A command has ``code`` and ``do``: ``run`` executes statements, ``read`` evaluates
an expression and answers with its ``repr``, the SQL it took and why it was not cached.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from typing import Any

Answer = dict[str, Any]


def set_up(description: dict[str, Any]) -> dict[str, Any]:
    """Set Django up as described; returns the names that commands may use."""
    if description["patch"]:
        exec(description["patch"], {})
    from django.conf import settings

    settings.configure(**description["settings"])
    from tests.ecosystem.app.apps import SiteConfig

    SiteConfig.source = description["models"]
    import django

    django.setup()
    from django.db import connection, connections, models, transaction

    import ormcache

    def past_the_cache(read: Any) -> Any:
        with ormcache.bypass():
            return read()

    return {
        "_past_the_cache": past_the_cache,
        "connection": connection,
        "connections": connections,
        "models": models,
        "ormcache": ormcache,
        "settings": settings,
        "transaction": transaction,
        **vars(models),
        **vars(sys.modules["tests.ecosystem.app.models"]),
    }


class Reasons(logging.Handler):
    """The last reason why something was not cached."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        logger = logging.getLogger("ormcache")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "uncached" in record.msg:
            self.last = record.getMessage()


def read(code: str, names: dict[str, Any], reasons: Reasons) -> Answer:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    reasons.last = ""
    with CaptureQueriesContext(connections["default"]) as queries:
        try:
            answer: Answer = {"value": re.sub(r" at 0x[0-9a-f]+", "", repr(eval(code, names)))}
        except Exception as error:
            answer = {"value": f"{type(error).__name__}: {error}"}
    return {**answer, "sql": [each["sql"] for each in queries], "reason": reasons.last}


def run(code: str, names: dict[str, Any]) -> Answer:
    try:
        exec(code, names)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    return {}


def main() -> None:
    # What the code prints must not be taken for an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    names = set_up(json.loads(sys.stdin.readline()))
    reasons = Reasons()
    print(json.dumps({}), file=out, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "read":
            answer = read(command["code"], names, reasons)
        else:
            answer = run(command["code"], names)
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
