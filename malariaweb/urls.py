from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
for module in ("diagnosis.urls", "diagnosis.urls_laboratories"):
    if find_spec(module):
        urlpatterns.append(path("", include(module)))
