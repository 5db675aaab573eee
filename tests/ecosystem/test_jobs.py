"""Time limits of Celery and RQ: exceptions that strike while the database goes on."""

from __future__ import annotations

import pytest

from tests.ecosystem.site import Site, require

MODELS = """
    from ormcache.models import CachedModel
    from django.db import models

    class Article(CachedModel):
        title = models.CharField(max_length=20)
"""

# The limits as the workers set them, without their queues.
NAMES = """
    import signal, threading, time
    from contextlib import contextmanager, suppress

    def celery_limit(seconds):
        from billiard import pool, common
        from billiard.exceptions import SoftTimeLimitExceeded
        signal.signal(signal.SIGALRM, pool.soft_timeout_sighandler)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return SoftTimeLimitExceeded

    def rq_limit(seconds):
        from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
        UnixSignalDeathPenalty(1, JobTimeoutException).setup_death_penalty()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return JobTimeoutException

    def rq_thread_limit(seconds):
        from rq.timeouts import JobTimeoutException, TimerDeathPenalty
        TimerDeathPenalty(seconds, JobTimeoutException).setup_death_penalty()
        return JobTimeoutException

    def builtin_limit(seconds):
        def out_of_time(signum, frame):
            raise TimeoutError("out of time")
        signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return TimeoutError

    def within(limit, run):
        try:
            limit_class = limit(0.3)
            run()
        except Exception as error:
            assert type(error) is limit_class, repr(error)
            return type(error).__name__
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return 'no limit'

    def sql(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def wait_for(title):
        for _ in range(200):
            with ormcache.bypass():
                if Article.objects.get(pk=1).title == title:
                    return True
            time.sleep(0.05)
        return False
"""

LIMITS = ["celery_limit", "rq_limit", "rq_thread_limit", "builtin_limit"]
READS = (
    "Article.objects.get(pk=1).title",
    "[a.title for a in Article.objects.all()]",
    "list(Article.objects.values_list('title', flat=True))",
)


@pytest.fixture
def started(site: Site) -> Site:
    require("celery")
    require("rq")
    site.start(MODELS, names=NAMES)
    site.run("Article.objects.create(title='old')")
    return site


def test_a_limit_while_the_server_goes_on(started: Site) -> None:
    """The marks were released as if the statement had failed."""
    # A limit of another thread's waits until the driver returns.
    for limit in ("celery_limit", "rq_limit", "builtin_limit"):
        started.run("Article.objects.update(title='old')")
        started.warm(*READS)
        started.run(
            f"""
            statement = "UPDATE site_article SET title = '{limit}' FROM pg_sleep(1)"
            ended = within({limit}, lambda: sql(statement))
            """
        )
        assert "'no limit'" != started.processes[0].value("ended")
        # The other process reads while the statement runs.
        assert "'old'" == started.processes[1].value(READS[0])
        assert "True" == started.processes[1].value(f"wait_for('{limit}')")
        started.run("connection.close()")
        started.check(*READS)


SLOWLY = """
from ormcache.store.client import Client
run, slow = Client.run, []

def slowly(self, commands):
    if any(str(command[0]).startswith({script!r}) for command in commands) and not slow:
        slow.append(1)
        for _ in range(20):
            time.sleep(0.05)
    return run(self, commands)

def write():
    article = Article.objects.get(pk=1)
    article.title = {title!r}
    article.save()

Client.run = slowly
try:
    ended = within({limit}, write)
finally:
    Client.run = run
"""


def test_a_limit_while_marks_are_set_or_released(started: Site) -> None:
    """It came out as another error, or not at all."""
    expected = "old"
    for limit in LIMITS:
        for script in ("MARK", "RELEASE"):
            started.warm(*READS)
            title = f"{limit} {script}"
            started.run(SLOWLY.format(script=script, title=title[-20:], limit=limit))
            first = started.processes[0]
            assert "'no limit'" != first.value("ended")
            if script == "RELEASE":
                expected = title[-20:]
            assert repr(expected) == started.processes[1].value(READS[0])
            started.check(*READS)
            assert "False" == first.value("connection.in_atomic_block")
            assert "True" == first.value("connection.get_autocommit()")


def test_a_limit_that_the_driver_of_redis_takes_for_its_own(started: Site) -> None:
    """redis-py makes an error of its own of every TimeoutError, and that was a miss."""
    started.warm(*READS)
    started.server.freeze()
    try:
        started.run(
            """
            from ormcache import runtime
            for channel in runtime.current().store._idle:
                channel._connection._sock.settimeout(10)
            ended = within(builtin_limit, lambda: Article.objects.get(pk=1))
            """
        )
    finally:
        started.server.thaw()
    assert "'TimeoutError'" == started.processes[0].value("ended")
    started.check(*READS)
