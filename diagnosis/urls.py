from django.urls import path

from .views import fields, history, home, images, reports, reviews, signing, slides, tokens

urlpatterns = [
    path("", home.home, name="home"),
    path("slides/", history.history, name="history"),
    path("slides.csv", history.history_csv, name="history_csv"),
    path("slides/new/", slides.slide_new, name="slide_new"),
    path("slides/<uuid:pk>/", slides.slide, name="slide"),
    path("slides/<uuid:pk>/images/", slides.slide_images, name="slide_images"),
    path("slides/<uuid:pk>/results/", slides.slide_results, name="slide_results"),
    path("slides/<uuid:pk>/again/", slides.slide_again, name="slide_again"),
    path("slides/<uuid:pk>/delete/", slides.slide_delete, name="slide_delete"),
    path("slides/<uuid:pk>.csv", slides.slide_csv, name="slide_csv"),
    path("slides/<uuid:pk>/sign/", signing.slide_sign, name="slide_sign"),
    path("slides/<uuid:pk>/amend/", signing.slide_amend, name="slide_amend"),
    path("slides/<uuid:pk>/reports/<int:number>/", signing.slide_report, name="slide_report"),
    path("slides/<uuid:pk>/report.pdf", reports.report_pdf, name="report_pdf"),
    path("slides/<uuid:pk>/report.json", reports.report_fhir, name="report_fhir"),
    path("images/<uuid:pk>/photo/", images.image_photo, name="image_photo"),
    path("images/<uuid:pk>/heatmap/", images.image_heatmap, name="image_heatmap"),
    path("images/<uuid:pk>/retry/", images.image_retry, name="image_retry"),
    path("images/<uuid:pk>/kind/", fields.image_kind, name="image_kind"),
    path("images/<uuid:pk>/field/", fields.field, name="field"),
    path("images/<uuid:pk>/cells/", fields.field_cells, name="field_cells"),
    path("images/<uuid:pk>/cells/<int:cell>/crop/", fields.cell_crop, name="cell_crop"),
    path("images/<uuid:pk>/cells/<int:cell>/heatmap/", fields.cell_heatmap, name="cell_heatmap"),
    path("slides/<uuid:pk>/basis/", slides.slide_basis, name="slide_basis"),
    path("images/<uuid:pk>/review/", reviews.image_review, name="image_review"),
    path("images/<uuid:pk>/review/undo/", reviews.image_review_undo, name="image_review_undo"),
    path("accounts/tokens/", tokens.token_list, name="tokens"),
    path("accounts/tokens/<int:pk>/revoke/", tokens.token_revoke, name="token_revoke"),
]
