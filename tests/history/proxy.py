"""A TCP proxy in a process of its own that cuts, holds, delays, and loses replies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket

from tests.history.children import die_with_parent

PASS, CUT, ONE_WAY, DELAY = "pass", "cut", "one way", "delay"
LOSE_REPLY = "lose reply"
"""What is sent next is executed, and the answer is cut off."""
LOSE_COMMIT = "lose commit"
"""The same for what ends in a COMMIT."""

_DELAY_SECONDS = 0.02


class Proxies:
    """The control of the proxies, in the process that started them."""

    def __init__(self, targets: dict[str, str]) -> None:
        """``targets``: by name a path of a socket or a ``host:port`` to lead to."""
        listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in targets}
        self.ports = {name: each.getsockname()[1] for name, each in listeners.items()}
        self._control, control = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            die_with_parent()
            try:
                self._control.close()
                asyncio.run(_serve(targets, listeners, control))
            finally:
                os._exit(0)
        control.close()
        for listener in listeners.values():
            listener.close()

    def set(self, name: str, mode: str) -> None:
        """From now on the proxy ``name`` behaves like ``mode``."""
        self._control.sendall(json.dumps([name, mode]).encode() + b"\n")

    def close(self) -> None:
        self._control.close()
        os.waitpid(self.pid, 0)


async def _serve(
    targets: dict[str, str], listeners: dict[str, socket.socket], control: socket.socket
) -> None:
    proxies = {name: _Proxy(target) for name, target in targets.items()}
    for name, listener in listeners.items():
        await asyncio.start_server(proxies[name].carry, sock=listener)
    reader, _ = await asyncio.open_connection(sock=control)
    while line := await reader.readline():
        name, mode = json.loads(line)
        proxies[name].behave(mode)


class _Proxy:
    def __init__(self, target: str) -> None:
        self._target = target
        self._mode = PASS
        self._writers: set[asyncio.StreamWriter] = set()

    def behave(self, mode: str) -> None:
        self._mode = mode
        if mode == CUT:
            for writer in self._writers:
                writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == CUT:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, up_writer}
        self._writers |= ends
        doomed: list[bool] = []
        try:
            tasks = [
                asyncio.ensure_future(self._up(reader, up_writer, doomed)),
                asyncio.ensure_future(self._down(up_reader, writer, doomed)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("/"):
            return await asyncio.open_unix_connection(self._target)
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: list[bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._mode == DELAY:
                    await asyncio.sleep(_DELAY_SECONDS)
                if self._mode == LOSE_REPLY or (
                    self._mode == LOSE_COMMIT and b"COMMIT" in data.upper()
                ):
                    doomed.append(True)
                writer.write(data)
                await writer.drain()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: list[bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if doomed:
                    return
                if self._mode == ONE_WAY:
                    continue
                if self._mode == DELAY:
                    await asyncio.sleep(_DELAY_SECONDS)
                writer.write(data)
                await writer.drain()
