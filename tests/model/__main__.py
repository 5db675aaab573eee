"""``python -m tests.model``: explore scenarios with larger budgets than the tests do."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

import django


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--scenario", default="all", help="a part of its name, or all")
    parser.add_argument("--kills", type=int, help="how many actors may be killed")
    parser.add_argument("--deep", action="store_true", help="split every pipeline; no limit")
    parser.add_argument("--trace", action="store_true", help="print an example of each window")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.model.explore import explore
    from tests.model.scenarios import ALL

    wrong = 0
    for name, checked in ALL.items():
        if options.scenario not in ("all", name) and options.scenario not in name:
            continue
        scenario = checked.scenario
        if options.kills is not None:
            scenario = replace(scenario, faults={**scenario.faults, "kill": options.kills})
        if options.deep:
            scenario = replace(scenario, split=True)
        verdict = explore(scenario, 10**9 if options.deep else 2_000_000)
        print(verdict, flush=True)
        if verdict.error:
            print(verdict.error, verdict.trace, sep="\n")
        elif options.trace and verdict.example:
            print(verdict.example)
        # More kills may turn a window into something stuck, but nothing else into anything.
        same_faults = scenario.faults == checked.scenario.faults
        wrong += not checked.agrees(verdict) if same_faults else bool(verdict.error)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
