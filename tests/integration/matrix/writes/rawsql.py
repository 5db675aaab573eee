"""SQL past the ORM, in every form a database understands."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection, transaction

import ormcache
from tests.integration.matrix.world import MARIADB, POSTGRES, SQLITE, World
from tests.integration.matrix.writes.types import Write, save, sql
from tests.testapp.models import Article, Author, Comment, Tag

SCHEMA = {"sqlite": "main", "postgres": "public", "mariadb": None}[settings.TEST_DB]


def text(statement: str) -> Write:
    return lambda world: sql(statement)


def schema() -> str:
    return SCHEMA or str(connection.settings_dict["NAME"])


def quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def many(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE testapp_tag SET name = %s WHERE name = %s", [("a1", "a"), ("b1", "b")]
        )


def many_inserts(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO testapp_tag (name) VALUES (%s)", [("x",), ("y",)])


def several(world: World) -> None:
    """Several statements in one text: the drivers of PostgreSQL and MySQL take them."""
    with connection.cursor() as cursor:
        cursor.execute(SEVERAL)
        while cursor.nextset():
            pass


SEVERAL = "SELECT 1; UPDATE testapp_tag SET name = 'zz' WHERE name = 'c'; SELECT 2"


def in_autocommit_with_literal(world: World) -> None:
    sql(f"UPDATE testapp_author SET name = 'it''s; DELETE' WHERE id = {world.ann.pk}")


COMMON: dict[str, Write] = {
    "SQL UPDATE": text("UPDATE testapp_article SET title = 'raw' WHERE views > 2"),
    "SQL UPDATE by key": lambda w: sql(
        "UPDATE testapp_author SET name = 'raw' WHERE id = %s", w.ann.pk
    ),
    "SQL UPDATE of a partition": lambda w: sql(
        "UPDATE testapp_article SET author_id = %s WHERE author_id = %s", w.ann.pk, w.bob.pk
    ),
    "SQL UPDATE as Django writes it": lambda w: sql(
        f"UPDATE {quoted('testapp_article')} SET {quoted('author_id')} = %s WHERE "
        f"{quoted('testapp_article')}.{quoted('id')} = %s",
        w.bob.pk,
        w.article.pk,
    ),
    "SQL INSERT": text("INSERT INTO testapp_tag (name) VALUES ('raw')"),
    "SQL INSERT as Django writes it": lambda w: sql(
        f"INSERT INTO {quoted('testapp_tag')} ({quoted('name')}) VALUES (%s)", "raw"
    ),
    "SQL INSERT … SELECT": text(
        "INSERT INTO testapp_tag (name) SELECT slug FROM testapp_author WHERE active"
    ),
    "SQL DELETE": text("DELETE FROM testapp_comment WHERE text LIKE 'on%%'"),
    "SQL DELETE by subquery": text(
        "DELETE FROM testapp_comment WHERE article_id IN"
        " (SELECT id FROM testapp_article WHERE published)"
    ),
    "SQL in upper case": text("UPDATE testapp_tag SET NAME = 'UP' WHERE NAME = 'a'"),
    "SQL in lower case": text("update testapp_tag set name = 'low' where name = 'a'"),
    "SQL with comments": text(
        "/* x */ UPDATE /* y */ testapp_tag -- z\n SET name = 'zz' WHERE name='c'"
    ),
    "SQL with white space": text("\n\t UPDATE\n\n testapp_tag\tSET name='ws' WHERE name='c' ; "),
    "SQL with a quoted semicolon": in_autocommit_with_literal,
    "SQL quoted": lambda w: sql(
        f"UPDATE {quoted('testapp_tag')} SET {quoted('name')} = 'q' WHERE {quoted('name')} = 'a'"
    ),
    "SQL with schema": lambda w: sql(
        f"UPDATE {schema()}.testapp_tag SET name = 's' WHERE name = 'a'"
    ),
    "SQL with quoted schema": lambda w: sql(
        f"UPDATE {quoted(schema())} . {quoted('testapp_tag')} SET name = 's' WHERE name = 'a'"
    ),
    "SQL after a name that begins no transaction": lambda w: (
        sql("UPDATE testapp_tag AS start SET name = 'started' WHERE name = 'a'"),
        sql("UPDATE testapp_author SET name = 'started'"),
        Comment.objects.update(text="started"),
        save(w.article, title="started"),
    ),
    "SQL of a plain table": text("UPDATE testapp_plainthing SET name = 'raw'"),
    "SQL of a parent table": text("UPDATE testapp_place SET name = 'raw'"),
    "SQL of a child table": text("UPDATE testapp_restaurant SET serves_pizza = NOT serves_pizza"),
    "SQL of a through table": text("DELETE FROM testapp_article_tags"),
    "SQL of samples": text("UPDATE matrixapp_sample SET number = 10, text = 'alpha'"),
    "executemany": many,
    "executemany INSERT": many_inserts,
    "out of reach, then invalidate(model)": lambda w: _unseen(w, Author),
    "out of reach, then invalidate(object)": lambda w: _unseen(w, Author.nocache.get(slug="ann")),
    "out of reach, then invalidate(queryset)": lambda w: _unseen(w, Author.objects.all()),
}


def _unseen_tags() -> Any:
    ormcache.invalidate(Tag)


def _unseen(world: World, target: Any) -> None:
    unseen("UPDATE testapp_author SET name = 'unseen' WHERE slug = 'ann'")
    ormcache.invalidate(target)


def unseen(statement: str) -> None:
    """Run a statement no Django connection sees, as another program would."""
    connection.ensure_connection()
    driver: Any = connection.connection
    cursor = driver.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


CTE: dict[str, Write] = {
    "CTE UPDATE": text(
        "WITH old AS (SELECT id FROM testapp_tag WHERE name = 'a') "
        "UPDATE testapp_tag SET name = 'cte' WHERE id IN (SELECT id FROM old)"
    ),
    "CTE DELETE": text(
        "WITH old AS (SELECT id FROM testapp_article WHERE views < 2) "
        "DELETE FROM testapp_comment WHERE article_id IN (SELECT id FROM old)"
    ),
    "CTE INSERT": text(
        "WITH new AS (SELECT slug FROM testapp_author) "
        "INSERT INTO testapp_tag (name) SELECT slug FROM new"
    ),
    "UPDATE … FROM": text(
        "UPDATE testapp_article SET title = a.name FROM testapp_author a "
        "WHERE a.id = testapp_article.author_id"
    ),
    "INSERT … ON CONFLICT DO UPDATE": text(
        "INSERT INTO testapp_tag (name) VALUES ('a'), ('new') "
        "ON CONFLICT (name) DO UPDATE SET name = 'conflict'"
    ),
    "INSERT … ON CONFLICT DO NOTHING": text(
        "INSERT INTO testapp_tag (name) VALUES ('a'), ('new') ON CONFLICT DO NOTHING"
    ),
    "UPDATE … RETURNING": lambda w: _fetch(
        "UPDATE testapp_tag SET name = 'ret' WHERE name = 'a' RETURNING id"
    ),
    "DELETE … RETURNING": lambda w: _fetch("DELETE FROM testapp_label RETURNING id"),
}

ON_SQLITE: dict[str, Write] = {
    **CTE,
    "REPLACE": text("REPLACE INTO testapp_tag (id, name) SELECT id, 'rep' || id FROM testapp_tag"),
    "INSERT OR REPLACE": text("INSERT OR REPLACE INTO testapp_tag (name) VALUES ('c')"),
    "UPDATE OR IGNORE": text("UPDATE OR IGNORE testapp_tag SET name = 'b' WHERE name <> 'a'"),
    "bracketed name": text("UPDATE [testapp_tag] SET [name] = 'br' WHERE name = 'a'"),
    "back-quoted name": text("UPDATE `testapp_tag` SET `name` = 'bq' WHERE name = 'a'"),
    "upper-case table": text("UPDATE TESTAPP_TAG SET name = 'uc' WHERE name = 'a'"),
}

ON_POSTGRES: dict[str, Write] = {
    **CTE,
    "several statements": several,
    "CTE of writes": text(
        "WITH gone AS (DELETE FROM testapp_label RETURNING text) "
        "INSERT INTO testapp_tag (name) SELECT DISTINCT text FROM gone"
    ),
    "CTE that writes under SELECT": lambda w: _fetch(
        "WITH new AS (UPDATE testapp_tag SET name = 'sel' WHERE name = 'a' RETURNING *) "
        "SELECT * FROM new"
    ),
    "DELETE … USING": text(
        "DELETE FROM testapp_comment c USING testapp_article a "
        "WHERE a.id = c.article_id AND a.published"
    ),
    "UPDATE ONLY": text("UPDATE ONLY testapp_tag AS t SET name = 'only' WHERE t.name = 'a'"),
    "MERGE": text(
        "MERGE INTO testapp_tag t USING testapp_author a ON a.slug = t.name "
        "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name) VALUES (a.slug)"
    ),
    "COPY": lambda w: _copy("COPY testapp_tag (name) FROM STDIN", "copied\n"),
    "COPY quoted": lambda w: _copy('COPY "public"."testapp_tag" ("name") FROM STDIN', "cp\n"),
    "TRUNCATE": text("TRUNCATE testapp_film, testapp_label"),
    "TRUNCATE CASCADE": text("TRUNCATE testapp_article CASCADE"),
    "Unicode-quoted name": text("UPDATE U&\"testapp_tag\" SET name = 'u' WHERE name = 'a'"),
    "upper-case table": text("UPDATE TESTAPP_TAG SET name = 'uc' WHERE name = 'a'"),
    "dollar quotes": text("UPDATE testapp_tag SET name = $x$it's; --$x$ WHERE name = 'a'"),
    "DO block": text("DO $$ BEGIN UPDATE testapp_tag SET name = 'do' WHERE name='a'; END $$"),
    "PREPARE and EXECUTE": lambda w: (
        sql("PREPARE own AS UPDATE testapp_tag SET name = 'prep' WHERE name = 'a'"),
        sql("EXECUTE own"),
        sql("DEALLOCATE own"),
        _unseen_tags(),
    ),
    "psycopg's SQL objects": lambda w: _composed(),
    "server-side cursor between": lambda w: _server_side(),
}

ON_MARIADB: dict[str, Write] = {
    "INSERT … ON DUPLICATE KEY": text(
        "INSERT INTO testapp_tag (name) VALUES ('a'), ('new') ON DUPLICATE KEY UPDATE name = 'dup'"
    ),
    "INSERT … SET": text("INSERT INTO testapp_tag SET name = 'set'"),
    "INSERT IGNORE": text("INSERT IGNORE INTO testapp_tag (name) VALUES ('a'), ('new')"),
    "REPLACE": text("REPLACE INTO testapp_tag (name) VALUES ('rep')"),
    "UPDATE of two tables": text(
        "UPDATE testapp_article a JOIN testapp_author u ON u.id = a.author_id "
        "SET a.title = u.name, u.name = 'both' WHERE u.slug = 'ann'"
    ),
    "DELETE of two tables": text(
        "DELETE c, l FROM testapp_comment c, testapp_label l WHERE l.text = 'hot'"
    ),
    "DELETE … USING": text(
        "DELETE FROM c USING testapp_comment AS c JOIN testapp_article a ON a.id = c.article_id"
    ),
    "UPDATE … LIMIT": text("UPDATE testapp_article SET views = 90 ORDER BY id LIMIT 2"),
    "TRUNCATE": text("TRUNCATE TABLE testapp_film"),
    "TRUNCATE without TABLE": text("TRUNCATE testapp_film"),
    "executable comment": text("/*!50000 UPDATE testapp_tag SET name = 'ex' WHERE name='a' */"),
    "hash comment": text("# first\nUPDATE testapp_tag SET name = 'hash' WHERE name='a'"),
    "DELETE … RETURNING": lambda w: _fetch("DELETE FROM testapp_label RETURNING id"),
    "SET STATEMENT … FOR": text(
        "SET STATEMENT max_statement_time=5 FOR UPDATE testapp_tag SET name='st' WHERE name='a'"
    ),
    "several statements": several,
}


def _fetch(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def _copy(statement: str, lines: str) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(lines)


def _composed() -> None:
    from psycopg import sql as composed

    statement: Any = composed.SQL("UPDATE {} SET name = {} WHERE name = 'a'").format(
        composed.Identifier("testapp_tag"), composed.Literal("composed")
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _server_side() -> None:
    with transaction.atomic():
        for article in Article.objects.order_by("pk").iterator(chunk_size=2):
            Article.objects.filter(pk=article.pk).update(views=article.views + 10)


OWN = ON_SQLITE if SQLITE else ON_POSTGRES if POSTGRES else ON_MARIADB if MARIADB else {}
WRITES: dict[str, Write] = {**COMMON, **OWN}
