from __future__ import annotations

from typing import Any

from django.db import migrations

from ormcache.database.labels import TABLE, establish


def name(apps: Any, schema_editor: Any) -> None:
    """Give the database a number. Not in a model, whose rows ``flush`` and ``loaddata`` change."""
    establish(schema_editor.connection)


def forget(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if TABLE in connection.introspection.table_names(cursor):
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(TABLE)}")


class Migration(migrations.Migration):
    dependencies = [("ormcache", "0001_outbox")]

    operations = [migrations.RunPython(name, forget, elidable=False)]
