"""What an SQL text may write, as told from its words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ormcache.writes.sql import text
from ormcache.writes.sql.text import Exact, Kind, parse

READS = r"""
SELECT 1
select "a" from "t" where "a" = %s
SELECT * FROM t FOR UPDATE
select * from t for no key update of t nowait
SELECT replace(a, 'x', 'y') FROM t
SELECT "into", "update" FROM "delete"
SELECT 'DELETE FROM t; COMMIT' FROM t
SELECT a FROM t -- DELETE FROM t
SELECT a /* ; DELETE FROM t */ FROM t;
SELECT 1 INTO @x
select a from t into outfile '/tmp/x'
SELECT 'it\'s', "a # b" FROM t
SELECT data #>> '{a}' FROM t
SELECT $$DELETE FROM t$$
(SELECT 1) UNION (SELECT 2)
( ( select 1 ) )
WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE
WITH a AS (SELECT replace(b, 'x', 'y'), truncate(c, 2), insert(d, 1, 2, 'x') FROM t) SELECT 1
WITH a AS (SELECT 'C#', '2fa', 'a -- b') SELECT 'DELETE' FROM a
VALUES (1), (2)
TABLE t
EXPLAIN SELECT * FROM t
EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM t
ANALYZE t
VACUUM t
SHOW CREATE TABLE t
DESCRIBE t
DECLARE c NO SCROLL CURSOR FOR SELECT * FROM t FOR UPDATE
FETCH FORWARD 10 FROM c
COPY t TO STDOUT
COPY (SELECT * FROM t) TO STDOUT
LISTEN x
-- only a comment
/* UPDATE t */
;
"""

WRITES = r"""
INSERT INTO t VALUES (1)
insert ignore into t values (1)
INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2
UPDATE t SET a = 1
update only public . "t" set a = 1
UPDATE `db`.`t` SET a = 1
UPDATE [t] SET a = 1
DELETE FROM "t"
DELETE FROM "public"."t" USING u
DELETE a FROM t a JOIN u b USING (id)
MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE
REPLACE INTO t VALUES (1)
REPLACE t VALUES (1)
INSERT OR REPLACE INTO t VALUES (1)
WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a
COPY t FROM STDIN
COPY t (a, b) FROM '/tmp/x'
COPY (DELETE FROM t RETURNING *) TO STDOUT
LOAD DATA INFILE 'x' INTO TABLE t
REFRESH MATERIALIZED VIEW CONCURRENTLY t
CALL t(1)
DO $$ BEGIN UPDATE t SET a = 1; END $$
DO 'BEGIN UPDATE t SET a = 1; END'
EXECUTE t
EXECUTE IMMEDIATE 'DELETE FROM t'
PREPARE p FROM 'DELETE FROM t'
BEGIN NOT ATOMIC DELETE FROM t; END
SET STATEMENT max_statement_time=1 FOR UPDATE t SET a = 1
IF 1 THEN DELETE FROM t; END IF
CREATE TEMPORARY TABLE t (a int)
DROP TEMPORARY TABLE t
EXPLAIN ANALYZE UPDATE t SET a = 1
EXPLAIN (ANALYZE, VERBOSE) DELETE FROM t
EXPLAIN ANALYZE EXECUTE t
ANALYZE FORMAT=JSON UPDATE t SET a = 1
WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a
WITH a AS (SELECT 1), b AS (UPDATE t SET a = 1) SELECT * FROM a FOR UPDATE
  -- first
  /* second */ ((UPDATE t SET a = 1))
