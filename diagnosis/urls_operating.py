from django.urls import path

from .views import operating

urlpatterns = [
    path("healthz", operating.healthz, name="healthz"),
    path("readyz", operating.readyz, name="readyz"),
    path("metrics", operating.prometheus, name="metrics"),
]
