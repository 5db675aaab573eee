"""Models that appear after the first query, and models that others keep out of sight."""

from __future__ import annotations

from tests.ecosystem.site import Site

SESSIONS = """
    from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
    from django.db import models
    from ormcache.managers import CacheManager
    from ormcache.models import CachedModel

    class Sessions(BaseSessionManager, CacheManager):
        pass

    class OwnSession(CachedModel, AbstractBaseSession):
        account = models.IntegerField(null=True)
        objects = Sessions()
"""
STORE = """
    from datetime import timedelta

    from django.contrib.admin.models import LogEntry
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
    from django.contrib.sessions.models import Session
    from django.db import models
    from django.utils import timezone
    from tests.ecosystem.app.models import *

    class Store(DatabaseStore):
        @classmethod
        def get_model_class(cls):
            return OwnSession

        def create_model_instance(self, data):
            made = super().create_model_instance(data)
            made.account = data.get("account")
            return made

    class Visit(CachedModel, Session):
        pages = models.IntegerField(default=0)

        class Meta:
            app_label = "site"

    class Note(CachedModel, LogEntry):
        text = models.CharField(max_length=20)

        class Meta:
            app_label = "site"
"""


def test_sessions_and_logs_of_ones_own(site: Site) -> None:
    site.start(
        SESSIONS,
        apps=("django.contrib.sessions", "django.contrib.admin", "django.contrib.messages"),
        names=STORE,
    )
    site.run("""
        with connection.schema_editor() as editor:
            editor.create_model(Visit)
            editor.create_model(Note)
        User.objects.create(username="u")
        later = timezone.now() + timedelta(days=1)
        OwnSession.objects.create(
            session_key="key45678", session_data=Store().encode({"account": 1}),
            expire_date=later, account=1,
        )
        Visit.objects.create(session_key="v", session_data="one", expire_date=later)
        Note.objects.create(
            user_id=1, action_flag=1, object_repr="one", text="t", change_message="",
        )
    """)
    reads = (
        "OwnSession.objects.get(pk='key45678').account",
        "OwnSession.objects.filter(account=2).count()",
        "[each.account for each in OwnSession.objects.order_by('pk')]",
        "Visit.objects.get(pk='v').session_data",
        "[each.session_data for each in Visit.objects.order_by('pages')]",
        "Note.objects.get(text='t').object_repr",
    )
    by_the_clock = "Store('key45678').get('account')"
    site.warm(*reads)
    site.check_cached(*reads)
    site.run("store = Store('key45678'); store['account'] = 2; store.save()", by=1)
    site.check(*reads, by_the_clock)
    site.run("Session.objects.filter(pk='v').update(session_data='two')")
    site.check(*reads, by_the_clock)
    site.run("LogEntry.objects.update(object_repr='two')", by=1)
    site.check(*reads, by_the_clock)
    site.run("Store('key45678').delete(); Session.objects.all().delete()", by=1)
    site.check(*reads, by_the_clock)


PAPERS = """
    from django.db import models
    from ormcache.models import CachedModel

    class Author(CachedModel):
        name = models.CharField(max_length=20)

    class Plain(models.Model):
        name = models.CharField(max_length=20)
"""
LATE = """
    from django.apps.registry import Apps
    from django.db import models
    from ormcache.models import CachedModel

    class Late(CachedModel):
        title = models.CharField(max_length=20)
        author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="lates")

        class Meta:
            app_label = "site"

    class Child(CachedModel, Plain):
        title = models.CharField(max_length=20)

        class Meta:
            app_label = "site"

    Isolated = type("Isolated", (CachedModel,), {
        "__module__": __name__,
        "title": models.CharField(max_length=20),
        "friends": models.ManyToManyField("self", symmetrical=False),
        "Meta": type("Meta", (), {"app_label": "site", "apps": Apps(["site"])}),
    })

    class Window(CachedModel):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "site"
            managed = False
            db_table = "site_author"
"""


def test_models_made_after_the_first_query(site: Site) -> None:
    site.start(PAPERS)
    site.run("Author.objects.create(name='ann'); Plain.objects.create(name='p')")
    early = ("Author.objects.get(pk=1).name", "[a.name for a in Author.objects.order_by('name')]")
    site.warm(*early)
    for each in site.processes:
        each.run(LATE)
    site.run("""
        with connection.schema_editor() as editor:
            for each in (Late, Child, Isolated):
                editor.create_model(each)
        Late.objects.create(title="t", author_id=1)
        Child.objects.create(name="c", title="t")
        Isolated.objects.create(title="t").friends.add(1)
    """)
    reads = (
        *early,
        "Late.objects.get(pk=1).title",
        "Late.objects.get(pk=1).author.name",
        "[l.title for l in Late.objects.filter(author=1)]",
        "[l.title for l in Author.objects.get(pk=1).lates.all()]",
        "[a.name for a in Author.objects.filter(lates__title='new')]",
        "Author.objects.order_by('lates__title').count()",
        "Child.objects.get(title='t').name",
        "[c.name for c in Child.objects.order_by('title')]",
        "Isolated.objects.get(pk=1).title",
        "[i.title for i in Isolated.objects.order_by('title')]",
        "[i.title for i in Isolated.objects.get(pk=1).friends.order_by('title')]",
        "Window.objects.get(pk=1).name",
        "Window.objects.filter(name='ann').count()",
    )
    site.warm(*reads)
    site.check_cached(*reads)
    site.run("""
        for each in (Late, Isolated):
            found = each.objects.get(pk=1)
            found.title = "new"
            found.save()
        Plain.objects.filter(name="c").update(name="d")
        Window.objects.filter(pk=1).update(name="eve")
    """)
    site.check(*reads)
    site.run(
        """
        Late.objects.update(title="newer")
        Isolated.objects.filter(pk=1).update(title="newer")
        Isolated.objects.get(pk=1).friends.clear()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE site_author SET name = 'raw'")
    """,
        by=1,
    )
    site.check(*reads)
    site.run("Author.objects.all().delete(); Isolated.objects.all().delete()", by=1)
    site.check(*reads)


