"""The pages: ordinary Django views, no line of which knows that there is a cache."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Avg, Count, F, Max, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from blog.models import Article, Author, Category, Comment, Tag


def front(request: HttpRequest) -> HttpResponse:
    """The latest articles with their authors and tags."""
    latest = Article.objects.published().select_related("author", "category")
    context = {"articles": latest.prefetch_related("tags").defer("body")[:20]}
    return render(request, "blog/front.html", context)


def article(request: HttpRequest, pk: int, slug: str) -> HttpResponse:
    """One article, its comments, and more of the same author. The slug is for people."""
    found = get_object_or_404(Article, pk=pk)
    if not found.published:
        raise Http404
    more = found.author.articles.published().exclude(pk=found.pk)[:5]
    context = {"article": found, "comments": found.comments.all(), "more": more}
    return render(request, "blog/article.html", context)


@csrf_exempt
@require_POST
def seen(request: HttpRequest, pk: int) -> HttpResponse:
    """The view counter: the page of an article calls it once it is shown."""
    Article.objects.filter(pk=pk).update(views=F("views") + 1)
    return HttpResponse(status=204)


def author(request: HttpRequest, pk: int) -> HttpResponse:
    """An author with the profile, if there is one, and the newest articles."""
    found = get_object_or_404(Author.objects.select_related("profile"), pk=pk)
    articles = found.articles.published()
    context = {
        "author": found,
        "count": articles.count(),
        "first": articles.order_by("published_at", "pk").first(),
        "articles": articles.select_related("category")[:20],
    }
    return render(request, "blog/author.html", context)


def tag(request: HttpRequest, slug: str) -> HttpResponse:
    """The newest articles that carry a tag."""
    found = get_object_or_404(Tag, slug=slug)
    articles = found.articles.published().select_related("author")
    context = {"tag": found, "count": articles.count(), "articles": articles[:20]}
    return render(request, "blog/tag.html", context)


def category(request: HttpRequest, slug: str) -> HttpResponse:
    """All articles of a category, page by page."""
    found = get_object_or_404(Category, slug=slug)
    articles = found.articles.published().select_related("author")
    page = Paginator(articles, 20).get_page(request.GET.get("page"))
    return render(request, "blog/category.html", {"category": found, "page": page})


def archive(request: HttpRequest, year: int) -> HttpResponse:
    """One year: the months with articles, and how many there are in each category."""
    articles = Article.objects.published().filter(published_at__year=year)
    by_category = articles.values("category__name").order_by("category__name")
    context = {
        "year": year,
        "any": articles.exists(),
        "months": articles.datetimes("published_at", "month"),
        "by_category": by_category.annotate(count=Count("pk")),
    }
    return render(request, "blog/archive.html", context)


def statistics(request: HttpRequest) -> HttpResponse:
    """Figures over the whole site."""
    most_read = Article.objects.published().order_by("-views", "pk")
    busiest = Author.objects.annotate(count=Count("articles")).order_by("-count", "pk")
    context = {
        "totals": Article.objects.published().aggregate(
            count=Count("pk"), views=Sum("views"), price=Avg("price"), newest=Max("published_at")
        ),
        "comments": Comment.objects.count(),
        "last_comment": Comment.objects.select_related("article").last(),
        "most_read": most_read.only("title", "slug", "views")[:10],
        "busiest": busiest.cache(key="busiest-authors", timeout=600)[:10],
        "tags": Tag.objects.values_list("name", flat=True)[:30],
    }
    return render(request, "blog/statistics.html", context)
