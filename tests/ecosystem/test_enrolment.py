"""``ORMCACHE["MODELS"]``: users, permissions, sites and tags of other people's applications."""

from __future__ import annotations

from typing import Any

from tests.ecosystem.site import Site, require

MODELS = """
    from django.contrib.auth.models import User
    from django.db import models
    from ormcache.models import CachedModel

    class Article(CachedModel):
        title = models.CharField(max_length=20)
        author = models.ForeignKey(User, models.CASCADE)
"""
NAMES = """
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command
    from django.db import models
    from django.test import Client

    class Staff(User):
        room = models.CharField(max_length=20)

        class Meta:
            app_label = "site"

    class Admin(User):
        class Meta:
            app_label = "site"
            proxy = True

    def logged_in(name):
        client = Client()
        client.force_login(User.objects.get(username=name))
        return client
"""
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PROCESSORS = [
    f"django.{name}"
    for name in (
        "template.context_processors.request",
        "contrib.auth.context_processors.auth",
        "contrib.messages.context_processors.messages",
    )
]
SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "MIDDLEWARE": MIDDLEWARE,
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "ROOT_URLCONF": "tests.ecosystem.app.urls",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": PROCESSORS},
        }
    ],
}
USERS = """
    with connection.schema_editor() as editor:
        editor.create_model(Staff)
    ann = User.objects.create_user("ann", "a@example.org", "one")
    bob = User.objects.create_user("bob", "b@example.org", "one")
    editors = Group.objects.create(name="editors")
    Article.objects.create(title="t", author=ann)
    Staff.objects.create(username="sue", room="r")
"""
READS = (
    "User.objects.get(pk=1).first_name",
    "Article.objects.get(pk=1).author.email",
    "[a.author.username for a in Article.objects.select_related('author')]",
    "[u.username for u in User.objects.filter(is_active=True).order_by('username')]",
    "User.objects.get_by_natural_key('ann').password",
    "User.objects.get(pk=1).has_perm('site.add_article')",
    "sorted(User.objects.get(pk=2).get_all_permissions())",
    "[g.name for g in User.objects.get(pk=1).groups.all()]",
    "[u.username for u in Group.objects.get(pk=1).user_set.order_by('pk')]",
    "[p.codename for p in Permission.objects.filter(group=1).order_by('pk')]",
    "[u.username for u in User.objects.with_perm('site.add_article').order_by('pk')]",
    "Permission.objects.select_related('content_type').get(codename='add_article').natural_key()",
    "ContentType.objects.get(model='article').pk",
    "Admin.objects.get(pk=1).first_name",
    "[u.pk for u in User.objects.filter(groups__name='editors')]",
    "User.objects.count()",
)


def start(site: Site, **options: Any) -> None:
    site.start(
        MODELS,
        apps=("django.contrib.sessions",),
        names=NAMES,
        ormcache={"MODELS": {"auth.*": {"timeout": 600}, "contenttypes.ContentType": {}}},
        **{**SETTINGS, **options},
    )
    site.run(USERS)


def test_users_groups_and_permissions_are_cached(site: Site) -> None:
    start(site)
    site.warm(*READS)
    site.check_cached(*READS)
    writes = (
        "user = User.objects.get(pk=1); user.set_password('two'); user.save()",
        "User.objects.get(pk=1).user_permissions.add(Permission.objects.get(codename='add_article'))",
        "User.objects.get(pk=1).groups.add(1)",
        "Group.objects.get(pk=1).permissions.add(Permission.objects.get(codename='add_article'))",
        "Group.objects.get(pk=1).user_set.add(2)",
        "User.objects.filter(pk=1).update(first_name='Ann', email='ann@example.org')",
        "Admin.objects.filter(pk=1).update(first_name='Anna')",
        "connection.cursor().execute(\"UPDATE auth_user SET first_name = 'raw' WHERE id = 1\")",
        "connection.cursor().execute(\"UPDATE auth_group SET name = 'writers'\")",
        "sue = Staff.objects.get(username='sue'); sue.is_active = False; sue.save()",
        "call_command('createsuperuser', username='root', email='', interactive=False)",
        "User.objects.get(pk=2).groups.clear()",
        "Permission.objects.get(codename='add_article').delete()",
        "User.objects.bulk_update([User(pk=1, email='bulk')], ['email'])",
        "User.objects.get(pk=1).delete()",
        "call_command('flush', interactive=False, verbosity=0)",
    )
    for number, write in enumerate(writes):
        site.run(write, by=number % 2)
        site.check(*READS)


