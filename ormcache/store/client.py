"""The store: commands in, replies out, failures as ``StoreError``."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ormcache import interrupts
from ormcache.exceptions import StoreError
from ormcache.stats import counters
from ormcache.store import mistakes
from ormcache.store.breaker import Breaker
from ormcache.store.channel import Channel, Command
from ormcache.store.scripts import Script

logger = logging.getLogger("ormcache")

MOST_AT_ONCE = 1000
"""Keys, or commands, of one round trip."""

_MINUTE = 60.0
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


class Client:
    """Sends commands over a few connections that are kept open.

    ``connect`` makes a new redis-py connection. ``where`` names the server in messages, without
    credentials. ``shared`` is false for an embedded server, which other processes cannot see.

    A command is a tuple of name and arguments. The names of ``store.scripts.PLAIN`` stand for
    those scripts: ``("MARK", key, token, ttl)``.
    """

    def __init__(self, connect: Callable[[], Any], where: str, *, shared: bool = True) -> None:
        self._connect = connect
        self._idle: deque[Channel] = deque()
        self.where = where
        self.shared = shared
        self.breaker = Breaker()
        self.round_trips = 0
        self.contact = 0
        """Grows whenever a connection was lost: what happened meanwhile is not known."""
        self._logged: dict[str, float] = {}
        _clients.add(self)

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        """The cells under ``keys`` and the epoch of the server they come from. One round trip for
        each thousand of them: others get their turn in between."""
        if len(keys) > MOST_AT_ONCE:
            return self._in_parts(self.mget, keys)
        command = (b"MGET", *keys)
        return self._attempt(lambda channel: channel.call(command))

    def run(self, commands: Sequence[Command]) -> tuple[bytes, list[Any]]:
        """Run commands in one round trip for each thousand of them, and return the epoch and
        their results in order.

        An error reply to any of them raises ``StoreError``; the commands are idempotent, so the
        caller may run them again.
        """
        if len(commands) > MOST_AT_ONCE:
            return self._in_parts(self.run, commands)
        epoch, replies = self._attempt(lambda channel: _run(channel, commands))
        for reply in replies:
            if isinstance(reply, ResponseError):
                if "READONLY" in str(reply):
                    # A primary no longer: whoever is connected would go on reading old values.
                    self.contact += 1
                    self.close()
                raise self._refusal(reply)
        return epoch, replies

    def _in_parts(
        self, ask: Callable[[Any], tuple[bytes, list[Any]]], items: Sequence[Any]
    ) -> tuple[bytes, list[Any]]:
        epoch, replies = ask(items[:MOST_AT_ONCE])
        for start in range(MOST_AT_ONCE, len(items), MOST_AT_ONCE):
            now, more = ask(items[start : start + MOST_AT_ONCE])
            if now != epoch:
                raise StoreError(f"{self.where} became another server between two calls")
            replies += more
        return epoch, replies

    def reach(self) -> None:
        """One round trip to the server. Raises ``StoreError`` if there is none."""
        self.run([("PING",)])

    @property
    def is_down(self) -> bool:
        """Whether a call would be refused now without being sent."""
        return self.breaker.is_open and self.breaker.refuses()

    def info(self) -> dict[str, str]:
        """What the server says of itself (``INFO``), empty for an embedded one."""
        return self._attempt(lambda channel: channel._read_info())[1]  # type: ignore[no-any-return]

    def scan(self, pattern: bytes, batch: int = 500) -> Iterator[list[bytes]]:
        """The keys that match, in batches of about ``batch``, one round trip each. Keys that come
        or go meanwhile may be missing, and a key may come twice."""
        cursor: Any = b"0"
        while True:
            cursor, keys = self.run([("SCAN", cursor, "MATCH", pattern, "COUNT", batch)])[1][0]
            if keys:
                yield keys
            if cursor == b"0":
                return

    def close(self) -> None:
        # What is in use meanwhile goes back to the old ones, and is used no more.
        idle, self._idle = self._idle, deque()
        while idle:
            idle.pop().close()

    def forget_connections(self) -> None:
        """Leave all connections alone: after a fork they belong to the parent."""
        self._idle = deque()
        self.breaker = Breaker()
        self.contact += 1

    def _attempt(self, send: Callable[[Channel], Any]) -> tuple[bytes, Any]:
        if not self.breaker.allows():
            raise StoreError(f"{self.where} is not asked: it did not answer a moment ago")
        try:
            try:
                result = self._use_idle(send)
                if result is None:
                    result = self._use(self._open(), send)
            except ResponseError as error:
                # The server lives; it refused this one command.
                self.breaker.succeeded()
                raise self._refusal(error) from error
        except (RedisError, OSError, StoreError) as error:
            # redis-py makes an error of its own of a TimeoutError, also of a time limit's.
            interrupts.pass_on(error)
            if isinstance(error.__cause__, ResponseError):
                raise
            self.contact += 1
            self.breaker.failed(error)
            self.close()
            said = mistakes.on_silence(error)
            raise StoreError(f"{self.where} does not answer: {said}") from error
        self.breaker.succeeded()
        return result

    def _refusal(self, error: ResponseError) -> StoreError:
        """The error to raise; logged once a minute for each kind, which its first word tells."""
        kind, now = str(error).partition(" ")[0], time.monotonic()
        if self._logged.get(kind, -_MINUTE) + _MINUTE <= now:
            self._logged[kind] = now
            logger.error("ormcache.store.refused: %s", error)
        return StoreError(f"Redis refused a command: {error}")

    def _open(self) -> Channel:
        try:
            channel = Channel(self._connect())
        except (ResponseError, TypeError) as error:
            interrupts.pass_on(error)
            raise StoreError(mistakes.on_connecting(error)) from None
        if self.shared and "run_id" not in channel.info:
            # Its restarts can not be told from its run before.
            counters["epoch_unknown"] += 1
        return channel

    def _use_idle(self, send: Callable[[Channel], Any]) -> tuple[bytes, Any] | None:
        try:
            channel = self._idle.pop()
        except IndexError:
            return None
        try:
            return self._use(channel, send)
        except RedisTimeoutError:
            raise
        except RedisConnectionError:
            # The server closed it while it lay idle. Every command is safe twice: once more on a
            # new connection, and never again.
            self.contact += 1
            self.close()
            return None

    def _use(self, channel: Channel, send: Callable[[Channel], Any]) -> tuple[bytes, Any]:
        self.round_trips += 1
        idle = self._idle
        try:
            reply = send(channel)
        except ResponseError:
            idle.append(channel)
            raise
        except BaseException as error:
            # Whatever is still under way on it would answer the next command.
            channel.close()
            interrupts.pass_on(error)
            raise
        idle.append(channel)
        return channel.epoch, reply


def _run(channel: Channel, commands: Sequence[Command]) -> list[Any]:
    wire = [_wire(command, channel.scripts) for command in commands]
    replies = channel.pipeline(wire)
    missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missing:
        needed = {commands[i][0] for i in missing}
        # What comes after a script may rely on its having run: logs are read after stamps.
        plain = (i for i in range(missing[0], len(commands)) if wire[i] is commands[i])
        missing = sorted({*missing, *plain})
        loads: list[Command] = [
            (b"SCRIPT", b"LOAD", channel.scripts[name].text) for name in sorted(needed)
        ]
        again = channel.pipeline([*loads, *(wire[i] for i in missing)])
        for i, reply in zip(missing, again[len(loads) :], strict=True):
            replies[i] = reply
    return replies


def _wire(command: Command, scripts: dict[str, Script]) -> Command:
    script = scripts.get(command[0])
    if script is None:
        return command
    return (b"EVALSHA", script.sha, b"1", *command[1:])


def _after_fork() -> None:
    for client in list(_clients):
        client.forget_connections()


os.register_at_fork(after_in_child=_after_fork)
