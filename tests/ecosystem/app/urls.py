"""The pages of such a site."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.urls import path


def whoami(request: HttpRequest) -> HttpResponse:
    user = request.user
    return HttpResponse(f"{user.get_full_name()} {user.pk}" if user.is_authenticated else "None")


urlpatterns: list[Any] = [path("whoami", whoami)]

if apps.is_installed("django.contrib.admin"):
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))
