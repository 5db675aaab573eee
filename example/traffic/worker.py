"""One member of the crew: visits pages, writes now and then, and checks after every write."""

from __future__ import annotations

import time
from contextlib import nullcontext
from multiprocessing.connection import Connection
from random import Random
from threading import Thread

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection

import ormcache
from blog.models import Article
from traffic import writes
from traffic.check import PATIENCE, Checker
from traffic.job import Job
from traffic.plan import Plan
from traffic.questions import answer, questions_about
from traffic.tally import Tally
from traffic.web import counted_queries, visit

UNCACHED = 0.25
"""Share of the visits made inside ``bypass()``, to know what a page costs without the cache."""
FINAL_PAGES = 200


class Worker:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.rng = Random(job.seed * 1000 + job.number)
        self.plan = Plan(job.seed)
        self.tally = Tally()
        self.checker = Checker(job.gate, job.ask)
        self.seen: set[str] = set()

    def run(self) -> Tally:
        """Do the job and return what was counted."""
        answering = Thread(target=answer_questions, args=[self.job.answer], daemon=True)
        answering.start()
        try:
            self._traffic()
            self.job.finish.wait()
            self._final_round()
            self.job.finish.wait()
        finally:
            self.job.ask.send(None)
        answering.join(PATIENCE)
        connection.close()
        self.tally.comparisons = self.checker.comparisons
        self.tally.still = self.checker.still
        self.tally.differences = self.checker.differences
        return self.tally

    def _traffic(self) -> None:
        visits, writes_left = self.job.visits, self.job.writes
        end = time.monotonic() + self.job.seconds
        while (visits or writes_left) and time.monotonic() < end:
            if self.rng.randrange(visits + writes_left) < writes_left:
                self._write()
                writes_left -= 1
            else:
                self._visit()
                visits -= 1
            with self.job.progress.get_lock():
                self.job.progress.value += 1

    def _visit(self) -> None:
        kind, path = self.plan.page(self.rng)
        self.seen.add(path)
        uncached = self.rng.random() < UNCACHED
        with counted_queries() as queries, ormcache.bypass() if uncached else nullcontext():
            start = time.perf_counter()
            visit(path)
            seconds = time.perf_counter() - start
        (self.tally.uncached if uncached else self.tally.cached)[kind].add(seconds, queries.count)

    def _write(self) -> None:
        article = Article.objects.filter(pk=self.plan.articles.pick(self.rng)).first()
        if article is None:
            return
        write = writes.pick(self.rng)
        questions = questions_about(article)
        touched = None
        try:
            with self.job.gate.write():
                touched = write(article, self.rng)
            self.tally.writes[write.__name__] += 1
        except (ObjectDoesNotExist, DatabaseError) as error:
            # A deadlock, or another writer was faster. The pages must be right all the same.
            self.tally.refused[type(error).__name__] += 1
        for subject in {article, touched or article}:
            questions |= questions_about(subject)
        for question in sorted(questions):
            self.checker.check(question, f"{write.__name__}, article {article.pk}")

    def _final_round(self) -> None:
        """Nobody writes any more: a sample of all pages visited, whether written to or not."""
        paths = sorted(self.seen)
        for path in self.rng.sample(paths, min(FINAL_PAGES, len(paths))):
            self.checker.check(path, "the last write of all")


def answer_questions(line: Connection) -> None:
    """Answer what the neighbour asks, until it sends ``None``."""
    while (question := line.recv()) is not None:
        try:
            line.send(answer(question))
        except Exception as error:  # Shows as a difference, with its text.
            line.send(f"failed: {error!r}")
    connection.close()
