"""Show why a query is cached or not, what it depends on, and what the cache holds of it.

The expression is Python and is run, as by ``manage.py shell -c``, all but its last method: no
query is sent to the database. It starts at ``objects``, and may name Q, F, the aggregates and
functions of django.db.models, every model, datetime and timezone.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS

from ormcache.exceptions import OrmcacheError
from ormcache.management.expression import read
from ormcache.management.names import check_alias, model_named, refuse_uncached
from ormcache.management.output import Output


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="app_label.Model")
    parser.add_argument(
        "expression",
        metavar="EXPRESSION",
        help='For example: "filter(author=5).order_by(\'-created\')[:20]" or "count()".',
    )
    parser.add_argument(
        "--database", default=DEFAULT_DB_ALIAS, metavar="ALIAS", help="An alias of DATABASES."
    )


def handle(options: dict[str, Any], out: Output) -> None:
    using = check_alias(options["database"])
    model = model_named(options["model"])
    refuse_uncached(model, "queries")
    asked = read(options["expression"], model, using)
    try:
        found = asked.queryset.explain_cache(asked.verb, *asked.args, **asked.kwargs)
    except OrmcacheError:
        raise
    except Exception as error:
        # Django says best what is wrong with the arguments.
        raise CommandError(f"{type(error).__name__}: {error}") from error
    out.result(found.as_dict(), str(found).splitlines())
