"""What people conclude of whole slides, and what counts where two readings differ."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response

from .. import access, audit, blindness, disputes, readings
from . import serializers
from .base import Asked, View
from .slides import one_shown


class Readings(View):
    @extend_schema(
        summary="What people conclude of a slide",
        description="Of two readings the other's is shown once you have closed your own.",
        responses=serializers.ReadingOut(many=True),
    )
    def get(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        audit.saw([slide])
        found = slide.readings.all()
        if blindness.hides(request.user, slide):
            found = found.filter(reader=request.user)
        pages, shown = self.paged(found)
        return pages.get_paginated_response(serializers.ReadingOut(shown, many=True).data)

    @extend_schema(
        summary="Say what you conclude of a slide, in place of what you said before",
        request=serializers.NewReading,
        responses=serializers.ReadingOut,
    )
    def put(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide_to_sign(request.user, pk)
        new = serializers.NewReading(data=request.data)
        new.is_valid(raise_exception=True)
        reading = readings.conclude(slide, request.user, **new.validated_data)
        return Response(serializers.ReadingOut(reading).data)


class SecondReader(View):
    @extend_schema(
        summary="Ask for a second reader of a slide that one person reads",
        description="Before anything is signed. Who spoke of the slide, or else you, reads first; "
        "the second reader is blind to it. What was said counts once both readings are closed.",
        request=None,
        responses=serializers.OneSlideOut,
    )
    def post(self, request: Asked, pk: str) -> Response:
        readings.ask_for_second(access.get_slide_to_sign(request.user, pk), request.user)
        return one_shown(request, access.get_slide(request.user, pk))

    @extend_schema(
        summary="Take that back, before the second reader has begun",
        description="As whoever asked, as the first reader or as an administrator.",
        request=None,
        responses=serializers.OneSlideOut,
    )
    def delete(self, request: Asked, pk: str) -> Response:
        readings.take_back_second(access.get_slide_to_sign(request.user, pk), request.user)
        return one_shown(request, access.get_slide(request.user, pk))


class Differences(View):
    @extend_schema(
        summary="Where the two closed readings of a slide differ, and how that was settled",
        responses=serializers.DifferenceOut(many=True),
    )
    def get(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide(request.user, pk)
        audit.saw([slide])
        pages, shown = self.paged(disputes.of_slide(slide))
        return pages.get_paginated_response(serializers.DifferenceOut(shown, many=True).data)

    @extend_schema(
        summary="Settle what counts where the two readings differ",
        request=serializers.NewSettlement,
        responses={201: serializers.DifferenceOut},
    )
    def post(self, request: Asked, pk: str) -> Response:
        slide = access.get_slide_to_sign(request.user, pk)
        new = serializers.NewSettlement(data=request.data)
        new.is_valid(raise_exception=True)
        settlement = disputes.settle(slide, request.user, **new.validated_data)
        settled = disputes.find(settlement.slide, new.validated_data["key"])
        return Response(serializers.DifferenceOut(settled).data, status.HTTP_201_CREATED)
