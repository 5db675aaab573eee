"""One connection to the server, and the epoch of the server at its other end."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from ormcache.cells import EPOCH_SIZE
from ormcache.exceptions import StoreError
from ormcache.store.mistakes import IS_SENTINEL
from ormcache.store.scripts import scripts_for

logger = logging.getLogger("ormcache")

Command = Sequence[Any]

_PRIMARY = b"role:master\r\n"


class Channel:
    """A redis-py connection used without its client: on a hit the client's own Python would cost
    more than the server.

    ``epoch`` belongs to the connection, not to the process: a reply can only be judged by the
    identity of the very server run that gave it. A restart or a fail-over ends the connection, and
    the next one learns the new epoch.

    A server that is made a replica goes on answering reads, from a copy that no writer marks, and
    when it is made a primary again it is another one to all but those who stayed. So every call
    ends with a question in the same packet, whose answer names the reign: only while that is the
    one of ``epoch`` is anything believed.
    """

    __slots__ = (
        "_connection",
        "_gets",
        "_head",
        "_question",
        "_reign",
        "epoch",
        "info",
        "scripts",
    )

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._question, self._reign = b"", b""
        self._gets: Any = None
        # No answer begins with it.
        self._head = b"?"
        connection.connect()
        self.info = self._read_info()
        self.epoch = _epoch(self.info)
        self.scripts = scripts_for(self.info.get("redis_version", ""))
        if self.info.get("role") == "master" and (reign := self.info.get("master_replid")):
            self._question = b"".join(connection.pack_command(b"INFO", b"replication"))
            self._reign = b"\r\nmaster_replid:%s\r\n" % reign.encode()
            # That of hiredis: redis-py's own parser has no such reader.
            self._gets = getattr(getattr(connection._parser, "_reader", None), "gets", None)

    def call(self, command: Command) -> Any:
        """Send one command and return its reply; an error reply is raised."""
        connection = self._connection
        packed = [b"".join((*connection.pack_command(*command), self._question))]
        connection.send_packed_command(packed, check_health=False)
        try:
            reply = connection.read_response(disable_decoding=True)
        except ResponseError:
            self._check_reign()
            raise
        self._check_reign()
        return reply

    def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands at once; an error reply stands in the list instead of a result."""
        connection = self._connection
        packed = [b"".join((*connection.pack_commands(commands), self._question))]
        connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        self._check_reign()
        return replies

    def _check_reign(self) -> None:
        if not self._reign:
            return
        # Mostly it came with the reply before it: one step in C instead of redis-py's Python.
        answer = None if self._gets is None else self._gets(False)
        if type(answer) is not bytes and not isinstance(answer, Exception):
            answer = self._connection.read_response(disable_decoding=True)
        if type(answer) is not bytes or not answer.startswith(self._head):
            self._head = self._head_of(answer)

    def _head_of(self, answer: Any) -> bytes:
        """The answer up to the name of the reign: replicas that come and go change it."""
        if type(answer) is not bytes or self._reign not in answer or _PRIMARY not in answer:
            raise RedisConnectionError("the server is not the primary any more that it was")
        return answer[: answer.index(self._reign) + len(self._reign)]

    def close(self) -> None:
        self._connection.disconnect()

    def _read_info(self) -> dict[str, str]:
        try:
            raw = self.call((b"INFO",))
        except ResponseError:
            # An embedded server, or one that hides INFO: its restarts can not be noticed.
            return {}
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
        info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if info.get("redis_mode") == "sentinel":
            raise StoreError(IS_SENTINEL)
        if info.get("role") == "slave":
            raise StoreError(
                "The Redis server is a read-only replica. Point ORMCACHE at the primary."
            )
        return info


def _epoch(info: dict[str, str]) -> bytes:
    # run_id changes on restart, the replication id on promotion.
    identity = info.get("run_id", "") + info.get("master_replid", "")
    return hashlib.blake2b(identity.encode(), digest_size=EPOCH_SIZE).digest()
