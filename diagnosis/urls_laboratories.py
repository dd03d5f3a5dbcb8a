from django.urls import path

from .views import audit, invitations, laboratories, members

urlpatterns = [
    path("laboratories/", laboratories.laboratories, name="laboratories"),
    path("laboratories/<uuid:pk>/", laboratories.laboratory, name="laboratory"),
    path("laboratories/<uuid:pk>/rename/", laboratories.rename, name="laboratory_rename"),
    path(
        "laboratories/<uuid:pk>/second-reading/",
        laboratories.second_reading,
        name="laboratory_second_reading",
    ),
    path(
        "laboratories/<uuid:pk>/report-language/",
        laboratories.report_language,
        name="laboratory_report_language",
    ),
    path("laboratories/<uuid:pk>/leave/", laboratories.leave, name="laboratory_leave"),
    path("laboratories/<uuid:pk>/hand-over/", laboratories.hand_over, name="laboratory_hand_over"),
    path("laboratories/<uuid:pk>/invitations/", invitations.invite, name="laboratory_invite"),
    path(
        "laboratories/<uuid:pk>/invitations/<int:invitation>/revoke/",
        invitations.revoke,
        name="invitation_revoke",
    ),
    path(
        "laboratories/<uuid:pk>/members/<int:member>/role/", members.change_role, name="member_role"
    ),
    path(
        "laboratories/<uuid:pk>/members/<int:member>/remove/", members.remove, name="member_remove"
    ),
    path(
        "laboratories/<uuid:pk>/members/<int:member>/reset-password/",
        members.reset_password,
        name="member_reset",
    ),
    path("laboratories/<uuid:pk>/audit/", audit.events, name="laboratory_audit"),
    path("laboratories/<uuid:pk>/audit.csv", audit.events_csv, name="laboratory_audit_csv"),
    path("laboratories/<uuid:pk>/deleted/", audit.deleted_slides, name="laboratory_deleted"),
    path(
        "laboratories/<uuid:pk>/deleted/<uuid:slide>/restore/",
        audit.slide_restore,
        name="slide_restore",
    ),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
]
