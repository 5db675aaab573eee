"""``manage.py traffic``: visitors and writers on the real views, and a check after every write."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from traffic import crew, report
from traffic.job import Traffic


class Command(BaseCommand):
    help = "Visit and change the site from several processes, and compare it with the database."
    requires_system_checks = ()
    _done, _said = 0, 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=int, default=2, help="default: 2")
        parser.add_argument("--writes", type=int, default=100, help="default: 100")
        parser.add_argument("--requests", type=int, help="page visits; default: 30 for each write")
        parser.add_argument("--seconds", type=float, default=3600, help="stop after so many")
        parser.add_argument("--seed", type=int, default=1, help="default: 1")

    def handle(self, *args: Any, **options: Any) -> None:
        writes, requests = options["writes"], options["requests"]
        url = str(settings.ORMCACHE["URL"])
        traffic = Traffic(
            members=max(options["processes"], 1),
            visits=30 * writes if requests is None else requests,
            writes=writes,
            seconds=options["seconds"],
            seed=options["seed"],
            threads=url.startswith("memory:"),
        )
        if traffic.threads:
            self.stdout.write(
                "No REDIS_URL: the embedded store belongs to one process and other processes\n"
                "would not learn of its writes, so the traffic runs in threads of this one. That\n"
                "shows that the pages are right; for the speed, name a Redis server in REDIS_URL."
            )
        start = time.monotonic()
        try:
            tally = crew.run(traffic, self._progress)
        except crew.CrewFailed as failure:
            raise CommandError(str(failure)) from None
        wall = time.monotonic() - start
        kind = "thread" if traffic.threads or traffic.members == 1 else "process"
        for line in report.lines(tally, _setting(traffic, url), f"another {kind}", wall):
            self.stdout.write(line)
        for line in report.why_slower(traffic.threads):
            self.stdout.write(line)
        if tally.differences:
            raise CommandError("the site does not show what the database holds")

    def _progress(self, done: int, total: int) -> None:
        if done == self._done:
            return
        self._done = done
        text = f"  {done:,} of {total:,} visits and writes"
        if self.stdout.isatty():
            self.stdout.write(f"\r{text}", ending="\n" if done == total else "")
            self.stdout.flush()
        elif time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self.stdout.write(text)


def _setting(traffic: Traffic, url: str) -> str:
    members = f"{traffic.members} {'threads' if traffic.threads else 'processes'}"
    address = urlsplit(url)
    # Without the user and password.
    place = address.netloc.rpartition("@")[2] or address.path
    store = "the embedded store" if traffic.threads else f"Redis at {place}"
    return f"{members}, {connection.display_name}, {store}"
