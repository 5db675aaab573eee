"""What django-modeltranslation imports once the models are there; they say what to translate."""

from __future__ import annotations

import sys

sys.modules["tests.ecosystem.app.models"].register()
