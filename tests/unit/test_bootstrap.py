"""The environment that the README's commands make."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tools import bootstrap

PRINT = ["-c", "import sys; print(sys.prefix); sys.exit(7)"]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with a stamp as after a first run, without what that would download."""
    directory = tmp_path / "venv"
    venv.create(directory, with_pip=False)
    monkeypatch.setenv("ORMCACHE_VENV", str(directory))
    stamp = {"extras": ["embedded", "test"], "wanted": bootstrap.wanted()}
    bootstrap.stamp(directory).write_text(json.dumps(stamp))
    return directory


def test_the_command_runs_inside_and_its_status_comes_back(
    environment: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 7 == bootstrap.run(PRINT, extras={"test"})
    assert str(environment) == capfd.readouterr().out.strip()


@pytest.mark.parametrize("missing", ["extra", "stamp", "version"])
def test_what_is_missing_is_installed(
    environment: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "install", lambda *arguments: installed.append(arguments[2]))
    if missing == "stamp":
        bootstrap.stamp(environment).unlink()
    elif missing == "version":
        monkeypatch.setattr(sys, "version", "another Python")
    bootstrap.run(PRINT, extras={"postgres"} if missing == "extra" else {"test"})
    expected = ["embedded", "postgres", "test"] if missing == "extra" else ["test"]
    assert [expected] == installed


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11"):
        bootstrap.run(PRINT, extras=())


def test_a_file_in_its_place_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tox leaves a file of that name."""
    directory = tmp_path / ".venv"
    directory.write_text("/elsewhere\n")
    done: subprocess.CompletedProcess[bytes] = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **named: done)
    monkeypatch.setattr(venv, "create", lambda made, **named: Path(made).mkdir())
    bootstrap.install(directory, directory / "bin/python", ["test"])
    assert ["test"] == bootstrap.read_stamp(directory)
