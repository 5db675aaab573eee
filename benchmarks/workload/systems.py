"""The systems compared: their settings, how a hit is told, and what tells that a list was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT = 3600
PATIENCE = 60
"""Seconds a Redis server may take to answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one read was answered.

    ``stored``: a result was put into the cache. ``witnesses`` are the keys whose change means
    that this result is lost.
    """

    hit: bool
    stored: bool
    witnesses: tuple[Any, ...] = ()


class NoCache:
    """Django alone: its answers are the true ones."""

    title = "no cache"
    counters: Mapping[str, int] = {}
    """What the system itself has counted since the start."""

    def settings(self, socket: str) -> dict[str, Any]:
        """Django's settings, with the Redis server at ``socket``."""
        return {"INSTALLED_APPS": ["benchmarks.workload"]}

    def start(self) -> None:
        """Called once after Django's set-up."""

    def before(self) -> None:
        """Called before each read."""

    def outcome(self, statements: int) -> Outcome:
        """Called after each read, which executed so many SQL statements."""
        return Outcome(hit=False, stored=False)

    def states(self, witnesses: Sequence[Any]) -> list[Any]:
        """What the witnesses hold now."""
        return []

    def update(self, queryset: Any, **values: Any) -> int:
        """``QuerySet.update`` as the system wants it called."""
        return int(queryset.update(**values))


class Ormcache(NoCache):
    """A list that was found is a hit even if rows of it had to be read from the database."""

    title = "ormcache"

    def settings(self, socket: str) -> dict[str, Any]:
        return {
            "INSTALLED_APPS": ["ormcache", "benchmarks.workload"],
            "ORMCACHE": {
                "URL": f"unix://{socket}?db=0",
                "NAMESPACE": "workload",
                "TIMEOUT": TIMEOUT,
            },
        }

    def start(self) -> None:
        from ormcache import runtime
        from ormcache.stats import counters
        from ormcache.store import connect

        # On a machine that is busy with other things, slow does not mean broken.
        connect.TIMEOUT = PATIENCE
        runtime.reset()

        self.counters = counters
        self._reader = runtime.current().reader
        self._store = runtime.current().store
        self._read_entry = self._reader.read_entry
        self._reader.read_entry = self._note_entry  # type: ignore[method-assign]

    def _note_entry(self, entry: Any) -> Any:
        self._entry = entry
        return self._read_entry(entry)

    def before(self) -> None:
        self._entry: Any = None
        self._fills = self.counters["list_fill"]
        self._hits = self.counters["list_hit"]

    def outcome(self, statements: int) -> Outcome:
        if self._entry is None:
            # A row by its key.
            return Outcome(hit=not statements, stored=False)
        return Outcome(
            hit=self.counters["list_hit"] > self._hits,
            stored=self.counters["list_fill"] > self._fills,
            witnesses=tuple(self._entry.stamps),
        )

    def states(self, witnesses: Sequence[Any]) -> list[Any]:
        return list(self._store.mget(tuple(witnesses))[1])


class Cacheops(NoCache):
    """Its bulk updates are made with ``invalidated_update``, as its documentation asks."""

    title = "cacheops"

    def settings(self, socket: str) -> dict[str, Any]:
        return {
            "INSTALLED_APPS": ["cacheops", "benchmarks.workload"],
            "CACHEOPS_REDIS": f"unix://{socket}?db=0",
            "CACHEOPS": {"workload.*": {"ops": "all", "timeout": TIMEOUT}},
        }

    def start(self) -> None:
        import cacheops.query
        from cacheops.redis import redis_client

        self._store = cacheops.query.cache_thing
        cacheops.query.cache_thing = self._note_key
        self._are_there = redis_client.register_script(
            "local r = {} for i, k in ipairs(KEYS) do r[i] = redis.call('EXISTS', k) end return r"
        )

    def _note_key(self, prefix: str, key: str, *args: Any, **kwargs: Any) -> Any:
        self._key = key
        return self._store(prefix, key, *args, **kwargs)

    def before(self) -> None:
        self._key = ""

    def outcome(self, statements: int) -> Outcome:
        return Outcome(not statements, bool(self._key), (self._key,) if self._key else ())

    def states(self, witnesses: Sequence[Any]) -> list[Any]:
        return list(self._are_there(keys=list(witnesses)))

    def update(self, queryset: Any, **values: Any) -> int:
        return int(queryset.invalidated_update(**values))


class Cachalot(NoCache):
    title = "cachalot"

    def settings(self, socket: str) -> dict[str, Any]:
        return {
            "INSTALLED_APPS": ["cachalot", "benchmarks.workload"],
            "CACHES": {
                "default": {
                    "BACKEND": "django.core.cache.backends.redis.RedisCache",
                    "LOCATION": f"unix://{socket}?db=0",
                    "TIMEOUT": TIMEOUT,
                }
            },
            "CACHALOT_TIMEOUT": TIMEOUT,
            "CACHALOT_TABLE_KEYGEN": "benchmarks.workload.systems.noted_table_key",
        }

    def start(self) -> None:
        from django.core.cache import caches

        self._cache = caches["default"]

    def before(self) -> None:
        _table_keys.clear()

    def outcome(self, statements: int) -> Outcome:
        return Outcome(not statements, bool(statements and _table_keys), tuple(_table_keys))

    def states(self, witnesses: Sequence[Any]) -> list[Any]:
        found = self._cache.get_many(witnesses)
        return [found.get(key) for key in witnesses]


_table_keys: list[str] = []


def noted_table_key(db_alias: str, table: str) -> str:
    """cachalot's own key of a table, noted."""
    from cachalot.utils import get_table_cache_key

    key: str = get_table_cache_key(db_alias, table)
    _table_keys.append(key)
    return key


SYSTEMS = {
    "ormcache": Ormcache,
    "cacheops": Cacheops,
    "cachalot": Cachalot,
    "none": NoCache,
}
