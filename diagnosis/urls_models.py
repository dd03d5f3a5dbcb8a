from django.urls import path

from .views import models

urlpatterns = [
    path("model/", models.model, name="model"),
    path("model/compare/", models.compare, name="model_compare"),
    path("model/versions/<int:pk>/", models.version, name="model_version"),
    path("model/versions/<int:pk>/plots/<str:name>", models.plot, name="model_plot"),
    path("model/versions/<int:pk>/activate/", models.activate, name="model_activate"),
    path("model/versions/<int:pk>/thresholds/", models.thresholds, name="model_thresholds"),
]
