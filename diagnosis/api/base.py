"""What all addresses of the API share: who asks, how often, and what a refusal looks like."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest
from django.utils.cache import patch_cache_control
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotFound,
    ParseError,
    PermissionDenied,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import BaseParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView, exception_handler

from .. import (
    again,
    cells,
    disputes,
    limits,
    readings,
    registry,
    reviews,
    sessions,
    signing,
    texts,
    tokens,
)
from ..models import Token


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT


class Unready(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE


class Full(APIException):
    def __init__(self, error: limits.TooMuch) -> None:
        super().__init__(str(error))
        self.status_code = error.status
        self.wait = error.wait


class Asked(Request):
    """Behind the token: somebody asks."""

    user: User


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = tokens.find(text.strip())
        if token is None:
            raise AuthenticationFailed("This token is unknown or was revoked.")
        if sessions.lacks_factor(token.user):
            raise PermissionDenied(sessions.ASKED)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class Json(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return texts.read_json(stream.read())
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from None


class AlwaysJson(DefaultContentNegotiation):
    """Whatever a program says it would like to have."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class Pages(PageNumberPagination):
    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 100


class Throttle(UserRateThrottle):
    """For all tokens of a person together, by all processes: it counts in the cache."""

    rate = "600/min"


class View(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [Throttle]
    content_negotiation_class = AlwaysJson
    renderer_classes = [JSONRenderer]
    parser_classes = [Json]
    metadata_class = None
    pagination_class = Pages

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return answer

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(*args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        return response

    def paged(self, found: Any) -> tuple[Pages, list[Any]]:
        pages = self.pagination_class()
        return pages, pages.paginate_queryset(found, self.request, self) or []


class Nothing(View):
    """Every other address below the API's: answered as JSON too."""

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        raise NotFound


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's handler of exceptions, which knows those of the domain too."""
    if isinstance(error, SuspiciousOperation | BadRequest):
        error = ParseError("That request could not be read, or holds more than is allowed.")
    elif isinstance(error, limits.TooMuch):
        error = Full(error)
    elif isinstance(error, registry.NoModel):
        error = Unready(str(error))
    elif isinstance(error, cells.CellError | reviews.NoReason):
        error = ParseError(str(error))
    elif isinstance(error, cells.NoSuchCell):
        error = NotFound(str(error))
    elif isinstance(
        error,
        reviews.NothingToReview
        | signing.CannotSign
        | readings.NotNow
        | disputes.CannotSettle
        | again.Closed,
    ):
        error = Conflict(str(error))
    return exception_handler(error, context)
