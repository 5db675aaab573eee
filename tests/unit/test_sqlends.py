"""What a text leaves of a transaction on MySQL, as told from its words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ormcache.database.drivers import Left
from ormcache.writes.sql.ends import left_by

LEFT = {
    None: r"""
SELECT 1
(SELECT 1) UNION (SELECT 2)
/* trace */ SELECT 1
SELECT 'a; BEGIN'
SELECT 'it\'s; BEGIN -- '
SELECT "a\"; BEGIN -- "
SELECT `a; BEGIN`
SELECT 1; SELECT 2;
SELECT 1 # ; BEGIN
SELECT 1 -- ; BEGIN
SELECT 1 /* ; BEGIN */
SELECT /*!50000 SQL_NO_CACHE */ 1
UPDATE t SET a = '; COMMIT'
INSERT INTO t VALUES (1.5e0, x'41', 0x41, 'it\'s;')
WITH a AS (SELECT 1) SELECT * FROM a
LOAD DATA INFILE 'x' INTO TABLE t
DO 1
SAVEPOINT a
RELEASE SAVEPOINT a
ROLLBACK TO a
ROLLBACK WORK TO SAVEPOINT a
SET @a = 1
SET autocommit = 1
SET NAMES utf8mb4
/*!40101 SET NAMES utf8 */
/*!40000 ALTER TABLE t DISABLE KEYS */
/* BEGIN */
CREATE TEMPORARY TABLE t (a INT)
CREATE OR REPLACE TEMPORARY TABLE t (a INT)
DROP TEMPORARY TABLE t
SET STATEMENT max_statement_time = 1 FOR SELECT 1
UNLOCK TABLES
CACHE INDEX t IN default
XA END 'a'
XA PREPARE 'a'
LOCK INSTANCE FOR BACKUP
BEGIN NOT ATOMIC UPDATE t SET a = 1; END
EXPLAIN SELECT 1
SELECT begin FROM start
""",
    Left.TRANSACTION: r"""
BEGIN
begin work;
/* x */ BEGIN
-- x
# x
START TRANSACTION
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY
XA START 'a'
XA BEGIN 'a'
COMMIT AND CHAIN
ROLLBACK WORK AND CHAIN
SET STATEMENT max_statement_time = 1 FOR START TRANSACTION
""".replace("-- x\n# x\n", ""),
    Left.NOTHING: r"""
COMMIT
commit work -- back to normal
COMMIT AND NO CHAIN
COMMIT RELEASE
COMMIT # AND CHAIN
ROLLBACK
rollback /* to */
XA COMMIT 'a' ONE PHASE
XA ROLLBACK 'a'
CREATE TABLE t (a INT)
CREATE OR REPLACE VIEW v AS SELECT 1
CREATE PROCEDURE p() BEGIN UPDATE t SET a = 1; COMMIT; END
ALTER TABLE t COMMENT 'begin'
DROP TABLE t
RENAME TABLE t TO u
TRUNCATE t
GRANT SELECT ON t TO u
LOCK TABLES t READ
SET PASSWORD = 'x'
SET STATEMENT max_statement_time = 1 FOR COMMIT
""",
    Left.NOTHING_AT_LAST: r"""
BEGIN; UPDATE t SET a = ';'; COMMIT
SELECT 1; COMMIT
COMMIT; SELECT 1
COMMIT; CREATE TABLE t (a INT)
""",
    Left.PERHAPS: r"""
SET @a = 1; BEGIN
COMMIT; BEGIN
BEGIN; UPDATE t SET a = 'it\'s'
UPDATE t SET a = 'x\\'; BEGIN
/*!50000 BEGIN */
/*!99999 BEGIN */
/*M!100000 BEGIN */
COMMIT /*!80000 AND CHAIN */
SELECT 1 /*!50000 ; BEGIN */
BEGIN /*M!100000 NOT ATOMIC */
CALL p()
EXECUTE IMMEDIATE 'BEGIN'
SET STATEMENT max_statement_time = 1 FOR CALL p()
BEGIN NOT ATOMIC START TRANSACTION; END
IF 1 THEN START TRANSACTION; END IF
IF 1 THEN COMMIT AND CHAIN; END IF
BEGIN; IF 1 THEN SELECT 1; END IF
BEGIN WORK; IF 1 THEN SELECT 1; END IF
CREATE PROCEDURE p() SELECT 1; BEGIN
""",
}


def driver(*, autocommit: bool = True, escaped: bytes = b"\\'") -> Any:
    return SimpleNamespace(get_autocommit=lambda: autocommit, escape_string=lambda _: escaped)


@pytest.mark.parametrize(
    ("left", "sql"),
    [(left, sql) for left, text in LEFT.items() for sql in text.strip().split("\n")],
)
def test_what_is_left(left: Left | None, sql: str) -> None:
    assert left is left_by(sql.encode(), driver())
    assert left is left_by(sql, driver())


def test_comments_in_lines_of_their_own() -> None:
    assert Left.TRANSACTION is left_by("-- x\n# COMMIT\nBEGIN", driver())


@pytest.mark.parametrize("sql", ["SET autocommit = 1", "SET @@session.autocommit = ON"])
def test_autocommit_switched_on(sql: str) -> None:
    """That commits only if it was off."""
    assert left_by(sql, driver()) is None
    assert Left.NOTHING is left_by(sql, driver(autocommit=False))


@pytest.mark.parametrize(
    ("sql", "with_escapes", "without"),
    [
        (rb"SELECT 'a\'; BEGIN; -- '", None, Left.PERHAPS),
        (rb"SELECT '\\'; BEGIN", Left.PERHAPS, Left.PERHAPS),
    ],
)
def test_backslashes(sql: bytes, with_escapes: Left | None, without: Left | None) -> None:
    """Whether they escape is a setting of the server's, which the driver knows."""
    assert with_escapes is left_by(sql, driver())
    assert without is left_by(sql, driver(escaped=b"''"))


def test_a_long_insert() -> None:
    rows = ", ".join(["(1, 'a; BEGIN')"] * 10_000)
    assert left_by(f"INSERT INTO t VALUES {rows}; SELECT 1", driver()) is None
