"""How the documentation is built."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ormcache

project = "ormcache"
author = "ormcache contributors"
project_copyright = f"2026, {author}"
version = release = ormcache.__version__

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ormcache {release}"
nitpicky = True
