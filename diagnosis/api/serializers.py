"""Things as the API shows them, and what it may be asked."""

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from .. import access, counting, gallery
from ..history import RESULTS, STATUSES
from ..models import (
    OPINIONS_OF_IMAGES,
    Cell,
    CellOpinion,
    CellReview,
    Conclusion,
    Decision,
    FieldOpinion,
    Finding,
    Kind,
    Label,
    Laboratory,
    Membership,
    Opinion,
    Prediction,
    Report,
    Review,
    Role,
    Settlement,
    Slide,
    SlideReading,
    State,
)
from ..reports import NOTICE
from ..verdict import Tally


class LaboratoryOut(serializers.ModelSerializer):
    """A laboratory that you belong to, and as what."""

    id = serializers.UUIDField(source="laboratory.pk")
    name = serializers.CharField(source="laboratory.name")
    role = serializers.ChoiceField(Role.choices)

    class Meta:
        model = Membership
        fields = ("id", "name", "role")


class VerdictOut(serializers.Serializer):
    """What the images of a slide say together; what people said counts before the model."""

    result = serializers.ChoiceField(
        ["parasitized", "uncertain", "uninfected", "none"],
        help_text="`uninfected` is not a negative result.",
    )
    status = serializers.ChoiceField(
        ["empty", "reading", "failed", "done"],
        help_text="`reading`: ask again. `failed`: some image was not read.",
    )
    concluded = serializers.ChoiceField(
        Conclusion.choices,
        allow_blank=True,
        help_text="What people conclude of the whole slide; it stands over what was counted.",
    )
    is_critical = serializers.BooleanField(help_text="Someone must be told at once.")
    sentence = serializers.CharField()
    advice = serializers.CharField(help_text="What to do about it; empty while nothing is known.")
    remarks = serializers.ListField(child=serializers.CharField())
    total = serializers.IntegerField()
    parasitized = serializers.IntegerField()
    uninfected = serializers.IntegerField()
    uncertain = serializers.IntegerField()
    rejected = serializers.IntegerField()
    aside = serializers.IntegerField(
        help_text="Fields that people set aside: their cells do not count."
    )
    failed = serializers.IntegerField()
    pending = serializers.IntegerField()
    reviewed = serializers.IntegerField(help_text="How many count as people judged them.")
    fields_read = serializers.IntegerField(
        source="fields", help_text="Of the images: how many are whole fields."
    )
    finding = serializers.ChoiceField(
        Finding.choices,
        allow_blank=True,
        help_text="What the fields say together; empty without fields.",
    )
    cells_counted = serializers.IntegerField(help_text="In the fields.")
    cells_parasitized = serializers.IntegerField()
    notice = serializers.SerializerMethodField()

    def get_notice(self, tally: Tally) -> str:
        return NOTICE


class SlideOut(serializers.ModelSerializer):
    """A slide with its verdict. Its `tally` is given to it by the view."""

    laboratory = serializers.UUIDField(source="laboratory_id")
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    verdict = VerdictOut(source="tally")
    url = serializers.SerializerMethodField()
    images = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField()

    class Meta:
        model = Slide
        fields = (
            "id", "laboratory", "code", "stain", "note", "created_by", "created_at",
            "is_read_twice", "verdict", "url", "images", "page",
        )  # fmt: skip

    def get_url(self, slide: Slide) -> str:
        return self._address("api_slide", slide)

    def get_images(self, slide: Slide) -> str:
        return self._address("api_slide_images", slide)

    def get_page(self, slide: Slide) -> str:
        return self._address("slide", slide)

    def _address(self, name: str, slide: Slide) -> str:
        return reverse(name, [slide.pk], request=self.context["request"])


class EstimateOut(serializers.Serializer):
    value = serializers.FloatField()
    low = serializers.FloatField(help_text="Of the 95 % interval.")
    high = serializers.FloatField()