def test_fixtures(site: Site, tmp_path: Any) -> None:
    start(site)
    fixture = str(tmp_path / "users.json")
    site.run(f"call_command('dumpdata', 'auth.User', output={fixture!r}, verbosity=0)")
    site.run("User.objects.update(first_name='changed', password='lost')")
    site.warm(*READS)
    site.run(f"call_command('loaddata', {fixture!r}, verbosity=0)", by=1)
    site.check(*READS)


def test_the_user_of_a_request_costs_no_sql(site: Site) -> None:
    start(site)
    for each in site.processes:
        each.run("client = logged_in('ann')")
    site.warm("client.get('/whoami').content")
    site.check_cached("client.get('/whoami').content")
    site.run("User.objects.filter(pk=1).update(first_name='Ann')", by=1)
    site.check("client.get('/whoami').content")
    site.run("user = User.objects.get(pk=1); user.set_password('two'); user.save()")
    assert "b'None'" == site.processes[1].value("client.get('/whoami').content")


def test_the_admin_shows_what_is_there(site: Site) -> None:
    start(
        site,
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.messages",
            "django.contrib.sessions",
            "ormcache",
            "tests.ecosystem.app.apps.SiteConfig",
        ],
    )
    site.run("User.objects.create_superuser('root', 'r@example.org', 'one')")
    for each in site.processes:
        each.run("""
            import re
            root = logged_in("root")

            def page(path):
                text = root.get(path).content.decode()
                return re.sub(r'name="csrfmiddlewaretoken" value="\\w+"', "", text)
        """)
    reads = (
        "page('/admin/auth/user/?is_active__exact=1')",
        "page('/admin/auth/user/1/change/')",
        "page('/admin/auth/group/1/change/')",
    )
    site.warm(*reads)
    site.run("""
        root.post("/admin/auth/group/1/change/", {"name": "writers", "permissions": [1, 2]})
        root.get("/admin/")  # which says so
        User.objects.filter(pk=1).update(last_name="Changed")
        assert ["writers"] == [group.name for group in Group.objects.all()]
    """)
    site.check(*reads)
    assert "Changed" in site.processes[1].value(reads[0])


def test_nothing_else_of_the_models_changes(site: Site) -> None:
    start(site)
    site.run("""
        import pickle
        from django.contrib.auth.models import UserManager
        from django.db.models import Manager, QuerySet
        from ormcache.queryset import CachedQuerySet
        user = User.objects.get(pk=1)
        assert user == pickle.loads(pickle.dumps(user))
        assert type(user) is User and User.__bases__[0].__name__ == "AbstractUser"
        assert isinstance(User.objects, UserManager)
        assert isinstance(Admin.objects.all(), CachedQuerySet)
        assert isinstance(User.groups.through._base_manager.all(), CachedQuerySet)
        assert type(Staff.objects) is UserManager and type(Staff.objects.all()) is QuerySet
        assert user.check_password("one")
        call_command("makemigrations", "auth", check_changes=True, dry_run=True, verbosity=0)
        user.first_name = "unsaved"
        user.refresh_from_db()
        assert user.first_name == ""
        del user.email
        assert user.email == "a@example.org"
        assert User.objects.explain_cache("get", pk=1).timeout == 600
    """)
    assert site.processes[0].read("User.objects.get(pk=1).refresh_from_db()")["sql"]


