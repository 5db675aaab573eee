"""What every page shows: the categories in the head."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from blog.models import Category


def navigation(request: HttpRequest) -> dict[str, Any]:
    return {"categories": Category.objects.all()}