class FieldsOut(serializers.Serializer):
    """What the whole fields of a slide say, corrected for the model's false positives."""

    headline = serializers.CharField()
    lines = serializers.ListField(child=serializers.CharField())
    percent = EstimateOut(source="parasitaemia.percent", default=None, allow_null=True)
    per_microlitre = EstimateOut(
        source="parasitaemia.per_microlitre", default=None, allow_null=True
    )
    basis = serializers.IntegerField(help_text="Red cells per µL.")
    is_measured = serializers.BooleanField(help_text="The basis, for this slide.")


class OneSlideOut(SlideOut):
    """A slide with its verdict and what its fields say."""

    parasitaemia = FieldsOut(source="result", allow_null=True)

    class Meta(SlideOut.Meta):
        fields = (*SlideOut.Meta.fields, "parasitaemia")  # type: ignore[assignment]


class NewBasis(serializers.ModelSerializer):
    class Meta:
        model = Slide
        fields = ("red_cells_per_microlitre",)
        extra_kwargs = {
            "red_cells_per_microlitre": {
                "required": True,
                "help_text": "As measured for this patient; null takes it back.",
            }
        }


class NewSlide(serializers.ModelSerializer):
    laboratory = serializers.PrimaryKeyRelatedField(
        queryset=Laboratory.objects.none(),
        required=False,
        help_text="May be left out by members of one laboratory.",
    )

    class Meta:
        model = Slide
        fields = ("laboratory", "code", "stain", "note")
        # That codes differ is the view's matter: the answer then names the other slide.
        validators: list[Any] = []

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        if request := self.context.get("request"):
            self.own = fields["laboratory"].queryset = access.laboratories_for(request.user)
        return fields

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        own = list(self.own[:2])
        if "laboratory" not in values and len(own) != 1:
            raise serializers.ValidationError({"laboratory": ["Say which laboratory it is of."]})
        return {"laboratory": own[0], **values} if own else values


class SlideExists(serializers.Serializer):
    detail = serializers.CharField()
    slide = serializers.UUIDField(help_text="The slide that has this code.")


class HistoryQuery(serializers.Serializer):
    q = serializers.CharField(
        required=False, max_length=100, allow_blank=True, help_text="Code, note or file name."
    )
    result = serializers.ChoiceField(list(RESULTS), required=False)
    status = serializers.ChoiceField(list(STATUSES), required=False)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False, help_text="That day counted in.")


class ImagesQuery(serializers.Serializer):
    show = serializers.ChoiceField(list(gallery.STATUSES), required=False)
    order = serializers.ChoiceField(list(gallery.ORDERS), required=False, default="upload")


class ReportOut(serializers.ModelSerializer):
    """What a person signed; the newest of a slide counts."""

    status = serializers.ChoiceField(["final", "amended"])
    signed_by = serializers.CharField(source="who")
    content = serializers.DictField(help_text="What the slide said then.")
    page = serializers.SerializerMethodField()
    notice = serializers.SerializerMethodField()

    class Meta:
        model = Report
        fields = (
            "number", "status", "signed_by", "signed_at", "reason", "comment", "content", "page",
            "notice",
        )  # fmt: skip

    def get_page(self, report: Report) -> str:
        address = [report.slide_id, report.number]
        return reverse("slide_report", address, request=self.context["request"])

    def get_notice(self, report: Report) -> str:
        return NOTICE


class NewReport(serializers.Serializer):
    reason = serializers.CharField(
        required=False,
        max_length=300,
        allow_blank=True,
        help_text="Why the former report is amended; leave it out of the first.",
    )
    comment = serializers.CharField(
        required=False, max_length=500, allow_blank=True, help_text="Never a patient's name."
    )


class ReadingOut(serializers.ModelSerializer):
    """What a person concludes of a whole slide."""

    reader = serializers.CharField(source="who")
    conclusion = serializers.ChoiceField(Conclusion.choices, allow_blank=True)

    class Meta:
        model = SlideReading
        fields = ("reader", "place", "conclusion", "comment", "opened_at", "closed_at")
        extra_kwargs = {"place": {"help_text": "Of two readings; null where one is enough."}}


