"""django-safedelete: what was deleted is hidden by a class of queries."""

from __future__ import annotations

from tests.ecosystem.orders import ORDERS, in_order
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

MODELS = """
    from ormcache.models import CachedModel
    from django.db import models
    from safedelete.models import SafeDeleteModel, SOFT_DELETE_CASCADE

    class Author(CachedModel, SafeDeleteModel):
        _safedelete_policy = SOFT_DELETE_CASCADE
        name = models.CharField(max_length=20)

    class Book(CachedModel, SafeDeleteModel):
        _safedelete_policy = SOFT_DELETE_CASCADE
        title = models.CharField(max_length=20)
        author = models.ForeignKey(Author, models.CASCADE, related_name="books")

    class Note(CachedModel):
        book = models.ForeignKey(Book, models.CASCADE, related_name="notes")
"""


SUPPORT = Support(
    "django-safedelete",
    cached=(
        ("objects by key, and what is deleted is not there", "Author.objects.get(pk=2).name"),
        ("lists and values", "sorted(Author.objects.values_list('name', flat=True))"),
        ("all or the deleted ones", "[a.name for a in Author.all_objects.order_by('pk')]"),
        ("foreign keys", "Note.objects.get(pk=3).book.title"),
    ),
    uncached=(
        ("counts", "Author.objects.count()", "SafeDeleteQuery is not a plain SELECT"),
        ("exists()", "Author.objects.filter(pk=2).exists()", "SafeDeleteQuery is not a plain"),
    ),
)


@ORDERS
def test_safedelete_hides_what_was_deleted(site: Site, is_first: bool) -> None:
    require("safedelete")
    site.start(in_order(MODELS, is_first), apps=("safedelete",))
    site.run(
        "for name in 'ab':\n"
        "    a = Author.objects.create(name=name)\n"
        "    for i in range(2):\n"
        "        b = Book.objects.create(title=name + str(i), author=a)\n"
        "        Note.objects.create(book=b)\n"
    )
    through_objects = (
        "Author.objects.get(pk=1).name",
        "[a.name for a in Author.objects.filter(pk__in=[1, 2]).order_by('pk')]",
        "Author.objects.filter(pk=1).first() is None",
        "sorted(Author.objects.in_bulk([1, 2]))",
        "[Author.objects.count(), Author.objects.filter(name='a').exists()]",
        "sorted(Book.objects.values_list('title', flat=True))",
        "[b.title for b in Author.all_objects.get(pk=2).books.order_by('pk')]",
        "[a.name for a in Author.all_objects.order_by('pk')]",
        "[a.name for a in Author.deleted_objects.order_by('pk')]",
        "[b.title for b in Author.all_objects.get(pk=1).books.all_with_deleted().order_by('pk')]",
        "[(a.name, [b.title for b in a.books.all()])"
        " for a in Author.all_objects.order_by('pk').prefetch_related('books')]",
    )
    through_keys = (
        "Note.objects.get(pk=3).book.title",
        "Note.objects.get(pk=3).book.author.name",
        "[n.book.title for n in Note.objects.select_related('book').order_by('pk')]",
    )
    site.warm(*through_objects, *through_keys)
    for write in (
        "Author.objects.get(pk=1).delete()",
        "Author.all_objects.get(pk=1).undelete()",
        "Book.objects.filter(title='b0').delete()",
        "Book.objects.filter(title='b1').update(title='new')",
        "Author.objects.filter(pk=2).delete()",
        "Author.deleted_objects.all().undelete()",
        "Book.objects.get(pk=1).delete(force_policy=0)",
    ):
        site.run(write, by=1)
        site.check(*through_objects, *through_keys)
    site.check_cached(*through_keys)
    site.check_support(SUPPORT)
