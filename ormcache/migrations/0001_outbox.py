from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
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
