from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# The site's own sign-in has the limits and the second factor that the admin's lacks.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("diagnosis.urls")),
    path("", include("diagnosis.urls_laboratories")),
    path("", include("diagnosis.urls_models")),
    path("", include("diagnosis.urls_operating")),
    path("api/v1/", include("diagnosis.api.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "malariaweb.errors.bad_request"
handler403 = "malariaweb.errors.permission_denied"
handler500 = "malariaweb.errors.server_error"
