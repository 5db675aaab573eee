"""How a state came about, step by step, to be read by people."""

from __future__ import annotations

from typing import Any

from tests.model.state import State, Step


def as_text(state: State, parents: dict[State, Any], last: Step | None = None) -> str:
    """The steps from the first state to ``state`` and one more, a line each."""
    steps = [last] if last is not None else []
    while (found := parents[state]) is not None:
        state, step = found
        steps.append(step)
    return "\n".join(line for step in reversed(steps) for line in _lines(step))


def _lines(step: Step) -> list[str]:
    who, what, detail = step
    if what in ("REDIS", "late REDIS"):
        late = "late: " if what != "REDIS" else ""
        return [f"{who:>8}  {late}{_command(*each)}" for each in detail]
    return [f"{who:>8}  {what} {_value(detail)}".rstrip()]


def _command(command: Any, reply: Any) -> str:
    if len(command) == 1:
        return f"{command[0]} -> {_value(reply)}"
    name, key, *rest = command
    shown = " ".join(_value(each) for each in rest)
    return f"{name} {short(key)} {shown} -> {_value(reply)}"


def _value(value: Any) -> str:
    if type(value) is bytes:
        return cell(value)
    if type(value) is tuple:
        return " ".join(_value(each) for each in value) if value else ""
    return str(value)


def short(key: bytes) -> str:
    """A key without the site, the database and the table."""
    return key.split(b":", 4)[-1].decode()[:24] if key.count(b":") > 3 else key.decode()


def cell(value: bytes) -> str:
    """A cell's bytes: the kind, the tokens and nonces by the names of those who drew them."""
    if value.count(b":") > 3:
        return short(value)
    kind = value[:1].decode("latin-1")
    printable = "".join(chr(c) if 32 < c < 127 else "." for c in value[1:])
    names = [part for part in printable.replace("epoch", ".").split(".") if part]
    return f"{kind}[{' '.join(names)[:40]}]" if kind in "VLSW" else repr(value)[:40]
