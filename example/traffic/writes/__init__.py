"""The kinds of writes, each one transaction at most, and how often each comes.

A write gets the article it is about and returns another one when it touched another.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from blog.models import Article
from traffic.writes import around, articles, transactions

Write = Callable[[Article, Random], Article | None]

WEIGHTS: dict[Write, int] = {
    articles.count_view: 30,
    articles.edit: 12,
    articles.retitle: 6,
    articles.publish: 5,
    articles.create: 5,
    articles.delete: 3,
    articles.move: 3,
    articles.change_prices: 4,
    articles.round_prices: 3,
    articles.raw_sql: 2,
    around.comment: 12,
    around.comment_often: 2,
    around.delete_comment: 5,
    around.delete_comments: 1,
    around.add_tag: 4,
    around.remove_tag: 3,
    around.set_tags: 2,
    around.rename_tag: 1,
    around.rename_author: 3,
    around.write_profile: 2,
    around.delete_profile: 1,
    transactions.give_up: 3,
    transactions.give_up_partly: 2,
    transactions.edit_locked: 2,
}
_KINDS, _WEIGHTS = list(WEIGHTS), list(WEIGHTS.values())


def pick(rng: Random) -> Write:
    return rng.choices(_KINDS, _WEIGHTS)[0]
