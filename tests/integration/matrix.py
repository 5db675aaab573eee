"""Every kind of write and every kind of cached read. Adding one is adding a line or a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Avg, Count, Exists, F, Max, Min, OuterRef, Prefetch, Q, Subquery, Sum
from django.db.models.functions import Lower

from tests.testapp.models import (
    Article,
    ArticleProxy,
    Author,
    Category,
    Chapter,
    Comment,
    Contribution,
    Film,
    ItalianRestaurant,
    Label,
    Note,
    Photo,
    Place,
    PlainThing,
    Profile,
    Restaurant,
    Tag,
)


class World:
    """A small database, and rows of it by name."""

    def __init__(self) -> None:
        self.ann = Author.objects.create(name="Ann", slug="ann")
        self.bob = Author.objects.create(name="Bob", slug="bob", active=False)
        Profile.objects.create(author=self.ann, biography="writes")
        self.news = Category.objects.create(slug="news", title="News")
        self.sub = Category.objects.create(slug="sub", title="Sub", parent=self.news)
        self.tags = [Tag.objects.create(name=name) for name in ("a", "b", "c")]
        self.articles = [
            Article.objects.create(
                title=f"No. {i}",
                author=self.ann if i % 2 else self.bob,
                editor=self.bob if i % 3 else None,
                category=self.news if i % 2 else None,
                views=i,
                published=i % 4 != 0,
            )
            for i in range(6)
        ]
        for article in self.articles[:4]:
            article.tags.set(self.tags[:2])
            Comment.objects.create(article=article, text=f"on {article.title}")
            Chapter.objects.create(article=article, title="One")
            Contribution.objects.create(article=article, author=self.bob)
        Label.objects.create(target=self.articles[0], text="hot")
        Note.objects.create(author=self.ann, text="note")
        PlainThing.objects.create(author=self.ann, name="pen")
        self.place = Place.objects.create(name="Square")
        self.restaurant = Restaurant.objects.create(name="Inn", owner=self.ann)
        self.italian = ItalianRestaurant.objects.create(name="Da Ugo", serves_pizza=True)
        self.photo = Photo.objects.create(title="sea", width=3)
        Film.objects.create(title="Film", minutes=90)

    @property
    def article(self) -> Article:
        return Article.nocache.order_by("pk")[1]


def sql(text: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, params)


def save(instance: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save()


def save_some(instance: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=list(values))


def in_savepoints(world: World) -> None:
    article = world.article
    with transaction.atomic():
        save(article, title="outer")
        try:
            with transaction.atomic():
                save(article, title="inner")
                raise ValueError
        except ValueError:
            pass
        save_some(article, views=77)


def rolled_back(world: World) -> None:
    with transaction.atomic():
        save(world.article, title="never")
        Article.objects.filter(published=True).delete()
        transaction.set_rollback(True)


def upsert(world: World) -> None:
    old = world.ann
    Author.objects.bulk_create(
        [Author(name="Upserted", slug=old.slug), Author(name="New", slug="upsert")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=None if connection.vendor == "mysql" else ["slug"],
    )


def bulk_update(world: World) -> None:
    articles = list(Article.objects.order_by("pk")[:3])
    for number, article in enumerate(articles):
        article.title = f"bulk {number}"
        article.views = F("views") + 5
    Article.objects.bulk_update(articles, ["title", "views"])


def deferred_save(world: World) -> None:
    article = Article.objects.only("title").get(pk=world.article.pk)
    article.title = "deferred"
    article.save()


def expression_save(world: World) -> None:
    article = world.article
    article.views = F("views") + 1
    article.save()


def reorder(world: World) -> None:
    article: Any = world.article
    article.set_chapter_order(list(article.get_chapter_order().reverse()))


def new_article(world: World) -> Article:
    return Article.objects.create(title="New", author=world.ann, published=True, views=99)


WRITES: dict[str, Callable[[World], Any]] = {
    "create": new_article,
    "create related": lambda w: w.ann.articles.create(title="Related", published=True),
    "save": lambda w: save(w.article, title="saved", views=50),
    "save nothing new": lambda w: w.article.save(),
    "save some": lambda w: save_some(w.article, published=False),
    "save a counter": lambda w: save_some(w.article, views=1000),
    "save foreign key": lambda w: save(w.article, author=w.bob),
    "save null": lambda w: save(w.article, editor=None, category=None),
    "save expression": expression_save,
    "save deferred": deferred_save,
    "save proxy": lambda w: save(ArticleProxy.objects.get(pk=w.article.pk), title="by proxy"),
    "save text key": lambda w: save(w.news, title="Newer"),
    "save uuid key": lambda w: save(w.photo, title="sky"),
    "save related": lambda w: save(w.ann, name="Anna"),
    "save one to one": lambda w: save(Profile.nocache.get(), biography="changed"),
    "save plain": lambda w: save(PlainThing.objects.get(), name="pencil"),
    "update": lambda w: Article.objects.filter(published=True).update(views=F("views") + 10),
    "update by key": lambda w: Article.objects.filter(pk=w.article.pk).update(title="by key"),
    "update related": lambda w: w.bob.articles.update(published=True),
    "update through join": lambda w: Article.objects.filter(author__name__startswith="A").update(
        title="joined"
    ),
    "update nocache": lambda w: Article.nocache.update(body="past the cache"),
    "update through base manager": lambda w: Author._base_manager.filter(pk=w.bob.pk).update(
        active=True
    ),
    "update or create": lambda w: Tag.objects.update_or_create(name="a", defaults={"name": "aa"}),
    "get or create": lambda w: Tag.objects.get_or_create(name="fresh"),
    "bulk create": lambda w: Comment.objects.bulk_create(
        [Comment(article=w.article, text=f"bulk {i}") for i in range(3)]
    ),
    "bulk create ignoring": lambda w: Tag.objects.bulk_create(
        [Tag(name="b"), Tag(name="ignored")], ignore_conflicts=True
    ),
    "bulk create updating": upsert,
    "bulk update": bulk_update,
    "m2m add": lambda w: w.article.tags.add(w.tags[2]),
    "m2m remove": lambda w: w.article.tags.remove(w.tags[0]),
    "m2m set": lambda w: w.article.tags.set(w.tags[1:]),
    "m2m reverse add": lambda w: w.tags[2].articles.add(*w.articles[:2]),
    "m2m clear": lambda w: w.article.tags.clear(),
    "through create": lambda w: Contribution.objects.create(article=w.articles[5], author=w.ann),
    "through update": lambda w: Contribution.objects.filter(author=w.bob).update(role="helper"),
    "through plain": lambda w: Article.tags.through.objects.all().delete(),
    "reverse add": lambda w: w.ann.articles.add(Article.nocache.filter(author=w.bob)[0]),
    "reverse set": lambda w: w.bob.edited_articles.set(list(Article.nocache.all()[:2])),
    "reverse clear": lambda w: w.bob.edited_articles.clear(),
    "generic": lambda w: Label.objects.create(target=w.article, text="generic"),
    "generic manager": lambda w: w.article.labels.create(text="by manager"),
    "reorder": reorder,
    "child save": lambda w: save(w.restaurant, name="Inn 2", serves_pizza=True),
    "child update": lambda w: Restaurant.objects.update(name="Updated", serves_pizza=False),
    "child update by key": lambda w: Restaurant.objects.filter(pk=w.italian.pk).update(
        name="By key", serves_pizza=True
    ),
    "parent update": lambda w: Place.objects.filter(pk=w.italian.pk).update(name="From above"),
    "parent save": lambda w: save(Place.objects.get(pk=w.restaurant.pk), address="Street"),
    "grandchild create": lambda w: ItalianRestaurant.objects.create(name="New Ugo"),
    "savepoints": in_savepoints,
    "rollback": rolled_back,
    "raw update": lambda w: sql("UPDATE testapp_article SET title = 'raw' WHERE views > 2"),
    "raw update by key": lambda w: sql(
        "UPDATE testapp_author SET name = 'raw' WHERE id = %s", w.ann.pk
    ),
    "raw insert": lambda w: sql("INSERT INTO testapp_tag (name) VALUES ('raw')"),
    "raw delete": lambda w: sql("DELETE FROM testapp_comment WHERE text LIKE 'on%%'"),
    "raw with comment": lambda w: sql("/* x */ UPDATE testapp_tag SET name = 'zz' WHERE name='c'"),
    "delete": lambda w: w.article.delete(),
    "delete queryset": lambda w: Article.objects.filter(published=False).delete(),
    "delete cascade": lambda w: Author.objects.create(name="Temp", slug="t").delete(),
    "delete set null": lambda w: w.bob.delete() if not Note.nocache.filter(author=w.bob) else None,
    "delete child": lambda w: w.italian.delete(),
    "delete parent": lambda w: Place.objects.filter(pk=w.restaurant.pk).delete(),
    "delete plain": lambda w: PlainThing.objects.all().delete(),
    "truncate": lambda w: (
        sql("DELETE FROM testapp_film")
        if connection.vendor == "sqlite"
        else sql("TRUNCATE testapp_film")
    ),
}

_author_of = Author.objects.filter(pk=OuterRef("author"))

READS: dict[str, Callable[[], Any]] = {
    "all": lambda: rows(Article.objects.order_by("pk")),
    "filter": lambda: rows(Article.objects.filter(published=True).order_by("-views", "pk")),
    "filter foreign key": lambda: rows(Article.objects.filter(author__slug="ann").order_by("pk")),
    "exclude": lambda: rows(Article.objects.exclude(editor__name="Bob").order_by("pk")),
    "q": lambda: rows(
        Article.objects.filter(Q(views__gt=2) | ~Q(author__active=True)).order_by("pk")
    ),
    "m2m": lambda: rows(Article.objects.filter(tags__name="a").order_by("pk")),
    "m2m exclude": lambda: rows(Article.objects.exclude(tags__name="a").order_by("pk")),
    "distinct": lambda: rows(Article.objects.filter(tags__isnull=False).distinct().order_by("pk")),
    "null": lambda: rows(Article.objects.filter(category=None).order_by("pk")),
    "slice": lambda: rows(Article.objects.order_by("-views", "pk")[1:4]),
    "order by relation": lambda: rows(Article.objects.order_by("author__name", "pk")),
    "default order": lambda: rows(Tag.objects.all()),
    "proxy": lambda: rows(ArticleProxy.objects.order_by("pk")),
    "only": lambda: [a.title for a in Article.objects.only("title").order_by("pk")],
    "first": lambda: row(Article.objects.order_by("title", "pk").first()),
    "last": lambda: row(Article.objects.filter(published=True).order_by("pk").last()),
    "latest": lambda: row(Article.objects.latest("views", "pk")) if Article.nocache.count() else 0,
    "get by field": lambda: [row(Author.objects.get(slug=s)) for s in slugs()],
    "get by key": lambda: [row(Author.objects.get(pk=pk)) for pk in keys(Author)],
    "get text key": lambda: [row(Category.objects.get(pk=pk)) for pk in keys(Category)],
    "get uuid key": lambda: [row(Photo.objects.get(pk=pk)) for pk in keys(Photo)],
    "get child": lambda: [row(Restaurant.objects.get(pk=pk)) for pk in keys(Restaurant)],
    "get grandchild": lambda: [
        row(ItalianRestaurant.objects.get(pk=pk)) for pk in keys(ItalianRestaurant)
    ],
    "in bulk": lambda: {pk: row(o) for pk, o in Article.objects.in_bulk(keys(Article)).items()},
    "count": lambda: Article.objects.filter(published=True).count(),
    "exists": lambda: [Article.objects.filter(title=t).exists() for t in ("raw", "saved", "New")],
    "aggregate": lambda: Article.objects.aggregate(
        Count("id"), Sum("views"), Max("title"), m=Min("author__name"), t=Count("tags")
    ),
    "annotate": lambda: [
        (a.pk, a.n, a.low)
        for a in Article.objects.annotate(n=Count("comments"), low=Lower("title")).order_by("pk")
    ],
    "annotate relation": lambda: [
        (a.pk, a.total, a.average)
        for a in Author.objects.annotate(
            total=Sum("articles__views"), average=Avg("articles__views")
        ).order_by("pk")
    ],
    "subquery": lambda: [
        (a.pk, a.who)
        for a in Article.objects.annotate(who=Subquery(_author_of.values("name")[:1])).order_by(
            "pk"
        )
    ],
    "exists subquery": lambda: rows(
        Author.objects.filter(
            Exists(Article.objects.filter(author=OuterRef("pk"), views__gt=3))
        ).order_by("pk")
    ),
    "in subquery": lambda: rows(
        Article.objects.filter(author__in=Author.objects.filter(active=True)).order_by("pk")
    ),
    "values": lambda: list(Article.objects.order_by("pk").values("title", "author__name")),
    "values list": lambda: list(Article.objects.order_by("pk").values_list("pk", "tags__name")),
    "flat": lambda: list(Tag.objects.values_list("name", flat=True)),
    "named": lambda: list(Author.objects.order_by("pk").values_list("slug", "name", named=True)),
    "group": lambda: list(
        Article.objects.values("author__name").annotate(n=Count("id")).order_by("author__name")
    ),
    "dates": lambda: list(Article.objects.dates("created", "day")),
    "datetimes": lambda: list(Article.objects.datetimes("created", "hour")),
    "union": lambda: sorted(
        a.pk for a in Article.objects.filter(views=1).union(Article.objects.filter(views=2))
    ),
    "foreign key": lambda: [row(a.author) for a in Article.objects.order_by("pk")],
    "one to one": lambda: [row(p.author) for p in Profile.objects.order_by("pk")],
    "reverse one to one": lambda: [
        getattr(a, "profile", None) and row(a.profile) for a in Author.objects.order_by("pk")
    ],
    "reverse manager": lambda: [
        rows(a.articles.order_by("pk")) for a in Author.objects.order_by("pk")
    ],
    "m2m manager": lambda: [rows(a.tags.all()) for a in Article.objects.order_by("pk")],
    "m2m through": lambda: [
        rows(a.contributors.order_by("pk")) for a in Article.objects.order_by("pk")
    ],
    "generic relation": lambda: [
        rows(a.labels.order_by("pk")) for a in Article.objects.order_by("pk")
    ],
    "generic key": lambda: [str(label.target) for label in Label.objects.order_by("pk")],
    "chapters": lambda: rows(Chapter.objects.all()),
    "children": lambda: rows(Restaurant.objects.order_by("name", "pk")),
    "parents": lambda: rows(Place.objects.order_by("name", "pk")),
    "children by parent": lambda: rows(
        Place.objects.filter(restaurant__serves_pizza=True).order_by("pk")
    ),
    "select related": lambda: [
        (row(a), row(a.author), a.editor and row(a.editor), a.category and row(a.category))
        for a in Article.objects.select_related("author", "editor", "category").order_by("pk")
    ],
    "select related deep": lambda: [
        (c.text, row(c.article), row(c.article.author))
        for c in Comment.objects.select_related("article__author").order_by("pk")
    ],
    "select related reverse": lambda: [
        (row(a), getattr(a, "profile", None) and row(a.profile))
        for a in Author.objects.select_related("profile").order_by("pk")
    ],
    "prefetch": lambda: [
        (rows(a.tags.all()), rows(a.comments.all()), row(a.author))
        for a in Article.objects.prefetch_related(
            "tags", Prefetch("comments", Comment.objects.order_by("pk")), "author"
        ).order_by("pk")
    ],
    "plain relation": lambda: rows(Author.objects.filter(things__name="pen")),
    "films": lambda: rows(Film.objects.all()),
    "notes": lambda: rows(Note.objects.order_by("pk")),
    "keyed": lambda: rows(Article.objects.order_by("pk").cache(key="all", timeout=60)),
    "depends on": lambda: rows(
        Tag.objects.filter(name="b").cache(depends_on=[Article, *Author.objects.all()])
    ),
}


def row(instance: Any) -> Any:
    """An instance as a value: its fields."""
    if instance is None:
        return None
    return {
        field.attname: getattr(instance, field.attname) for field in instance._meta.concrete_fields
    }


def rows(queryset: Any) -> list[Any]:
    return [row(instance) for instance in queryset]


def keys(model: type[models.Model]) -> list[Any]:
    return list(model._meta.managers_map["nocache"].order_by("pk").values_list("pk", flat=True))


def slugs() -> list[str]:
    return list(Author.nocache.order_by("pk").values_list("slug", flat=True))