SELECT 1; DELETE FROM t
BEGIN; UPDATE t SET a = 1; COMMIT
SELECT ';'; DELETE FROM t;
SELECT 'a''; b'; DELETE FROM t
/*! DELETE FROM t */
/*!50000 DELETE FROM t */
/*!50000DELETE*/ FROM t
/*M!100100 DELETE FROM t */
/*!99999 SELECT */ DELETE FROM t
SELECT 1 /*! ; DELETE FROM t */
/* /* */ */ DELETE FROM t
# it's
DELETE FROM t
SELECT '\''; DELETE FROM t; -- '
SELECT '\'; DELETE FROM t; --'
SELECT "\""; DELETE FROM t; -- "
SELECT 1 --1; '; DELETE FROM t; '
SELECT $$;'$$; DELETE FROM t
SELECT $a$;'$a$; DELETE FROM t
UPDATE U&"\0074" SET a = 1
UPDATE U&"!0074" UESCAPE '!' SET a = 1
UPDATE [t] SET a = [it's]
UPDATE t SET a = 'not closed
UPDATE t /* not closed
VALUES (1) UNKNOWN; GARBAGE t
"""

SCHEMAS = """
CREATE TABLE t (a int)
CREATE TABLE x AS SELECT * FROM t
ALTER TABLE "t" ADD COLUMN a int
DROP TABLE t
RENAME TABLE t TO u
TRUNCATE t
TRUNCATE TABLE "t", "u";
SELECT * INTO t FROM u
select a, b into temp t from u
SELECT 1INTO t
WITH a AS (SELECT 1) SELECT * INTO t FROM a
EXPLAIN ANALYZE CREATE TABLE x AS SELECT * FROM t
UPDATE u SET a = 1; ALTER TABLE t ADD b int
/*!40000 ALTER TABLE `t` DISABLE KEYS */
CREATE TRIGGER x AFTER UPDATE ON t BEGIN DELETE FROM u; END
LOCK TABLES t WRITE
"""

OTHERS = {
    Kind.BEGIN: """
        BEGIN
        begin;
        BEGIN IMMEDIATE
        START TRANSACTION
        BEGIN TRANSACTION READ ONLY
        XA START 'x'
        SET autocommit = 0
        """,
    Kind.COMMIT: """
        COMMIT
        commit work;
        END
        /* x */ COMMIT
        /*! COMMIT */
        COMMIT PREPARED 'x'
        PREPARE TRANSACTION 'x'
        XA COMMIT 'x'
        BEGIN; COMMIT
        """,
    Kind.ROLLBACK: """
        ROLLBACK
        ABORT
        ROLLBACK WORK
        ROLLBACK PREPARED 'x'
        """,
    Kind.SAVEPOINT: """
        SAVEPOINT "s1_x1"
        RELEASE SAVEPOINT "s1_x1"
        ROLLBACK TO SAVEPOINT "s1_x1"
        ROLLBACK WORK TO s
        """,
    Kind.SESSION: """
        SET statement_timeout = 5
        SET x = 'UPDATE t'
        SET SQL_AUTO_IS_NULL = 0
        SET SESSION autocommit = 1
        SET CONSTRAINTS ALL IMMEDIATE
        RESET work_mem
        PRAGMA foreign_keys = ON
        START REPLICA
        KILL QUERY 5
        DEALLOCATE p
        """,
}


def cases(text: str) -> list[str]:
    """The statements of a table; a line that starts with blanks or ``#`` belongs to the next."""
    found: list[str] = []
    open_lines = ""
    for line in text.strip("\n").split("\n"):
        open_lines += line
        if line.startswith(("  --", "#")):
            open_lines += "\n"
            continue
        if line.strip():
            found.append(open_lines)
        open_lines = ""
    return found


@pytest.mark.parametrize("sql", cases(READS))
def test_reads(sql: str) -> None:
    assert text._READ == parse(sql)


@pytest.mark.parametrize("sql", cases(WRITES))
def test_writes(sql: str) -> None:
    statement = parse(sql)
    assert Kind.WRITE is statement.kind
    assert "t" in statement.identifiers


@pytest.mark.parametrize("sql", cases(SCHEMAS))
def test_changes_of_the_schema(sql: str) -> None:
    statement = parse(sql)
    assert Kind.SCHEMA is statement.kind
    assert "t" in statement.identifiers


@pytest.mark.parametrize(
    ("kind", "sql"), [(kind, sql.strip()) for kind, text in OTHERS.items() for sql in cases(text)]
)
def test_neither_read_nor_write(kind: Kind, sql: str) -> None:
    assert text.Statement(kind) == replace(parse(sql), commits=False, is_sure=True)


@pytest.mark.parametrize(
    ("sql", "is_sure"),
    [
        ("BEGIN", True),
        ("COMMIT; -- done", True),
        ("SET a = 1; SET b = 2", True),
        ("SET a = 'it\\'s'", True),
        ("/*!50000 BEGIN */", False),
        ("SET a = 1; BEGIN", False),
        ("SET a = 'it\\'s'; COMMIT", False),
        ("SET a = 1; SET autocommit = 1", False),
    ],
)
def test_what_a_text_says_of_transactions(sql: str, is_sure: bool) -> None:
    assert parse(sql).is_sure is is_sure


@pytest.mark.parametrize(
    ("sql", "chains"),
    [
        ("COMMIT AND CHAIN", True),
        ("ROLLBACK WORK AND CHAIN", True),
        ("COMMIT AND NO CHAIN", False),
        ("COMMIT -- no CHAIN", False),
        ("ROLLBACK /* AND CHAIN */", False),
    ],
)
def test_a_chain(sql: str, chains: bool) -> None:
    assert parse(sql).chains is chains


def test_a_second_statement_of_a_text_read_differently() -> None:
    """It may be a string, and may be a COMMIT."""
    assert parse(r"SELECT 'it\'s'; COMMIT").kind is Kind.SESSION


@pytest.mark.parametrize(
    ("expected", "sql"),
    [
        ({"update", "t", "set", "a", "b"}, "UPDATE T SET a = 'b'"),
        ({"update", "my table", "set", "a", "b"}, "UPDATE `My Table` SET a = 'b' -- c"),
        ({"update", 'a"b', "set", "x"}, 'UPDATE "a""b" SET x = /* y */ NULL'),
        ({"update", "a.b", "b", "set", "x", "s"}, 'UPDATE "a.b" SET "x" = %s'),
        ({"update", "my table", "my", "table", "set", "x"}, "UPDATE [my table] SET x = ''"),
        ({"update", "straße", "set", "x"}, "UPDATE \"Straße\" SET x = ''"),
    ],
)
def test_identifiers(expected: set[str], sql: str) -> None:
    # Case folding may lengthen a name: both sides of a comparison have to be folded.
    found = parse(sql).identifiers - {"null"}
    assert {name.casefold() for name in expected} == found


@pytest.mark.parametrize(
    ("expected", "sql"),
    [
        (True, "TRUNCATE t"),
        (True, 'TRUNCATE "t" CASCADE;'),
        (True, "DROP TABLE t CASCADE"),
        (True, "SELECT 1; DROP TABLE t CASCADE"),
        (True, "DO $$ BEGIN DROP TABLE t CASCADE; END $$"),
        (False, "DROP TABLE t"),
        (False, 'ALTER TABLE "t" DROP COLUMN "a" CASCADE'),
        (False, "DELETE FROM t"),
        (False, "UPDATE t SET a = 'TRUNCATE'"),
    ],
)
def test_tables_emptied_with_others(expected: bool, sql: str) -> None:
    assert expected is parse(sql).truncates


@pytest.mark.parametrize(
    ("expected", "sql"),
    [
        (True, "BEGIN; UPDATE t SET a = 1"),
        (True, "UPDATE t SET a = 1; START TRANSACTION"),
        (True, "UPDATE t SET a = 1; SET autocommit = 0"),
        (True, "BEGIN NOT ATOMIC START TRANSACTION; DELETE FROM t; END"),
        (True, "DELETE FROM t WHERE a = 'it\\'; BEGIN; -- '"),
        (True, "CREATE FUNCTION x() RETURNS void AS $$$$ LANGUAGE sql; BEGIN; DELETE FROM t"),
        (False, "UPDATE t SET start = 1, begin = 2"),
        (False, 'INSERT INTO "t" ("start") VALUES (1)'),
        (False, "CREATE TABLE t (start int)"),
        (False, "CREATE TRIGGER x AFTER UPDATE ON t BEGIN DELETE FROM u; END"),
        (False, "CREATE PROCEDURE x() BEGIN DELETE FROM t; BEGIN DELETE FROM u; END; END"),
        (False, "CREATE PROCEDURE x() BEGIN START TRANSACTION; DELETE FROM t; COMMIT; END"),
    ],
)
def test_texts_that_leave_a_transaction_open(expected: bool, sql: str) -> None:
    assert expected is parse(sql).begins


ISOLATION = """
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET TRANSACTION READ ONLY
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
set session characteristics as transaction isolation level repeatable read
SET default_transaction_isolation = 'serializable'
SET @@session.tx_isolation = 'SERIALIZABLE'
SET "transaction_isolation" TO serializable
SET TRANSACTION SNAPSHOT '1'
BEGIN ISOLATION LEVEL REPEATABLE READ
START TRANSACTION WITH CONSISTENT SNAPSHOT
PRAGMA read_uncommitted = 1
SELECT set_config('transaction_isolation', %s, false)
"""

VISIBILITY = """
SET search_path TO a
SET LOCAL search_path = a
SET "search_path" TO a
RESET search_path
SET SCHEMA 'a'
SET ROLE a
RESET ROLE
SET SESSION AUTHORIZATION a
SET row_security = off
SET sql_select_limit = 1
SET TIME ZONE 'Asia/Tokyo'
SET LOCAL timezone TO 'UTC'
SET time_zone = '+09:00'
SET @@session.time_zone = '+09:00'
RESET timezone
SET DateStyle = 'German'
SET IntervalStyle TO iso_8601
SET lc_time_names = 'de_DE'
SET SESSION sql_mode = ''
SET NAMES latin1
SET group_concat_max_len = 10
PRAGMA case_sensitive_like = 1
SELECT set_config('TimeZone', 'UTC', false)
USE a
ATTACH DATABASE 'a' AS b
DETACH DATABASE b
ALTER ROLE a SET search_path = b
SELECT set_config('search_path', 'a', false)
SELECT switch_to('search_path', 'a')
SELECT PG_CATALOG.SET_CONFIG('role', 'a', false)
UPDATE pg_settings SET setting = 'a' WHERE name = 'search_path'
"""

CUSTOM = """
SET app.tenant = 'a'
SET "app.tenant" = 'a'
SET LOCAL "app"."tenant" TO 'a'
RESET "app.tenant"
SELECT set_config('app.tenant', 'a', true)
UPDATE pg_catalog.pg_settings SET setting = 'a' WHERE name = 'app.tenant'
DO $$ BEGIN SET app.tenant = 'a'; END $$
DO $$ BEGIN PERFORM set_config('app.tenant', 'a', false); END $$
"""


@pytest.mark.parametrize("sql", cases(CUSTOM))
def test_settings_of_the_application(sql: str) -> None:
    statement = parse(sql)
    assert statement.visibility
    assert statement.only_view
    assert sql.startswith("RESET") or {"app.tenant"} == statement.custom


@pytest.mark.parametrize(
    "sql",
    [
        "SET client_encoding = 'LATIN1'",
        "SET character_set_results = latin1",
        "SET NAMES latin1",
        "USE other",
        "DO $$ BEGIN SET DateStyle = 'German'; END $$",
    ],
)
def test_settings_that_no_view_names(sql: str) -> None:
    statement = parse(sql)
    assert statement.visibility
    assert not statement.only_view


def test_a_setting_named_by_a_parameter() -> None:
    assert parse("SELECT set_config(%s, %s, false)").names_setting_apart
    assert not parse("SELECT set_config('role', %s, false)").names_setting_apart


BOTH = """
RESET ALL
DISCARD ALL
SELECT set_config(%s, %s, false)
SELECT set_config('ro' || 'le', 'a', false)
SELECT set_config/* */('role', 'a', false)
SELECT "set_config"('role', 'a', false)
UPDATE pg_settings SET setting = %s WHERE name = %s
UPDATE "pg_settings" SET "setting" = %s WHERE "pg_settings"."name" = %s
"""


@pytest.mark.parametrize(
    ("isolation", "visibility", "sql"),
    [
        *[(True, False, sql) for sql in cases(ISOLATION)],
        *[(False, True, sql) for sql in cases(VISIBILITY)],
        *[(True, True, sql) for sql in cases(BOTH)],
    ],
)
def test_settings(isolation: bool, visibility: bool, sql: str) -> None:
    statement = parse(sql)
    assert (isolation, visibility) == (statement.isolation, statement.visibility)
    assert Kind.READ is not statement.kind


@pytest.mark.parametrize(
    ("expected", "sql"),
    [
        (("id", 0, 1, ()), 'DELETE FROM "t" WHERE "t"."id" = %s'),
        (("id", 0, 1, ()), "DELETE FROM `t` WHERE `t`.`id` IN (%s)"),
        (("id", 0, 3, ()), 'DELETE FROM "t" WHERE "t"."id" IN (%s, %s, %s)'),
        (("id", 1, 1, ("a",)), 'UPDATE "t" SET "a" = %s WHERE "t"."id" = %s'),
        (("id", 0, 2, ("a",)), 'UPDATE "t" SET "a" = NULL WHERE "t"."id" IN (%s, %s)'),
        (
            ("k", 3, 2, ("a", "b", "c", "d")),
            "UPDATE `t` SET `a` = %s, `b` = NULL, `c` = _binary %s, `d` = %s"
            " WHERE `t`.`k` IN (%s, %s)",
        ),
        (
            ("id", 2, 1, ("a", "b")),
            'UPDATE "t" SET "a" = %s::jsonb, "b" = %s::timestamp with time zone[]'
            ' WHERE "t"."id" = %s RETURNING "t"."id", "t"."a"',
        ),
        (("", 0, 0, ()), 'INSERT INTO "t" ("a") VALUES (%s)'),
        (("", 0, 0, ()), 'INSERT INTO "t" ("id") VALUES (DEFAULT), (NULL) RETURNING "t"."id"'),
        (("", 0, 0, ()), "INSERT INTO `t` (`a`, `b`) VALUES (%s, _binary %s), (%s, %s)"),
        (
            ("", 0, 0, ()),
            'INSERT INTO "t" ("a", "b") SELECT * FROM UNNEST((%s)::integer[], (%s)::varchar[])'
            ' RETURNING "t"."id"',
        ),
    ],
)
def test_statements_that_name_their_rows(
    expected: tuple[str, int, int, tuple[str, ...]], sql: str
) -> None:
    verb = sql.partition(" ")[0].lower()
    assert Exact(verb, "t", *expected) == parse(sql).exact


@pytest.mark.parametrize(
    "sql",
    [
        'DELETE FROM "t"',
        'DELETE FROM "t" WHERE "u"."id" = %s',
        'DELETE FROM "t" WHERE "t"."id" = %s OR "t"."a" = %s',
        'DELETE FROM "t" WHERE ("t"."id" = %s)',
        'DELETE FROM "t" WHERE "t"."id" IN (SELECT 1)',
        'DELETE FROM "t" WHERE "t"."id" = 5',
        'DELETE FROM "t" WHERE "t"."id" > %s',
        'DELETE FROM "t" WHERE NOT ("t"."id" IN (%s))',
        'DELETE FROM "s"."t" WHERE "t"."id" = %s',
        'DELETE FROM "s.t" WHERE "s.t"."id" = %s',
        'DELETE FROM "t""u" WHERE "t""u"."id" = %s',
        'DELETE FROM "t" WHERE "t"."id" = %s; DELETE FROM "u"',
        'DELETE FROM "t" WHERE "t"."id" = %s -- x',
        'UPDATE "t" SET "a" = "t"."a" + %s WHERE "t"."id" = %s',
        'UPDATE "t" SET "a" = (SELECT %s) WHERE "t"."id" = %s',
        'UPDATE "t" SET "a" = %s',
        'UPDATE "t" SET "a" = %s FROM "u" WHERE "t"."id" = %s',
        'INSERT INTO "t" ("a") VALUES (%s) ON CONFLICT DO NOTHING',
        "INSERT INTO `t` (`a`) VALUES (%s) ON DUPLICATE KEY UPDATE `a` = VALUES(`a`)",
        "INSERT IGNORE INTO `t` (`a`) VALUES (%s)",
        'INSERT OR IGNORE INTO "t" ("a") VALUES (%s)',
        'INSERT INTO "t" ("a") SELECT "a" FROM "u"',
        'INSERT INTO "t" ("a") VALUES (f(%s))',
        "INSERT INTO t (a) VALUES (%s)",
    ],
)
def test_other_statements_name_no_rows(sql: str) -> None:
    statement = parse(sql)
    assert Kind.WRITE is statement.kind
    assert statement.exact is None


# Some of these end a comment or a string in one database and not in another.
FILLERS = st.sampled_from(
    [
        *" \n\t",
        *["/**/", "/* ' */", '/* " */', "/* ` */", "/* ; */", "/* /* */ */", "/*! */", "/*+ x */"],
        *["-- c\n", "-- '\n", '-- "\n', "--c\n", "# c\n", "# '\n", "/*!99999 x */", "-- c\r"],
    ]
)
LITERALS = st.sampled_from(
    [
        *["1", "NULL", "'x'", "'it''s'", "'a\\'", "'a\\'b'", "E'a\\'b'", "'--'", "'/*'", "'*/'"],
        *["'#'", "';'", "'`'", "'\"'", "$$'$$", "$a$ ; $a$", '"x"', "`x`", "[x]", "'SELECT 1'"],
        *["'\\\\'", "ARRAY['a']", "a->'b'", "1e5", "N'x'", "%s", "%(a)s", "'é'"],
    ]
)
NAMES = st.sampled_from(
    ["written", "WRITTEN", '"written"', "`written`", "[written]", 'app."written"', 'a . "written"']
)
STATEMENTS = st.sampled_from(
    [
        "UPDATE {table} SET a = {literal}",
        "DELETE FROM {table} WHERE a = {literal}",
        "INSERT INTO {table} VALUES ( {literal} , {literal} )",
        "WITH w AS ( DELETE FROM {table} RETURNING * ) SELECT {literal} FROM w",
        "WITH w AS ( SELECT {literal} ) UPDATE {table} SET a = {literal}",
        "EXPLAIN ANALYZE UPDATE {table} SET a = {literal}",
        "REPLACE INTO {table} VALUES ( {literal} )",
    ]
)
OTHER_STATEMENTS = st.sampled_from(
    ["SELECT {literal}", "SELECT a FROM b WHERE c = {literal} FOR UPDATE", "SET a = {literal}", ""]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text that writes ``written``, among whatever may hide it."""
    parts = [
        *draw(st.lists(OTHER_STATEMENTS, max_size=2)),
        draw(STATEMENTS),
        *draw(st.lists(OTHER_STATEMENTS, max_size=2)),
    ]
    words = []
    for word in " ; ".join(parts).split(" "):
        words.append(draw(FILLERS))
        match word:
            case "{literal}":
                words.append(draw(LITERALS))
            case "{table}":
                words.append(draw(NAMES))
            case _:
                words.append(draw(st.sampled_from([word, word.lower()])))
    return "".join(words)


@given(texts())
def test_a_written_table_is_found_wherever_it_stands(sql: str) -> None:
    statement = parse(sql)
    assert Kind.WRITE is statement.kind
    assert "written" in statement.identifiers


PIECES = st.sampled_from([*"'\"`\\-#/*!$[];( \n\r1é\0\ud800", "SET ", "STATEMENT ", "FOR ", 'U&"'])


@given(st.lists(PIECES))
def test_no_text_is_refused(pieces: list[str]) -> None:
    sql = "".join(pieces)
    assert parse(sql) == parse(sql)


UNITS = """
a | ' | " | ` | 'a'' | /* | /*/ | * | - | [ | [a | [- | $ | $a | ( | ; | #; | a; | \\' | 1a | 1
SET STATEMENT FOR | set_config( | U&"\\0061" | %s, | "a" = %s, | ::a | into | for update | é
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "unit", [unit.strip() for unit in UNITS.strip().replace("\n", "|").split("|")]
)
@pytest.mark.parametrize(
    "begin", ["", 'UPDATE "t" SET "a" = %s', 'DELETE FROM "t" WHERE "t"."id" IN (']
)
def test_long_texts_come_to_an_end(begin: str, unit: str, end: str) -> None:
    """Were the time to grow with the square of the length, this would take minutes."""
    long = begin + (unit + end) * (160_000 // len(unit + end))
    assert isinstance(parse(long), text.Statement)
