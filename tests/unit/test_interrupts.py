"""What is an interrupt, and what an error of the code that was interrupted."""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ormcache.interrupts import is_interrupted, pass_on


class Limit(Exception):
    """Of a job's time."""


class FieldError(Exception):
    """Of a project's own field."""


def handler(signum: int, frame: Any) -> None:
    raise Limit("out of time")


def resetting_handler(signum: int, frame: Any) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    raise OSError(1, "out of time")


def value_error(number: int, signum: int, frame: Any) -> None:
    raise ValueError(number)


class Handler:
    def __call__(self, *received: Any) -> None:
        raise TimeoutError("out of time")


def swallow(run: Callable[[], Any]) -> str:
    try:
        run()
    except Exception as error:
        pass_on(error)
        return "swallowed"
    return "nothing"


def wait() -> None:
    time.sleep(5)


def wait_in_a_library() -> None:
    try:
        time.sleep(5)
    except Exception:
        raise ConnectionError("the library's own") from None


@pytest.mark.parametrize("run", [wait, wait_in_a_library])
@pytest.mark.parametrize(
    ("handles", "kind"),
    [
        (handler, Limit),
        (resetting_handler, OSError),
        (partial(value_error, 1), ValueError),
        (Handler(), TimeoutError),
    ],
)
def test_what_a_signal_handler_raises(
    handles: Any, kind: type[Exception], run: Callable[[], None]
) -> None:
    before = signal.signal(signal.SIGALRM, handles)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(kind) as caught:
            swallow(run)
        assert "own" not in str(caught.value)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", [Limit, TimeoutError, KeyboardInterrupt])
def test_what_another_thread_raises(kind: type[BaseException]) -> None:
    thread = threading.get_ident()

    def strike() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))

    def spin() -> None:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            pass

    threading.Timer(0.05, strike).start()
    with pytest.raises(kind):
        swallow(spin)


def fail() -> None:
    raise FieldError


@pytest.mark.parametrize(
    "run",
    [fail, lambda: int("x"), lambda: [][1], lambda: json.loads("{"), lambda: None.x],  # type: ignore[attr-defined]
)
def test_errors_of_the_code_itself(run: Callable[[], Any]) -> None:
    assert "swallowed" == swallow(run)


def test_what_the_application_handles_is_its_own() -> None:
    """It reads in the very block that catches its limit."""
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(5)
    except Limit:
        found = is_interrupted(sys.exception()), swallow(fail)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (True, "swallowed") == found
