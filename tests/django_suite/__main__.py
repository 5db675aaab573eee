"""``python -m tests.django_suite [label …]``: Django's own tests over cached models.

They are taken from the source distribution of the Django that is installed, which pip downloads
once, and run on SQLite and the embedded store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib import import_module
from pathlib import Path

import django

LABELS = """
aggregation aggregation_regress annotations basic bulk_create contenttypes_tests custom_columns
custom_lookups custom_managers custom_pk dates datetimes db_functions defer defer_regress delete
delete_regress distinct_on_fields expressions expressions_case expressions_window extra_regress
filtered_relation force_insert_update foreign_object from_db_value generic_relations
generic_relations_regress get_earliest_or_latest get_object_or_404 get_or_create
known_related_objects lookup m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress
m2m_signals m2m_through m2m_through_regress m2o_recursive managers_regress many_to_many
many_to_one many_to_one_null model_fields model_inheritance model_inheritance_regress
model_regress mutually_referential nested_foreign_keys null_fk null_fk_ordering null_queries
one_to_one or_lookups order_with_respect_to ordering pagination prefetch_related
proxy_model_inheritance proxy_models queries queryset_pickle raw_query reserved_names
reverse_lookup save_delete_hooks select_related select_related_onetoone select_related_regress
signals string_lookup transactions unmanaged_models update update_only_fields xor_lookups
composite_pk
""".split()


def source() -> Path:
    """Where the tests of the Django that is installed are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "ormcache-django")
    wanted = cache / f"django-{django.__version__}" / "tests"
    if not wanted.exists():
        cache.mkdir(parents=True, exist_ok=True)
        pip = f"-m pip download --quiet --no-deps --no-binary :all: Django=={django.__version__}"
        subprocess.run([sys.executable, *pip.split(), "--dest", str(cache)], check=True)
        with tarfile.open(cache / f"django-{django.__version__}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return wanted


def main() -> int:
    sys.path.insert(0, str(source()))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_suite.settings"
    os.environ.setdefault("ORMCACHE_RAISE_FAULTS", "1")
    with tempfile.TemporaryDirectory(prefix="django_") as directory:
        os.environ["TMPDIR"] = tempfile.tempdir = directory
        runtests = import_module("runtests")
        runtests.ALWAYS_INSTALLED_APPS.insert(0, "ormcache")
        failures: int = runtests.django_tests(
            verbosity=1,
            interactive=False,
            failfast=False,
            keepdb=False,
            reverse=False,
            test_labels=sys.argv[1:] or LABELS,
            debug_sql=False,
            parallel=1,
            tags=[],
            exclude_tags=[],
            test_name_patterns=[],
            start_at="",
            start_after="",
            pdb=False,
            buffer=True,
            timing=False,
            shuffle=False,
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
