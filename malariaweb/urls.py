from importlib.util import find_spec

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# The site's own sign-in has the limits and the second factor that the admin's lacks.
admin.site.login = secure_admin_login(admin.site.login)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
for module in ("diagnosis.urls", "diagnosis.urls_laboratories"):
    if find_spec(module):
        urlpatterns.append(path("", include(module)))
