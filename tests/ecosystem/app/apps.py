"""Makes the models of the application from the source in the site's description."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import ClassVar

from django.apps import AppConfig, apps


class SiteConfig(AppConfig):
    """``source`` is set before Django is set up."""

    name = "tests.ecosystem.app"
    label = "site"
    default_auto_field = "django.db.models.BigAutoField"
    source: ClassVar[str] = ""

    def import_models(self) -> None:
        self.models = apps.all_models[self.label]
        self.models_module = ModuleType(f"{self.name}.models")
        sys.modules[f"{self.name}.models"] = self.models_module
        exec(compile(self.source, "<models of the site>", "exec"), vars(self.models_module))
