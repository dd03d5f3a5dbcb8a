"""Where a person is signed in: allauth's page, on which tokens end with the sign-ins."""

from allauth.usersessions.views import ListUserSessionsView

from ..credentials import SessionsForm


class Sessions(ListUserSessionsView):
    form_class = SessionsForm


session_list = Sessions.as_view()
