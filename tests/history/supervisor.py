"""A run from its servers to its verdict."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from tests.history import journal, nursery, settled
from tests.history.board import Board
from tests.history.faults import DATABASE, FAULTS, REDIS, World
from tests.history.nursery import Mortality
from tests.history.options import Options
from tests.history.proxy import Proxies
from tests.history.reads import READS
from tests.history.records import Log, now
from tests.history.servers import Store
from tests.history.verdict import Verdict, judge
from tests.history.windows import Injected
from tests.history.worker import Job
from tests.history.writes import WRITES

_PATIENCE = 90.0
_LONGEST_RUN = 4 * 3600.0
_PROXIED = 2
"""The last two processes reach Redis and the database through a proxy, the others directly."""


def run(options: Options) -> Verdict:
    """Do what ``options`` say. Leaves no server, process or database behind."""
    unknown = set(options.kinds) - READS.keys() - WRITES.keys()
    if unknown:
        known = ", ".join((*READS, *WRITES))
        raise SystemExit(f"--kinds: there is no {', '.join(sorted(unknown))}; there are {known}.")
    with tempfile.TemporaryDirectory(prefix="ormcache-history-") as scratch:
        directory = Path(scratch)
        logs = options.keep or directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (
            journal.database(options.books, options.shelves),
            _servers(directory) as (store, proxies),
        ):
            job = _job(options, logs, store, proxies)
            faults = _live(options, job, store, proxies)
            settled.compare(job)
            versions = list(journal.versions())
        return judge(logs, versions, faults)


@contextlib.contextmanager
def _servers(directory: Path) -> Iterator[tuple[Store, Proxies]]:
    store = Store(directory)
    try:
        config = settings.DATABASES["default"]
        proxies = Proxies({REDIS: store.socket, DATABASE: f"{config['HOST']}:{config['PORT']}"})
        try:
            yield store, proxies
        finally:
            proxies.close()
    finally:
        store.close()


def _job(options: Options, logs: Path, store: Store, proxies: Proxies) -> Job:
    direct = f"unix://{store.socket}"
    urls = [direct] * options.processes
    ports = [int(settings.DATABASES["default"]["PORT"])] * options.processes
    if options.processes > _PROXIED:
        urls[-1] = f"redis://127.0.0.1:{proxies.ports[REDIS]}/0"
        ports[-2] = proxies.ports[DATABASE]
    return Job(
        directory=logs,
        books=options.books,
        shelves=options.shelves,
        write_share=options.write_share,
        batch=options.batch,
        linger=options.linger,
        snapshots=options.isolation == "repeatable read",
        breaks=options.breaks,
        kinds=options.kinds,
        redis_urls=tuple(urls),
        database_ports=tuple(ports),
        store={"ON_OUTAGE": options.on_outage} if options.on_outage else {},
    )


def _live(options: Options, job: Job, store: Store, proxies: Proxies) -> list[Injected]:
    """Let the workers live, and break what they live on."""
    board = Board(options.processes)
    pid = nursery.start(job, board, Mortality(options.exhaustive, options.life), options.seed)
    rng = random.Random(options.seed)
    world = World(store, proxies, board, rng)
    try:
        _await_birth(board)
        return _break(options, job, world)
    finally:
        board.stop()
        _await(pid)


def _await_birth(board: Board) -> None:
    """Wait until every slot has its first worker. What goes wrong later is told by the logs."""
    deadline = time.monotonic() + _PATIENCE
    while len(board.pids()) < board.slots:
        if time.monotonic() > deadline:
            raise TimeoutError("no worker was started")
        time.sleep(0.01)


def _break(options: Options, job: Job, world: World) -> list[Injected]:
    log = Log(job.directory / "supervisor.log")
    injected: list[Injected] = []
    started = time.monotonic()
    order: list[str] = []
    reported = started
    while not _is_done(options, world.board, time.monotonic() - started):
        time.sleep(min(world.rng.expovariate(1 / options.fault_pause), 5 * options.fault_pause))
        if sys.stderr.isatty() and time.monotonic() - reported > 10:
            reported = time.monotonic()
            print(f"{world.board.reads:,} reads, {len(injected)} faults", file=sys.stderr)
        if not options.faults:
            continue
        # Every fault comes as often as any other, in an order of its own each time.
        order = order or world.rng.sample(options.faults, len(options.faults))
        name, start = order.pop(), now()
        try:
            FAULTS[name](world)
        except Exception:
            # What state the servers are in nobody knows: the run ends, and does not count.
            log.write("error", now(), name, traceback.format_exc())
            break
        injected.append(Injected(name, start, now()))
        log.write("fault", start, now(), name)
    return injected


def _is_done(options: Options, board: Board, seconds: float) -> bool:
    if seconds > (options.seconds or _LONGEST_RUN):
        return True
    if not (options.reads or options.kills):
        return False
    return board.reads >= options.reads and board.kills >= options.kills


def _await(pid: int) -> None:
    """Wait for the nursery; it and what it bore end in time in any case."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
