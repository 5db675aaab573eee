"""``manage.py load``: empty the site and fill it with generated content."""

from __future__ import annotations

import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from traffic.data import batches, generate


class Command(BaseCommand):
    help = "Empty the site and fill it with generated content; the same seed gives the same rows."

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--articles", type=int, default=20_000, help="default: 20000")
        parser.add_argument("--seed", type=int, default=1, help="default: 1")

    def handle(self, *args: Any, articles: int, seed: int, **options: Any) -> None:
        start = time.monotonic()
        call_command("flush", interactive=False, verbosity=0, reset_sequences=True)
        total = 0
        for model, count, rows in generate(articles, seed):
            done = 0
            for batch in batches(rows):
                model._default_manager.bulk_create(batch)
                done += len(batch)
                self._progress(model._meta.verbose_name_raw, done, count)
            total += done
        self.stdout.write(f"loaded {total:,} rows in {time.monotonic() - start:.1f} s")

    def _progress(self, name: str, done: int, count: int) -> None:
        last = done == count
        if self.stdout.isatty():
            self.stdout.write(f"\r  {name:28} {done:7,} of {count:,}", ending="\n" if last else "")
            self.stdout.flush()
        elif last:
            self.stdout.write(f"  {name:28} {count:7,}")