def test_a_user_model_of_ones_own_is_asked_for_by_its_own_name(site: Site) -> None:
    site.start(
        """
        from django.contrib.auth.models import AbstractUser
        from django.db import models

        class User(AbstractUser):
            nick = models.CharField(max_length=20)
        """,
        ormcache={"MODELS": {"auth.*": {}, "site.user": {}}},
        AUTH_USER_MODEL="site.User",
    )
    site.run("""
        from django.core.management import call_command
        call_command("check", fail_level="ERROR")
        User.objects.create_user("ann", nick="n")
    """)
    reads = ("User.objects.get(pk=1).nick", "[u.nick for u in User.objects.order_by('nick')]")
    site.warm(*reads)
    site.check_cached(*reads)
    site.run("User.objects.update(nick='m')", by=1)
    site.check(*reads)
    other = site.join(
        ORMCACHE={"URL": site.server.url, "NAMESPACE": "site", "MODELS": {"auth.*": {}}}
    )
    other.run("from ormcache.schema.tables import is_cached; assert not is_cached(User)")


def test_tags_and_sites(site: Site) -> None:
    require("taggit")
    site.start(
        """
        from ormcache.models import CachedModel
        from django.db import models
        from django.contrib.sites.models import Site
        from taggit.managers import TaggableManager
        from taggit.models import Tag

        class Article(CachedModel):
            title = models.CharField(max_length=20)
            site = models.ForeignKey(Site, models.CASCADE)
            tags = TaggableManager()
        """,
        apps=("django.contrib.sites", "taggit"),
        ormcache={"MODELS": {"taggit.*": {}, "sites.site": {"lists": False}}},
        SITE_ID=1,
    )
    site.run("a = Article.objects.create(title='a', site_id=1); a.tags.add('red', 'blue')")
    cached = (
        "Article.objects.get(pk=1).site.domain",
        "[a.site.domain for a in Article.objects.select_related('site')]",
        "[t.name for t in Article.objects.get(pk=1).tags.order_by('name')]",
        "[t.slug for t in Tag.objects.order_by('slug')]",
    )
    by_tag = "[a.pk for a in Article.objects.filter(tags__name='blue')]"
    site.warm(*cached)
    site.check_cached(*cached)
    site.check_uncached("adds a condition of its own to joins", by_tag)
    site.check_uncached(
        "lists is False",
        "[s.domain for s in Site.objects.order_by('domain')]",
    )
    site.run("Article.objects.get(pk=1).tags.add('green')", by=1)
    site.check(*cached)
    site.run("Article.objects.get(pk=1).tags.remove('blue')")
    site.check(*cached)
    site.run("Tag.objects.filter(name='red').update(name='crimson')", by=1)
    site.check(*cached)
    site.run("Site.objects.update(domain='example.net')", by=1)
    site.check(*cached)
    site.run("Tag.objects.get(name='crimson').delete()")
    site.check(*cached)


def test_a_deployment_that_enrols_a_model(site: Site) -> None:
    """While processes with the old setting still run."""
    site.start(MODELS, ormcache={"MODELS": {}}, processes=1, names=NAMES)
    site.run(USERS)
    newer = site.join(
        ORMCACHE={"URL": site.server.url, "NAMESPACE": "site", "MODELS": {"auth.*": {}}}
    )
    newer.run("from django.contrib.auth.models import Group, User")
    reads = (
        "User.objects.get(pk=1).first_name",
        "[u.first_name for u in User.objects.order_by('first_name')]",
        "[a.pk for a in Article.objects.filter(author__first_name='Ann')]",
        "Article.objects.filter(author__groups__name='editors').count()",
        "Article.objects.filter(author__first_name='Ann').exists()",
    )
    writes = (
        "User.objects.filter(pk=1).update(first_name='Ann')",
        "User.objects.get(pk=1).groups.add(1)",
        "user = User.objects.get(pk=1); user.first_name = 'Anna'; user.save()",
        "User.objects.get(pk=1).groups.clear()",
        "User.objects.filter(pk=1).update(first_name='Ann')",
        "User.objects.filter(pk=1).delete()",
    )
    for number, write in enumerate(writes):
        site.warm(*reads)
        site.run(write, by=number % 2)
        site.check(*reads)
