"""The server behind the cache: what it is, and what is unwise about how it is set up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ormcache import runtime
from ormcache.management.output import Output
from ormcache.text import bytes_text

_OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}
_BEST_POLICY = "allkeys-lru"


@dataclass(frozen=True, slots=True)
class Server:
    """Sizes in bytes, a ``maxmemory`` of 0 is no limit; ``None`` for what the server hides."""

    where: str
    name: str
    version: str | None
    role: str | None
    memory_used: int | None
    maxmemory: int | None
    policy: str | None
    epoch_known: bool
    shared: bool

    def data(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        known = "known" if self.epoch_known else "hidden"
        lines = [f"Server       {self.name} {self.version or 'of unknown version'}, {self.where}"]
        if self.role is not None:
            lines.append(f"Role         {self.role}")
        if self.memory_used is not None:
            limit = bytes_text(self.maxmemory) if self.maxmemory else "no limit"
            lines.append(f"Memory       {bytes_text(self.memory_used)} of {limit}, {self.policy}")
        lines.append(f"Epoch        {known if self.shared else 'that of this process'}")
        return lines


def look() -> Server:
    """Ask the server. Raises ``StoreError`` when it does not answer."""
    store = runtime.current().store
    info = store.info()
    if not store.shared:
        return Server(
            store.where, "fakeredis", _fakeredis(), None, None, None, None, False, shared=False
        )
    valkey = info.get("valkey_version")
    return Server(
        where=store.where,
        name="Valkey" if valkey else "Redis",
        version=valkey or info.get("redis_version"),
        role=info.get("role"),
        memory_used=_number(info.get("used_memory")),
        maxmemory=_number(info.get("maxmemory")),
        policy=info.get("maxmemory_policy"),
        epoch_known=bool(info.get("run_id")),
        shared=True,
    )


def advice(server: Server) -> list[str]:
    """What should be changed about the server, most serious first."""
    if not server.shared:
        return [_EMBEDDED]
    found = []
    oldest = _OLDEST[server.name]
    if server.version is not None and _parts(server.version) < oldest:
        needed = ".".join(map(str, oldest))
        found.append(f"{server.name} {server.version} is too old, {needed} is needed.")
    if not server.epoch_known:
        found.append(
            "the server hides its run_id (INFO): after a restart from a snapshot or a fail-over "
            "what was stored before may be served."
        )
    if server.maxmemory == 0:
        found.append(
            "the server has no maxmemory: it grows until the machine is full. Set one, with the "
            f"policy {_BEST_POLICY}."
        )
    elif server.policy == "noeviction":
        found.append(
            "with the policy noeviction a full server takes no marks, so writes of cached models "
            f"fail, too. Use {_BEST_POLICY}."
        )
    elif server.policy not in (_BEST_POLICY, None):
        found.append(
            f"under the policy {server.policy} a full server may evict the marks of writers "
            f"before their commit. Use {_BEST_POLICY}, which lets them live longest."
        )
    return found


_EMBEDDED = (
    "this is the embedded store of this very process: what other processes hold is not in it. Set "
    'ORMCACHE["URL"] to a Redis server.'
)


def warn_of(server: Server, out: Output, *, only_sharing: bool = False) -> list[str]:
    """Warn of what ``advice`` finds and return it."""
    found = [] if only_sharing and server.shared else advice(server)
    for message in found:
        out.warn(message)
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _fakeredis() -> str | None:
    try:
        return version("fakeredis")
    except PackageNotFoundError:
        return None
