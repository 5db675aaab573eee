"""One address for each kind of page."""

from __future__ import annotations

from django.urls import path

from blog import views

urlpatterns = [
    path("", views.front, name="front"),
    path("articles/<int:pk>/seen/", views.seen, name="seen"),
    path("articles/<int:pk>/<slug:slug>/", views.article, name="article"),
    path("authors/<int:pk>/", views.author, name="author"),
    path("tags/<slug:slug>/", views.tag, name="tag"),
    path("categories/<slug:slug>/", views.category, name="category"),
    path("archive/<int:year>/", views.archive, name="archive"),
    path("statistics/", views.statistics, name="statistics"),
]
