"""What a subcommand says: its result on the standard output, all else on the error output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_ON_A_TERMINAL = 0.2


class Output:
    """The two outputs of a running command. ``form`` is ``"text"`` or ``"json"``."""

    def __init__(self, command: BaseCommand, form: str, verbosity: int) -> None:
        self._command = command
        self._form = form
        self._verbosity = verbosity

    def result(self, data: dict[str, Any], text: Iterable[str]) -> None:
        """Write the result, once: ``data`` as JSON, or the lines of ``text``."""
        if self._form == "json":
            self._command.stdout.write(json.dumps(data, indent=2))
        else:
            self._command.stdout.write("\n".join(text))

    def warn(self, message: str) -> None:
        self._command.stderr.write(self._command.style.WARNING(f"Warning: {message}"))

    def progress(self, what: str) -> Progress:
        return Progress(self._command, what, shown=self._verbosity > 0)


class Progress:
    """Says how far long work is: in place on a terminal, else in a line every few seconds."""

    def __init__(self, command: BaseCommand, what: str, *, shown: bool) -> None:
        self._stream = command.stderr
        self._what = what
        self._shown = shown
        self._in_place = self._stream.isatty()
        self._pause = _SECONDS_ON_A_TERMINAL if self._in_place else _SECONDS_BETWEEN_LINES
        self._next = time.monotonic() + self._pause
        self._open = False

    def at(self, count: int) -> None:
        """``count`` things are done."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + self._pause
        self._open = self._in_place
        line = f"{count:,} {self._what}"
        if self._in_place:
            self._stream.write(f"\r{line}", self._plain, ending="")
            self._stream.flush()
        else:
            self._stream.write(line, self._plain)

    def end(self) -> None:
        if self._open:
            self._stream.write("", self._plain)

    @staticmethod
    def _plain(text: str) -> str:
        return text
