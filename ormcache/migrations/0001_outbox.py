from __future__ import annotations

from typing import Any

from django.db import migrations, models

from ormcache.outage.table import is_made


class CreateOnce(migrations.CreateModel):
    """Leaves a table alone that was made before the first migration (see ``outboxtable``)."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.collect_sql or not is_made(schema_editor.connection):
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        CreateOnce(
            name="OutboxEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("namespace", models.CharField(max_length=64)),
                ("keys", models.TextField()),
                ("waiting", models.BooleanField(default=True)),
                ("running_until", models.FloatField(default=0.0)),
                ("kept_until", models.FloatField()),
                ("announced", models.FloatField(default=0.0)),
            ],
            options={
                "verbose_name": "outbox entry",
                "verbose_name_plural": "outbox entries",
                "db_table": "ormcache_outbox",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["namespace", "waiting"], name="ormcache_outbox_waiting")
                ],
            },
        ),
    ]