class NewReading(serializers.Serializer):
    conclusion = serializers.ChoiceField(
        Conclusion.choices, allow_blank=True, help_text="Empty while only a comment is kept."
    )
    comment = serializers.CharField(
        required=False, max_length=500, allow_blank=True, help_text="Never a patient's name."
    )
    close = serializers.BooleanField(
        required=False, help_text="Ends your reading of a slide that is read twice."
    )


class SaidOut(serializers.Serializer):
    reader = serializers.CharField(source="who")
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    comment = serializers.CharField(allow_blank=True)
    is_own = serializers.BooleanField(help_text="Else they let stand what the model said.")


class SettlementOut(serializers.ModelSerializer):
    """What counts, by whom and why; the newest of a difference."""

    by = serializers.CharField(source="who")

    class Meta:
        model = Settlement
        fields = ("id", "label", "reason", "by", "is_third", "at")


class DifferenceOut(serializers.Serializer):
    """Of a cell, of an image or of the whole slide: what the two readers say."""

    key = serializers.CharField(help_text="Names it where it is settled.")
    name = serializers.CharField()
    image = serializers.UUIDField(source="image.pk", default=None, allow_null=True)
    cell = serializers.IntegerField(source="cell.pk", default=None, allow_null=True)
    differs = serializers.BooleanField(
        help_text="False of the whole slide alone, where images came after both readings: it may "
        "be concluded anew."
    )
    said = SaidOut(many=True)
    settlement = SettlementOut(allow_null=True)


class NewSettlement(serializers.Serializer):
    key = serializers.CharField(max_length=60, help_text="Of the difference.")
    label = serializers.ChoiceField(  # type: ignore[assignment]
        sorted({*Conclusion.values, *Opinion.values, *FieldOpinion.values, *CellOpinion.values}),
        help_text="One of those for a slide, a chosen cell, a whole field or a cell of it.",
    )
    reason = serializers.CharField(max_length=300)
    seen = serializers.IntegerField(
        required=False,
        min_value=0,
        help_text="The settlement that you looked at, 0 for none: refused where another stands.",
    )


class Upload(serializers.Serializer):
    images = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        allow_empty=False,
    )


class ReceiptOut(serializers.Serializer):
    """What became of one file."""

    name = serializers.CharField()
    image = serializers.UUIDField(source="image.pk", default=None, allow_null=True)
    refusal = serializers.CharField(help_text="Why it was not taken; empty where it was.")
    note = serializers.CharField()
    code = serializers.CharField(
        help_text="`new`, `on-this-slide`, `on-another-slide` or the kind of refusal."
    )


class Receipts(serializers.Serializer):
    receipts = ReceiptOut(many=True)


class PredictionOut(serializers.ModelSerializer):
    """What one model version said; never edited."""

    model = serializers.CharField(source="model.name")
    state = serializers.ChoiceField(State.choices)
    label = serializers.ChoiceField(Label.choices, allow_blank=True)  # type: ignore[assignment]
    decision = serializers.ChoiceField(Decision.choices, allow_blank=True)
    reasons = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Prediction
        fields = (
            "model", "state", "label", "probability", "decision", "reasons", "error",
            "queued_at", "finished_at",
        )  # fmt: skip


HELP_OF_IMAGES = (
    "Of a chosen cell what it is; of a whole field whether its cells count (`counts`) or it is set "
    "`aside`."
)


class ReviewOut(serializers.ModelSerializer):
    """What a person said; it stands beside the prediction."""

    reviewer = serializers.CharField(source="reviewer.username", default=None, allow_null=True)
    label = serializers.ChoiceField(OPINIONS_OF_IMAGES, help_text=HELP_OF_IMAGES)  # type: ignore[assignment]

    class Meta:
        model = Review
        fields = ("reviewer", "label", "comment", "created_at")


