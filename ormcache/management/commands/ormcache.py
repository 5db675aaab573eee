"""``manage.py ormcache``: purge, stats, inspect, explain, audit and ping."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ormcache.exceptions import OrmcacheError
from ormcache.management import audit, explain, inspect, ping, purge, stats
from ormcache.management.output import Output

_SUBCOMMANDS = {
    "purge": purge,
    "stats": stats,
    "inspect": inspect,
    "audit": audit,
    "explain": explain,
    "ping": ping,
}


class Command(BaseCommand):
    help = "Look at the cache, and empty it."
    # What is wrong elsewhere in the project must not keep anyone from emptying its cache.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        subparsers = parser.add_subparsers(
            dest="subcommand", metavar="|".join(_SUBCOMMANDS), required=True
        )
        for name, module in _SUBCOMMANDS.items():
            text = module.__doc__ or ""
            sub = subparsers.add_parser(name, help=text.partition(".")[0], description=text)
            module.add_arguments(sub)
            sub.add_argument(
                "--format",
                choices=("text", "json"),
                default="text",
                help="What to write to the standard output (default: text).",
            )
            _add_common(sub)

    def handle(self, *args: Any, **options: Any) -> None:
        out = Output(self, options["format"], options["verbosity"])
        try:
            _SUBCOMMANDS[options["subcommand"]].handle(options, out)
        except OrmcacheError as error:
            raise CommandError(str(error)) from error


def _add_common(parser: CommandParser) -> None:
    """Django's own options where people write them: after the subcommand."""
    parser.add_argument("-v", "--verbosity", type=int, choices=range(4), default=SUPPRESS)
    for flag in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(flag, action="store_true", default=SUPPRESS, help=SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        parser.add_argument(option, default=SUPPRESS, help=SUPPRESS)
