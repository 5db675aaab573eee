"""A TCP proxy between client and Redis that counts what passes, and can hold or cut it."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.plugins.redis_server import RedisServer

# redis-py sends up to 6,000 bytes in one piece. A longer pipeline comes in several, of which each
# might be answered before the next: all that was sent before such a silence is one.
ONE_PIECE = 6000
QUIET_SECONDS = 0.02


def take_command(buffer: bytearray) -> str | None:
    """Remove the first complete command from ``buffer``; its name, or None if there is none."""
    head = buffer.find(b"\r\n")
    if head < 0:
        return None
    position, name = head + 2, ""
    for _ in range(int(buffer[1:head])):
        end = buffer.find(b"\r\n", position)
        if end < 0:
            return None
        start = end + 2
        position = start + int(buffer[position + 1 : end]) + 2
        if position > len(buffer):
            return None
        name = name or buffer[start : position - 2].decode().upper()
    del buffer[:position]
    return name


class Wire:
    """The way to one Redis server.

    ``round_trips`` counts how often the client sent something and the server answered it,
    ``commands`` holds the names of the commands in order, over all connections since ``reset``.
    """

    def __init__(self, upstream_port: int) -> None:
        self.round_trips = 0
        self.commands: list[str] = []
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flowing = threading.Event()
        self._flowing.set()
        self._whole = True
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def reset(self) -> None:
        """Count from zero again."""
        with self._lock:
            self.round_trips = 0
            self.commands = []

    def pause(self) -> None:
        """Hold everything sent from now on, in both directions, until ``resume``."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Break every connection, and every new one, until ``mend``."""
        self._whole = False
        with self._lock:
            for end in self._sockets:
                shut(end)
        # A paused connection must wake up to notice.
        self._flowing.set()

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        shut(self._listener)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._whole:
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()
            else:
                client.close()

    def _connect(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self._upstream_port)) as server:
                ends = {client, server}
                with self._lock:
                    self._sockets |= ends
                try:
                    self._carry(client, server)
                finally:
                    with self._lock:
                        self._sockets -= ends
        except OSError:
            return

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        buffer = bytearray()
        asked = False
        while True:
            ready, _, _ = select.select([client, server], [], [])
            self._flowing.wait()
            if client in ready:
                data = receive_all(client)
                if not data:
                    return
                buffer += data
                self._note_commands(buffer)
                asked = True
                server.sendall(data)
            if server in ready:
                data = server.recv(1 << 16)
                if not data:
                    return
                if asked:
                    asked = False
                    # Counted before the client can see the answer and look at the count.
                    with self._lock:
                        self.round_trips += 1
                client.sendall(data)

    def _note_commands(self, buffer: bytearray) -> None:
        with self._lock:
            while name := take_command(buffer):
                self.commands.append(name)


def receive_all(source: socket.socket) -> bytes:
    """What ``source`` sent at once; empty at its end."""
    pieces = [source.recv(1 << 20)]
    if len(pieces[0]) >= ONE_PIECE:
        while pieces[-1] and select.select([source], [], [], QUIET_SECONDS)[0]:
            pieces.append(source.recv(1 << 20))
    return b"".join(pieces)


def shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # The other side was faster.


@pytest.fixture
def wire(redis_server: RedisServer) -> Iterator[Wire]:
    """The counted way to ``redis_server``; connect to ``wire.url``."""
    wire = Wire(redis_server.port)
    try:
        yield wire
    finally:
        wire.close()
