"""Runs a command of this checkout in a virtual environment it makes itself.

Only the standard library: it must start on a machine that has nothing but Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Collection, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
# Debian's ensurepip is a package of its own, and its error does not say so in one line.
NO_VENV = "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"


def run(arguments: Sequence[str], extras: Collection[str]) -> int:
    """Run the environment's Python with ``arguments`` from the checkout; returns its exit status.

    The environment is ``.venv`` (or ``ORMCACHE_VENV``) and holds ormcache with at least the given
    ``extras``. It is filled on the first run and again whenever ``pyproject.toml`` changes.
    """
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"ormcache needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    directory = Path(os.environ.get("ORMCACHE_VENV", ROOT / ".venv")).resolve()
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = read_stamp(directory)
    if not set(extras) <= set(installed):
        install(directory, python, sorted({*installed, *extras}))
    return subprocess.run([python, *arguments], cwd=ROOT, check=False).returncode


def install(directory: Path, python: Path, extras: list[str]) -> None:
    print(f"installing ormcache[{','.join(extras)}] into {directory}", file=sys.stderr)
    if directory.is_file():
        # tox leaves a file of that name, which points to an environment of its own.
        directory.unlink()
    try:
        # Over an existing one too: it may be half made, or be of another Python.
        venv.create(directory, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit(NO_VENV)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    what = ["--editable", f"{ROOT}[{','.join(extras)}]"]
    if status := subprocess.run([*pip, "install", *what], check=False).returncode:
        sys.exit(status)
    stamp(directory).write_text(json.dumps({"extras": extras, "wanted": wanted()}))


def read_stamp(directory: Path) -> list[str]:
    """The extras that ``directory`` holds in the versions wanted now."""
    try:
        found = json.loads(stamp(directory).read_text())
    except (OSError, ValueError):
        return []
    return list(found["extras"]) if wanted() == found["wanted"] else []


def stamp(directory: Path) -> Path:
    return directory / "ormcache.json"


def wanted() -> str:
    """What the environment depends on besides the extras."""
    parts = ((ROOT / "pyproject.toml").read_bytes(), bytes(ROOT), sys.version.encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()