class CellReviewOut(ReviewOut):
    """What a person said of a red cell."""

    label = serializers.ChoiceField(CellOpinion.choices)

    class Meta(ReviewOut.Meta):
        model = CellReview  # type: ignore[assignment]


class ImageOut(serializers.Serializer):
    """An image, made from its current prediction."""

    id = serializers.UUIDField(source="image.pk")
    slide = serializers.UUIDField(source="slide_id")
    name = serializers.CharField(source="image.name")
    kind = serializers.ChoiceField(Kind.choices, help_text="What it was read as.")
    width = serializers.IntegerField(source="image.width")
    height = serializers.IntegerField(source="image.height")
    sha256 = serializers.CharField(source="image.sha256", help_text="Of the upright RGB pixels.")
    uploaded_by = serializers.CharField(
        source="image.uploaded_by.username", default=None, allow_null=True
    )
    created_at = serializers.DateTimeField(source="image.created_at")
    counts_as = serializers.SerializerMethodField()
    prediction = PredictionOut(source="*")
    reviews = ReviewOut(source="image.standing_reviews", many=True)
    url = serializers.SerializerMethodField()
    photo = serializers.SerializerMethodField()
    notice = serializers.SerializerMethodField()

    def get_counts_as(self, prediction: Prediction) -> str:
        return gallery.status(prediction)

    def get_url(self, prediction: Prediction) -> str:
        return self._address("api_image", prediction)

    def get_photo(self, prediction: Prediction) -> str:
        return self._address("api_image_photo", prediction)

    def get_notice(self, prediction: Prediction) -> str:
        return NOTICE

    def _address(self, name: str, prediction: Prediction) -> str:
        return reverse(name, [prediction.image_id], request=self.context["request"])


class CellOut(serializers.ModelSerializer):
    """A red cell of a field."""

    box = serializers.ListField(
        child=serializers.IntegerField(),
        min_length=4,
        max_length=4,
        help_text="Left, top, width and height in pixels.",
    )
    edge = serializers.BooleanField(source="is_cut", help_text="Cut by the image's edge.")
    label = serializers.ChoiceField(Label.choices, allow_blank=True)  # type: ignore[assignment]
    decision = serializers.ChoiceField(Decision.choices, allow_blank=True)
    reasons = serializers.ListField(child=serializers.CharField())
    counts_as = serializers.SerializerMethodField()
    by = serializers.SerializerMethodField()
    reviews = CellReviewOut(source="standing", many=True)

    class Meta:
        model = Cell
        fields = (
            "id", "number", "box", "edge", "label", "probability", "decision", "reasons",
            "reviewed", "counts_as", "by", "reviews",
        )  # fmt: skip

    def get_counts_as(self, cell: Cell) -> str:
        return counting.of_cell(cell)

    def get_by(self, cell: Cell) -> str:
        return "machine" if cell.prediction_id else "person"


class NewCell(serializers.Serializer):
    """A red cell that the machine missed."""

    box = serializers.ListField(
        child=serializers.IntegerField(),
        min_length=4,
        max_length=4,
        help_text="Left, top, width and height in pixels.",
    )
    label = serializers.ChoiceField(  # type: ignore[assignment]
        [choice for choice in CellOpinion.choices if choice[0] != CellOpinion.NO_CELL]
    )
    comment = serializers.CharField(max_length=200, required=False, allow_blank=True)


class NewCellReview(serializers.Serializer):
    label = serializers.ChoiceField(CellOpinion.choices)  # type: ignore[assignment]
    comment = serializers.CharField(max_length=200, required=False, allow_blank=True)


class NewKind(serializers.Serializer):
    kind = serializers.ChoiceField(Kind.choices)


class NewReview(serializers.Serializer):
    label = serializers.ChoiceField(OPINIONS_OF_IMAGES, help_text=HELP_OF_IMAGES)  # type: ignore[assignment]
    comment = serializers.CharField(max_length=200, required=False, allow_blank=True)


class Queued(serializers.Serializer):
    queued = serializers.IntegerField(help_text="How many images are read again.")
