from django.urls import path, re_path

from . import images, laboratories, readings, schema, slides
from .base import Nothing

# Ids are taken as any text: what is none is answered as JSON, like the rest.
urlpatterns = [
    path("schema/", schema.schema, name="api_schema"),
    path("docs/", schema.docs, name="api_docs"),
    path("laboratories/", laboratories.Laboratories.as_view(), name="api_laboratories"),
    path("slides/", slides.Slides.as_view(), name="api_slides"),
    path("slides/<str:pk>/", slides.OneSlide.as_view(), name="api_slide"),
    path("slides/<str:pk>/images/", slides.SlideImages.as_view(), name="api_slide_images"),
    path("slides/<str:pk>/basis/", slides.SlideBasis.as_view(), name="api_slide_basis"),
    path("slides/<str:pk>/again/", slides.SlideAgain.as_view(), name="api_slide_again"),
    path("slides/<str:pk>/retry/", slides.SlideRetry.as_view(), name="api_slide_retry"),
    path("slides/<str:pk>/reports/", slides.SlideReports.as_view(), name="api_slide_reports"),
    path("slides/<str:pk>/readings/", readings.Readings.as_view(), name="api_readings"),
    path(
        "slides/<str:pk>/second-reader/",
        readings.SecondReader.as_view(),
        name="api_second_reader",
    ),
    path("slides/<str:pk>/differences/", readings.Differences.as_view(), name="api_differences"),
    path("slides/<str:pk>/pdf/", slides.SlidePdf.as_view(), name="api_slide_pdf"),
    path("slides/<str:pk>/fhir/", slides.SlideFhir.as_view(), name="api_slide_fhir"),
    path("slides/<str:pk>/csv/", slides.SlideCsv.as_view(), name="api_slide_csv"),
    path("slides/<str:pk>/cells.csv", slides.SlideCellsCsv.as_view(), name="api_slide_cells_csv"),
    path("images/<str:pk>/", images.Image.as_view(), name="api_image"),
    path("images/<str:pk>/photo/", images.Photo.as_view(), name="api_image_photo"),
    path("images/<str:pk>/retry/", images.Retry.as_view(), name="api_image_retry"),
    path("images/<str:pk>/kind/", images.ImageKind.as_view(), name="api_image_kind"),
    path("images/<str:pk>/review/", images.ImageReview.as_view(), name="api_image_review"),
    path("images/<str:pk>/cells/", images.Cells.as_view(), name="api_cells"),
    path(
        "images/<str:pk>/cells/<str:cell>/review/",
        images.CellReview.as_view(),
        name="api_cell_review",
    ),
    re_path("", Nothing.as_view()),
]
