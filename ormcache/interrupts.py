"""Exceptions that come from outside of the code they are raised in: time limits, Ctrl-C.

A signal handler or another thread raises them wherever the program happens to be: in the cache
too, which takes its own errors for a miss. An interrupt is none of these. It has to come out as
what it is, even if a library has made an error of its own of it on the way.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType

_RAISES = frozenset(dis.opmap[name] for name in ("RAISE_VARARGS", "RERAISE"))
# Errors of these come out of code written in C, where nothing tells them from an interrupt.
_KNOWN = frozenset(
    {*sys.stdlib_module_names, "django", "django_redis", "ormcache"}
    | {"fakeredis", "hiredis", "lupa", "msgpack", "redis"}
)
_OF_DATA = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_PLAIN = (Exception, RuntimeError, TimeoutError)


def pass_on(error: BaseException) -> None:
    """Raise the interrupt that ``error`` is, or that a library made it of; return if there is
    none. To be called wherever an error is about to be swallowed or renamed.
    """
    if error.__traceback__ is None:
        return
    catching = error.__traceback__.tb_frame
    for each in _chain(error):
        if _is_interrupt(each) and (each is error or _was_raised_below(catching, each)):
            context = each.__context__
            try:
                raise each
            finally:
                each.__context__ = context


def is_interrupted(error: BaseException | None) -> bool:
    """Whether ``error`` is an interrupt, or was raised because of one or after one."""
    return any(map(_is_interrupt, _chain(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those it was raised because of or after."""
    todo, seen = [error], set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += (each.__context__, each.__cause__)


def _was_raised_below(catching: FrameType, error: BaseException) -> bool:
    """Whether the error was raised while ``catching`` ran: what the application was about to
    handle when it called the cache is no interrupt of ours."""
    # From each frame: those of generators lead to none once they have ended.
    for frame in _frames(error.__traceback__):
        at: FrameType | None = frame
        while at is not None:
            if at is catching:
                return True
            at = at.f_back
    return False


def _is_interrupt(error: BaseException) -> bool:
    if not isinstance(error, Exception):
        return not isinstance(error, GeneratorExit)
    traceback = error.__traceback__
    if traceback is None:
        return False
    return _by_handler(traceback) or _by_another_thread(error, _last(traceback))


def _by_handler(traceback: TracebackType) -> bool:
    """Whether a handler of a signal, or a trace function, raised it: such a function is given the
    very frame it interrupts."""
    for frame in _frames(traceback):
        code, back = frame.f_code, frame.f_back
        if back is not None and code.co_argcount + bool(code.co_flags & _VARARGS):
            for value in frame.f_locals.values():
                if value is back or (type(value) is tuple and any(each is back for each in value)):
                    return True
    return False


_VARARGS = 0x04


def _by_another_thread(error: Exception, last: TracebackType) -> bool:
    """Whether another thread raised it in this one (``PyThreadState_SetAsyncExc``): where nothing
    raises, of a class that no code here raises."""
    if last.tb_frame.f_code.co_code[last.tb_lasti] in _RAISES:
        return False
    kind = type(error)
    if kind in _PLAIN:
        return not error.args
    if isinstance(error, _OF_DATA) or kind.__module__.partition(".")[0] in _KNOWN:
        return False
    # The errors of a database driver (PEP 249).
    return all(base.__name__ not in ("Error", "Warning") for base in kind.__mro__)


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _last(traceback: TracebackType) -> TracebackType:
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
