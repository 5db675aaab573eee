"""What forms read: the recipe of the documentation for choices, and the value a field is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.forms.models import ModelChoiceField, ModelChoiceIterator
from django.test.utils import CaptureQueriesContext

from tests.testapp.models import Author


class CachedChoices(ModelChoiceIterator):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        if self.field.empty_label is not None:
            yield ("", self.field.empty_label)
        yield from map(self.choice, self.queryset)


class CachedChoiceField(ModelChoiceField):  # type: ignore[type-arg]
    iterator = CachedChoices


@pytest.mark.django_db(transaction=True)
def test_choices_and_the_value_of_a_field_are_cached() -> None:
    ann = Author.objects.create(name="ann")

    def read() -> list[Any]:
        field: Any = CachedChoiceField(Author.objects.order_by("name"))
        plain: Any = ModelChoiceField(Author.objects.order_by("name"))
        choices = list(field.choices)
        with CaptureQueriesContext(connection) as queries:
            assert list(plain.choices) == choices
        assert 1 == len(queries), "iterator() passes the cache by"
        return [choices, field.clean(ann.pk)]

    # The words for no choice are another version's others.
    (_, *choices), chosen = read()
    assert ([(ann.pk, str(ann))], ann) == (choices, chosen)
    with CaptureQueriesContext(connection) as queries:
        read()
    assert 1 == len(queries)
    Author.objects.update(name="eve")
    assert "eve" == read()[1].name
