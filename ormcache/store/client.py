"""The store: commands in, replies out, failures as ``StoreError``."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ormcache.exceptions import StoreError
from ormcache.store import scripts
from ormcache.store.breaker import Breaker
from ormcache.store.channel import Channel, Command

_clients: weakref.WeakSet[Client] = weakref.WeakSet()


class Client:
    """Sends commands over a few connections that are kept open.

    ``connect`` makes a new redis-py connection. ``where`` names the server in messages, without
    credentials. ``shared`` is false for an embedded server, which other processes cannot see.

    A command is a tuple of name and arguments. The names of ``store.scripts.BY_NAME`` stand for
    those scripts: ``("MARK", key, token, ttl)``.
    """

    def __init__(self, connect: Callable[[], Any], where: str, *, shared: bool = True) -> None:
        self._connect = connect
        self._idle: deque[Channel] = deque()
        self.where = where
        self.shared = shared
        self.breaker = Breaker()
        self.round_trips = 0
        _clients.add(self)

    def mget(self, keys: Sequence[bytes]) -> tuple[bytes, list[bytes | None]]:
        """The cells under ``keys`` and the epoch of the server they come from. One round trip."""
        command = (b"MGET", *keys)
        return self._attempt(lambda channel: channel.call(command))

    def run(self, commands: Sequence[Command]) -> tuple[bytes, list[Any]]:
        """Run commands in one round trip and return the epoch and their results in order.

        An error reply to any of them raises ``StoreError``; the commands are idempotent, so the
        caller may run them again.
        """
        epoch, replies = self._attempt(lambda channel: _run(channel, commands))
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise StoreError(f"Redis refused a command: {reply}")
        return epoch, replies

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
        while self._idle:
            self._idle.pop().close()

    def forget_connections(self) -> None:
        """Leave all connections alone: after a fork they belong to the parent."""
        self._idle = deque()
        self.breaker = Breaker()

    def _attempt(self, send: Callable[[Channel], Any]) -> tuple[bytes, Any]:
        if not self.breaker.allows():
            raise StoreError(f"{self.where} is not asked: it did not answer a moment ago")
        try:
            try:
                result = self._use_idle(send)
                if result is None:
                    result = self._use(Channel(self._connect()), send)
            except ResponseError as error:
                # The server lives; it refused this one command.
                self.breaker.succeeded()
                raise StoreError(f"Redis refused a command: {error}") from error
        except (RedisError, OSError, StoreError) as error:
            if isinstance(error.__cause__, ResponseError):
                raise
            self.breaker.failed(error)
            self.close()
            raise StoreError(f"{self.where} does not answer: {error}") from error
        self.breaker.succeeded()
        return result

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
            self.close()
            return None

    def _use(self, channel: Channel, send: Callable[[Channel], Any]) -> tuple[bytes, Any]:
        self.round_trips += 1
        try:
            reply = send(channel)
        except ResponseError:
            self._idle.append(channel)
            raise
        except BaseException:
            # Whatever is still under way on it would answer the next command.
            channel.close()
            raise
        self._idle.append(channel)
        return channel.epoch, reply


def _run(channel: Channel, commands: Sequence[Command]) -> list[Any]:
    wire = [_wire(command) for command in commands]
    replies = channel.pipeline(wire)
    missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missing:
        needed = {commands[i][0] for i in missing}
        loads: list[Command] = [
            (b"SCRIPT", b"LOAD", scripts.BY_NAME[name].text) for name in sorted(needed)
        ]
        again = channel.pipeline([*loads, *(wire[i] for i in missing)])
        for i, reply in zip(missing, again[len(loads) :], strict=True):
            replies[i] = reply
    return replies


def _wire(command: Command) -> Command:
    script = scripts.BY_NAME.get(command[0])
    if script is None:
        return command
    return (b"EVALSHA", script.sha, b"1", *command[1:])


def _after_fork() -> None:
    for client in list(_clients):
        client.forget_connections()


os.register_at_fork(after_in_child=_after_fork)
