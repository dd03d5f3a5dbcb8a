from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from .. import access
from . import serializers
from .base import Asked, View


class Laboratories(View):
    @extend_schema(
        summary="The laboratories that you belong to",
        responses=serializers.LaboratoryOut(many=True),
    )
    def get(self, request: Asked) -> Response:
        found = access.memberships_of(request.user).select_related("laboratory")
        pages, mine = self.paged(found.order_by("laboratory__name", "pk"))
        return pages.get_paginated_response(serializers.LaboratoryOut(mine, many=True).data)
