"""Rows of the page on other people's packages for those whose own tests are about something else:
tried before and after a write of the other process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.ecosystem import test_enrolment, test_modeltranslation, test_tenants
from tests.ecosystem.site import Site, require
from tests.ecosystem.support import Support

TAGGED = """
    from ormcache.models import CachedModel
    from django.db import models
    from taggit.managers import TaggableManager

    class Article(CachedModel):
        title = models.CharField(max_length=20)
        tags = TaggableManager()
"""
PHONES = """
    from ormcache.models import CachedModel
    from django.db import models
    from phonenumber_field.modelfields import PhoneNumberField

    class Person(CachedModel):
        phone = PhoneNumberField(unique=True)
"""


@dataclass(frozen=True)
class Case:
    """A site with a package: ``rows`` are made by the one process, ``write`` is the other's."""

    support: Support
    module: str
    models: str
    rows: str
    write: str
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        Support(
            "Django",
            cached=(
                ("a user, by key and by name", "User.objects.get(username='ann').pk"),
                ("permissions", "User.objects.get(pk=1).has_perm('auth.add_group')"),
                ("groups of a user", "[g.name for g in User.objects.get(pk=1).groups.all()]"),
                ("content types", "ContentType.objects.get(model='group').pk"),
                (
                    "lists that follow a key to a user",
                    "[a.author.username for a in Article.objects.select_related('author')]",
                ),
            ),
            notes="The applications ``auth`` and ``contenttypes``, with "
            '``"MODELS": {"auth.*": {}, "contenttypes.ContentType": {}}``.',
        ),
        "django.contrib.auth",
        test_enrolment.MODELS,
        "ann = User.objects.create(username='ann'); ann.groups.create(name='writers')\n"
        "Article.objects.create(title='first', author=ann)",
        "Group.objects.get(pk=1).permissions.add(Permission.objects.get(codename='add_group'))",
        {
            "names": "from django.contrib.auth.models import Group, Permission, User\n"
            "from django.contrib.contenttypes.models import ContentType",
            "ormcache": {"MODELS": {"auth.*": {}, "contenttypes.ContentType": {}}},
        },
    ),
    Case(
        Support(
            "django-modeltranslation",
            cached=(
                ("a row, in each language", "read('de', lambda: News.objects.get(pk=1).name)"),
                (
                    "lists by a translated field",
                    "read('de', lambda: [n.pk for n in News.objects.filter(name='neu')])",
                ),
                (
                    "counts",
                    "read('en', lambda: News.objects.filter(slug='a').count())",
                ),
            ),
            uncached=(
                (
                    "``values()`` and ``values_list()``",
                    "read('en', lambda: list(News.objects.values_list('name', 'slug')))",
                    "FallbackValuesListIterable is a shape of its own",
                ),
            ),
        ),
        "modeltranslation",
        test_modeltranslation.MODELS.format(queryset="Above"),
        "for c in 'ab': News.objects.create(name=c, name_de=c, slug=c, slug_de=c)",
        "with override('de'): News.objects.filter(pk=1).update(name='neu')",
        {
            "apps": ("modeltranslation",),
            "names": test_modeltranslation.NAMES,
            **test_modeltranslation.LANGUAGES,
        },
    ),
    Case(
        Support(
            "django-phonenumber-field",
            cached=(
                ("rows", "Person.objects.get(pk=1).phone"),
                ("lists", "[p.phone for p in Person.objects.order_by('pk')]"),
                ("a row by its number", "Person.objects.get(phone='+4930123456').pk"),
            ),
            uncached=(
                (
                    "numbers in ``values_list()``",
                    "list(Person.objects.order_by('pk').values_list('phone', flat=True))",
                    "is loaded by code of its own",
                ),
            ),
            notes="Declare ``PhoneNumberField`` :ref:`stable <stable>` to cache those, too.",
        ),
        "phonenumber_field",
        PHONES,
        "Person.objects.create(phone='+4930123456')",
        "Person.objects.create(phone='+4930123457')",
        {"apps": ("phonenumber_field",)},
    ),
    Case(
        Support(
            "django-taggit",
            cached=(
                (
                    "the tags of an object",
                    "[t.name for t in Article.objects.get(pk=1).tags.order_by('name')]",
                ),
                ("all tags", "[t.name for t in Tag.objects.order_by('name')]"),
            ),
            uncached=(
                (
                    "objects by tag",
                    "[a.pk for a in Article.objects.filter(tags__name='blue')]",
                    "taggit.managers.TaggableManager adds a condition of its own to joins",
                ),
                (
                    "``prefetch_related()`` of tags",
                    "[[t.name for t in a.tags.all()]"
                    " for a in Article.objects.prefetch_related('tags')]",
                    "extra(select=...) is raw SQL",
                ),
            ),
            notes='With ``"MODELS": {"taggit.*": {}, "contenttypes.ContentType": {}}``.',
        ),
        "taggit",
        TAGGED,
        "a = Article.objects.create(title='a'); a.tags.add('red')",
        "Article.objects.get(pk=1).tags.add('blue')",
        {
            "apps": ("taggit",),
            "names": "from taggit.models import Tag",
            "ormcache": {"MODELS": {"taggit.*": {}, "contenttypes.ContentType": {}}},
        },
    ),
    Case(
        Support(
            "django-tenants",
            cached=(
                ("rows of a tenant", "of('two', article)"),
                ("lists", "of('two', articles)"),
                ("values and counts", "of('two', titles), of('two', number)"),
                ("rows of the public schema", "of('one', country)"),
            ),
            notes="With ``VIEW`` (:doc:`tenants`). Without it all is read from the database.",
        ),
        "django_tenants",
        test_tenants.SCHEMAS,
        test_tenants.IN_SCHEMAS,
        "of('two', lambda: Article.objects.filter(pk=1).update(title='of two, new'))\n"
        "Country.objects.filter(pk=1).update(name='new')",
        {
            "apps": ("django_tenants",),
            "names": test_tenants.NAMES,
            "ormcache": {"VIEW": "tests.ecosystem.views.of_schema"},
            **test_tenants.TENANTS,
        },
    ),
)

JOBS = "Nothing to set up. A time limit that strikes inside a write leaves no old value."
SUPPORTS = (
    *(case.support for case in CASES),
    # What runs jobs reads nothing itself; its time limits are tried in ``test_jobs``.
    Support("celery", notes=JOBS),
    Support("rq", notes=JOBS),
)


@pytest.mark.parametrize("case", CASES, ids=[case.support.package for case in CASES])
def test_what_the_page_says(site: Site, case: Case) -> None:
    require(case.module.partition(".")[0])
    site.start(case.models, **case.options)
    site.run(case.rows)
    site.check_support(case.support)
    site.run(case.write, by=1)
    site.check_support(case.support)
