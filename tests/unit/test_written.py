"""What a statement gives to which columns."""

from __future__ import annotations

from typing import Any

import pytest

from ormcache.writes.pending import UNKNOWN
from ormcache.writes.sql.written import written

ON = ' RETURNING "t"."id"'


@pytest.mark.parametrize(
    ("expected", "sql", "params"),
    [
        ([{"a": 1}], 'UPDATE "t" SET "a" = %s WHERE "t"."id" = %s', (1, 2)),
        ([{"a": 1, "b": None}], 'UPDATE "t" SET "a" = %s, "b" = NULL', (1,)),
        ([{"a": 1}], "UPDATE `t` SET `t`.`a` = _binary %s WHERE `x` LIKE %s ESCAPE '\\'", (1, 2)),
        ([{"a": 1}], 'UPDATE "t" SET "a" = (%s)::bigint', (1,)),
        ([{"a": 1}], 'UPDATE "t" SET "a" = %s::timestamp with time zone', (1,)),
        ([{"a": [1]}], 'UPDATE "t" SET "a" = %s::varchar[] WHERE "b" = %s', ([1], 2)),
        ([{"a": UNKNOWN}], 'UPDATE "t" SET "a" = %s::varchar(3)', ("abcd",)),
        ([{"a": UNKNOWN}], 'UPDATE "t" SET "a" = %s::date::text', (1,)),
        ([{"a": UNKNOWN}], 'UPDATE "t" SET "a" = upper(%s)', ("x",)),
        ([{"a": UNKNOWN}], 'UPDATE "t" SET "a" = %s || %s', ("x", "y")),
        ([{"a": UNKNOWN, "b": 2}], 'UPDATE "t" SET "a" = "t"."a" + %s, "b" = %s', (1, 2)),
        (
            [{"a": UNKNOWN, "b": 3}],
            'UPDATE "t" SET "a" = CASE WHEN "t"."id" IN (%s, 7) THEN %s END, "b" = %s',
            (1, 2, 3),
        ),
        (
            [{"a": UNKNOWN, "b": 2}],
            'UPDATE "t" SET "a" = (SELECT "x", "y" FROM "u" WHERE "z" = %s), "b" = %s',
            (1, 2),
        ),
        ([{"a": UNKNOWN, "b": 2}], 'UPDATE "t" SET "a" = ARRAY[%s, 1], "b" = %s', (1, 2)),
        ([{"a": UNKNOWN, "b": 2}], 'UPDATE "t" SET "a" = "t"."a" %% %s, "b" = %s', (1, 2)),
        ([{"a": 1}, {"a": 2}], 'INSERT INTO "t" ("a") VALUES (%s), (%s)' + ON, (1, 2)),
        ([{"a": 1, "b": 2}], "INSERT INTO `t` (`a`, `b`) VALUES (%s, _binary %s)", (1, 2)),
        ([{"id": UNKNOWN}, {"id": None}], 'INSERT INTO "t" ("id") VALUES (DEFAULT), (NULL)', ()),
        (
            [{"a": 1, "b": 3}, {"a": 2, "b": 4}],
            'INSERT INTO "t" ("a", "b") SELECT * FROM UNNEST((%s)::integer[], (%s)::varchar[])'
            + ON,
            ([1, 2], [3, 4]),
        ),
        (
            [{"a": UNKNOWN, "b": 3}],
            'INSERT INTO "t" ("a", "b") VALUES (ST_Point(%s, %s), %s)',
            (1, 2, 3),
        ),
        ([{"a": 1}], 'INSERT OR IGNORE INTO "t" ("a") VALUES (%s)', (1,)),
        ([{"a": 1}], 'INSERT INTO "t" ("a") VALUES (%s) ON CONFLICT DO NOTHING', (1,)),
        ([{"a": 1}], "INSERT IGNORE INTO `t` (`a`) VALUES (%s)", (1,)),
        ([{"a": UNKNOWN}], "INSERT IGNORE INTO `t` (`a`) VALUES (%s)", ("1",)),
    ],
)
def test_values(expected: Any, sql: str, params: Any) -> None:
    statement = written(sql)
    assert statement is not None
    assert "t" == statement.table
    assert expected == statement.rows(params)


@pytest.mark.parametrize(
    ("expected", "tail"),
    [
        ((), ""),
        ((), " ON CONFLICT DO NOTHING"),
        (
            ("a", "b"),
            ' ON CONFLICT("c") DO UPDATE SET "a" = EXCLUDED."a", "b" = EXCLUDED."b"' + ON,
        ),
        (("a",), ' ON CONFLICT("c") DO UPDATE SET "a" = "t"."a" + 1 WHERE "t"."a" > 1'),
        (("a",), ' AS new ON DUPLICATE KEY UPDATE "a" = new."a"'),
        (("a", "b"), ' ON DUPLICATE KEY UPDATE "a" = VALUES("a"), "b" = VALUE("b")'),
    ],
)
def test_what_an_upsert_replaces(expected: tuple[str, ...], tail: str) -> None:
    statement = written('INSERT INTO "t" ("a", "b") VALUES (%s, %s)' + tail)
    assert statement is not None
    assert expected == statement.replaced


@pytest.mark.parametrize(
    ("expected", "where"),
    [
        ([2], ' WHERE "t"."id" = %s'),
        ([2, 3], ' WHERE "t"."id" IN (%s, %s)'),
        ([2], ' WHERE "t"."id" IN (%s)' + ON),
        (None, ' WHERE ("t"."id" = %s AND "t"."a" = %s)'),
        (None, ' WHERE "t"."id" = %s OR "t"."a" = %s'),
        (None, ' WHERE "t"."id" > %s'),
        (None, ' WHERE "u"."id" = %s'),
        (None, ' WHERE "t"."id" = %s + 1'),
        (None, ""),
    ],
)
def test_the_rows_an_update_names(expected: Any, where: str) -> None:
    statement = written('UPDATE "t" SET "a" = ("t"."a" + %s)' + where)
    assert statement is not None
    params = (1, 2, 3)
    found = statement.keys(params)
    assert expected == found


@pytest.mark.parametrize(
    "sql",
    [
        'UPDATE "t" SET "a" = %s; DELETE FROM "t"',
        'UPDATE "t" SET "a" = %s FROM "u"',
        'UPDATE "t" SET "u"."a" = %s',
        'UPDATE "t" SET "a"[1] = %s',
        'UPDATE "t" SET ("a", "b") = (%s, %s)',
        'UPDATE "t" SET "a" = \'x\\\', "b" = %s',
        'UPDATE "t" SET "a" = \'%s\', "b" = %s',
        'UPDATE "t" SET "a" = %(a)s',
        'UPDATE "s"."t" SET "a" = %s',
        'UPDATE "t" "x" SET "a" = %s',
        "UPDATE t SET a = %s",
        'UPDATE "t" SET',
        'INSERT INTO "t" ("a") SELECT "a" FROM "u"',
        'INSERT INTO "t" ("a", "b") VALUES (%s)',
        'INSERT INTO "t" ("a") VALUES (%s) ON CONFLICT DO UPDATE SET ("a") = (1)',
        'INSERT INTO "t" VALUES (%s)',
        'DELETE FROM "t"',
        "SELECT 1",
    ],
)
def test_what_cannot_be_told(sql: str) -> None:
    assert written(sql) is None


def test_other_parameters_than_were_read() -> None:
    statement = written('INSERT INTO "t" ("a") VALUES (%s)')
    assert statement is not None
    assert statement.rows((1, 2)) is None
    assert statement.rows({"a": 1}) is None
