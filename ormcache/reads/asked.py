"""Django's own query of a list that was missed, and the pointers its rows contain.

The SQL and the instances are Django's: the same text, the same order, the same calls of the
model. The pointers are taken from the rows on their way to the instances, so nothing that a
model does to its instances gets into an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models.query import ModelIterable


class Asked:
    """The evaluation of a queryset of instances on the database ``using``.

    ``annotations`` and ``paths`` name what the entry holds besides the primary keys: annotations
    of the query, and the relations of its ``select_related`` whose pointers no row has.
    """

    def __init__(
        self, queryset: Any, using: str, annotations: Sequence[str], paths: Sequence[str]
    ) -> None:
        self._queryset = queryset
        self._using = using
        self._annotations = annotations
        self._paths = paths
        # A clone, because compiling changes a query: joins, and columns of a combination's order.
        self.query = _Query(queryset.query.clone(), self)
        self._compiler: Any = None
        self._rows: list[Sequence[Any]] = []

    def __getattr__(self, name: str) -> Any:
        # For all else the iterable asks of its queryset.
        return getattr(self._queryset, name)

    def instances(self) -> list[Any]:
        """Run the SQL: the instances, as Django makes them."""
        own: Any = self
        return list(ModelIterable(own))

    def pointers(self) -> list[Any]:
        """The primary keys in the order of the instances, and the further columns."""
        names = [*self._annotations, *self._paths]
        if not self._rows:
            return [[], [[] for _ in names]]
        found = self._compiler
        info = found.klass_info
        places = [found.annotation_col_map[name] for name in self._annotations]
        places += [_key_of(found.select, _at(info, path)) for path in self._paths]
        pks, *columns = (
            [row[place] for row in self._rows] for place in (_key_of(found.select, info), *places)
        )
        return [pks, columns]

    def compiler(self, query: Any) -> Any:
        """The compiler of ``query``, which keeps the rows it gives."""
        self._compiler = compiler = query.get_compiler(using=self._using)
        results_iter = compiler.results_iter
        compiler.results_iter = lambda *args, **kwargs: self._kept(results_iter(*args, **kwargs))
        return compiler

    def _kept(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for row in rows:
            self._rows.append(row)
            yield row


class _Query:
    """A query whose compiler is that of an ``Asked``."""

    def __init__(self, query: Any, asked: Asked) -> None:
        self._query = query
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)

    def get_compiler(self, using: str | None = None, **options: Any) -> Any:
        return self._asked.compiler(self._query)


def _at(info: Any, path: str) -> Any:
    """What the compiler says of the relation ``path`` leads to."""
    for name in path.split("__"):
        info = next(each for each in info["related_klass_infos"] if name == _name(each))
    return info


def _name(info: Any) -> str:
    field = info["field"]
    return str(field.related_query_name() if info["reverse"] else field.name)


def _key_of(select: Sequence[Any], info: Any) -> int:
    """The position of the primary key in a row."""
    key = info["model"]._meta.pk
    for position in info["select_fields"]:
        if select[position][0].target == key:
            return int(position)
    raise LookupError(f"the primary key of {info['model']._meta.label} is not selected")
