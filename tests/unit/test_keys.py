"""Keys: what makes them and what takes them apart agree."""

from __future__ import annotations

import pytest

from ormcache.keys import (
    KINDS,
    TableKeys,
    parse,
    site_prefix,
    table_pattern,
    totals_key,
    view_token,
)

KEYS = TableKeys("site", "default", 'a:b%3A"t')
MADE = {
    KEYS.generation: "stamp",
    KEYS.lists: "stamp",
    KEYS.rows: "stamp",
    KEYS.column("a:b"): "stamp",
    KEYS.row(5): "row",
    KEYS.row("x:gen"): "row",
    KEYS.row_in_view(view_token("a:b"), "x:gen"): "row",
    KEYS.entry(b"\x01\x02"): "list",
    KEYS.named_entry("front:1"): "named",
    KEYS.named_entry("front:1", view=view_token("a:b")): "named",
    KEYS.lease(KEYS.entry(b"\x01\x02")): "list",
    KEYS.lease(KEYS.named_entry("front:1")): "list",
    KEYS.dependents("x:y"): "reverse",
}


@pytest.mark.parametrize("key", MADE)
def test_every_key_is_taken_apart_again(key: bytes) -> None:
    assert ("default", 'a:b%3A"t', MADE[key]) == parse(site_prefix("site"), key)


def test_all_kinds_are_known() -> None:
    assert set(KINDS) == set(MADE.values())
    # Whoever adds a kind of key must add it here, or purge does not know it.
    makers = {name for name in vars(TableKeys) if not name.startswith("_")} - {"prefix", "table"}
    assert {
        "column",
        "columns",
        "dependents",
        "entry",
        "generation",
        "lease",
        "lists",
        "loose_column",
        "named_entry",
        "partition",
        "partition_column",
        "row",
        "row_in_view",
        "rows",
    } == makers


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"site",
        b"site:1:",
        b"site2:1:default:t:gen",
        b"site:2:default:t:gen",
        b"site:1:default:t",
        b"site:1:default:t:other:1",
        b"xsite:1:default:t:gen",
        totals_key("site"),
    ],
)
def test_foreign_keys_are_not_taken_apart(key: bytes) -> None:
    assert parse(site_prefix("site"), key) is None


def test_patterns_take_names_literally() -> None:
    assert rb"s\[1\]:1:*:a\*b:*" == table_pattern("s[1]", "a*b")
    assert b"site:1:*" == table_pattern("site", None)


TABLE = 'a:b%3A"t'