def test_a_model_that_takes_the_place_of_another(site: Site) -> None:
    """Of one label, and of the same text in every query; where it leads is another table."""
    site.start("""
        from django.db import models
        from ormcache.models import CachedModel

        class One(CachedModel):
            name = models.CharField(max_length=20)

        class Other(CachedModel):
            name = models.CharField(max_length=20)
    """)
    made = """
        from django.db import models
        from ormcache.models import CachedModel
        class Pointer(CachedModel):
            to = models.ForeignKey({}, models.CASCADE, db_constraint=False)

            class Meta:
                app_label = "site"
    """
    for each in site.processes:
        each.run(made.format("One"))
    site.run("""
        with connection.schema_editor() as editor:
            editor.create_model(Pointer)
        for one, other in (("a", "b"), ("b", "a")):
            One.objects.create(name=one)
            Other.objects.create(name=other)
        Pointer.objects.create(to_id=1)
        Pointer.objects.create(to_id=2)
    """)
    reads = (
        "[p.to.name for p in Pointer.objects.select_related('to').order_by('pk')]",
        "[p.pk for p in Pointer.objects.order_by('to__name')]",
        "list(Pointer.objects.order_by('pk').values_list('to__name'))",
        "[p.to.name for p in Early.objects.select_related('to').order_by('pk')]",
        "[p.pk for p in Early.objects.order_by('to__name')]",
        "list(Early.objects.order_by('to__name').values('to_id', 'to__name'))",
    )
    for each in site.processes:
        each.run("Early = Pointer")
    site.warm(*reads)
    for each in site.processes:
        each.run(made.format("Other"))
    site.warm(*reads)
    site.check_cached(*reads)
    site.run("Other.objects.filter(name='a').update(name='c')")
    site.check(*reads)
    site.run("One.objects.filter(name='a').update(name='c')", by=1)
    site.check(*reads)


def test_two_models_of_one_table_that_name_its_rows_otherwise(site: Site) -> None:
    site.start("""
        from django.db import models
        from ormcache.models import CachedModel

        class Page(CachedModel):
            slug = models.CharField(max_length=20, unique=True)
            title = models.CharField(max_length=20)

            class Meta:
                db_table = "pages"

        class BySlug(CachedModel):
            slug = models.CharField(max_length=20, primary_key=True)
            title = models.CharField(max_length=20)

            class Meta:
                managed = False
                db_table = "pages"

        class Crossed(CachedModel):
            slug = models.CharField(max_length=20, db_column="title")
            title = models.CharField(max_length=20, db_column="slug")

            class Meta:
                managed = False
                db_table = "pages"
    """)
    site.run("Page.objects.create(slug='a', title='one')")
    reads = (
        "Page.objects.get(pk=1).title",
        "BySlug.objects.get(pk='a').title",
        "[p.title for p in BySlug.objects.filter(title='two')]",
        "Crossed.objects.get(pk=1).slug",
        "Page.objects.filter(slug='b').count()",
        "[p.slug for p in Page.objects.filter(slug__in=['a', 'b', 'c'])]",
        "Crossed.objects.filter(title='b').count()",
    )
    site.warm(*reads)
    site.check(*reads)
    site.check_uncached(
        "names its rows by another primary key", "BySlug.objects.get(pk='a').title"
    )
    site.run("Page.objects.filter(pk=1).update(title='two')", by=1)
    site.check(*reads)
    site.run("one = BySlug.objects.get(pk='a'); one.title = 'three'; one.save()", by=1)
    site.check(*reads)
    site.run("BySlug.objects.filter(pk='a').update(title='four')")
    site.check(*reads)
    site.run("Crossed.objects.create(title='b', slug='five')", by=1)
    site.check(*reads)
    site.run("BySlug.objects.create(slug='c', title='six')")
    site.check(*reads)
    site.run("BySlug.objects.get(pk='a').delete()", by=1)
    site.check(*reads)


def test_a_transaction_that_wrote_before_the_model_appeared(site: Site) -> None:
    site.start(PAPERS)
    late = """
        from django.db import models
        from ormcache.models import CachedModel
        class Late(CachedModel):
            title = models.CharField(max_length=20)

            class Meta:
                app_label = "site"
    """
    site.run("""
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE site_late (id bigserial primary key, title text)")
            cursor.execute("INSERT INTO site_late (title) VALUES ('old')")
    """)
    site.processes[1].run(late)
    site.processes[1].read("Late.objects.get(pk=1).title")
    site.run("""
        block = transaction.atomic()
        block.__enter__()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE site_late SET title = 'new'")
    """)
    site.run(late)
    reads = ("Late.objects.get(pk=1).title", "[l.title for l in Late.objects.all()]")
    assert ["'new'", "['new']"] == [site.processes[0].value(read) for read in reads]
    assert ["'old'", "['old']"] == [site.processes[1].value(read) for read in reads]
    site.run("block.__exit__(None, None, None)")
    site.check(*reads)
