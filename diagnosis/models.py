"""Laboratories, slides, images and what the network said of them.

A prediction's life, each arrow one conditional update:

    (new)   → queued     intake: a picture was accepted
    (new)   → done | rejected    intake: the laboratory had this picture read before (`same_as`)
    queued  → running    tasks.claim: attempts + 1 and a token that only its worker knows
    running → done | rejected    tasks.analyse, only while the token still matches
    running → queued     the attempt broke off: given back by its worker, or by the sweep when
                         the worker was silent for longer than LEASE_SECONDS; or, with the attempt
                         given back, the worker lacks its model or cannot reach the stored images
    running → failed     the same, after MAX_ATTEMPTS; or the stored file is lost or damaged
    failed  → queued     intake.retry, retry_all: a person said "try again"; attempts start from 0
    queued | running → queued    again.read_as: the first reading was to be of the wrong kind; the
                         same, and the token is gone

`done`, `rejected` and `failed` are final: no worker touches such a row again.

An image may have been read by several versions; its slide counts the current reading alone. A
slide that is analysed again (`again.analyse_again`) gets new rows beside the old ones, which stay
current:

    not current → current    `current.take_over`: the new row became `done` or `rejected` while its
                             version was still the active one
    stays as it was          the new row `failed`, or its version was rolled back meanwhile: a good
                             old result is never hidden by a bad new one
    current again            the active version had read the image before: that row, as it is

So a current row is `failed` or waiting only where its image was never read at all.

An image is a crop of one cell or a whole field; a person may say that it was taken for the wrong
one (`again.read_as`), and it is read anew as the other. The reading of a field holds the cells that
were found in it. What people say of these stands beside them, in `CellReview`; in `Review` they say
of the field itself whether it counts.
"""

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Concat, Lower
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from ml import parasitaemia
from ml.decisions import LABEL_THRESHOLD, Thresholds
from ml.parasitaemia import BASIS, POSSIBLE_BASIS

from .words import percent

INVITATION_DAYS = 14


class ReportLanguage(models.TextChoices):
    """Each calls itself by its own name."""

    ENGLISH = "en", "English"
    FRENCH = "fr", "Français"
    PORTUGUESE = "pt", "Português"


class Laboratory(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)
    second_reading = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Slides made from now on are read by two people, each blind to the other.",
    )
    report_language = models.CharField(
        max_length=10,
        choices=ReportLanguage,
        default=ReportLanguage.ENGLISH,
        db_default=ReportLanguage.ENGLISH.value,
        help_text="What is signed from now on is written in it.",
    )
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership")

    class Meta:
        verbose_name_plural = "laboratories"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    TECHNICIAN = "technician", _("Technician")
    CLINICIAN = "clinician", _("Clinician")
    REVIEWER = "reviewer", _("Reviewer")
    ADMINISTRATOR = "administrator", _("Administrator")


class Membership(models.Model):
    laboratory = models.ForeignKey(Laboratory, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["laboratory", "user"], name="one_membership"),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display()} of {self.laboratory}"


def invitation_token() -> str:
    return secrets.token_urlsafe(24)


def invitation_end() -> datetime:
    return timezone.now() + timedelta(days=INVITATION_DAYS)


class Invitation(models.Model):
    """A link that makes whoever opens it, once and in time, a member."""

    laboratory = models.ForeignKey(Laboratory, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=20, choices=Role, default=Role.CLINICIAN)
    token = models.CharField(max_length=64, unique=True, default=invitation_token)
    note = models.CharField(max_length=120, blank=True, help_text="Whom it is for.")
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(default=invitation_end)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"{self.get_role_display()} of {self.laboratory}"

    @property
    def is_open(self) -> bool:
        is_left = self.accepted_by_id is None and self.expires_at > timezone.now()
        return is_left and self.invited_by.is_active


class Stain(models.TextChoices):
    GIEMSA = "giemsa", _("Giemsa")
    FIELD = "field", pgettext_lazy("stain", "Field")
    LEISHMAN = "leishman", _("Leishman")
    WRIGHT = "wright", _("Wright")
    OTHER = "other", _("Other")


class Finding(models.TextChoices):
    """The verdict on the fields of a slide; empty without fields."""

    POSITIVE = parasitaemia.POSITIVE, _("Positive")
    NEGATIVE = parasitaemia.NEGATIVE, _("Negative")
    UNCERTAIN = parasitaemia.UNCERTAIN, _("Uncertain")


class Conclusion(models.TextChoices):
    """What a person says of a whole slide."""

    POSITIVE = "positive", _("Positive")
    NEGATIVE = "negative", _("Negative")
    CANNOT_TELL = "cannot-tell", _("Cannot tell")


class Slide(models.Model):
    """One glass slide of one patient's blood: a code, never a name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    laboratory = models.ForeignKey(Laboratory, models.CASCADE, related_name="slides")
    code = models.CharField(
        max_length=40,
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
                _("Use letters, digits and . _ / - only, without spaces: a code, not a name."),
            )
        ],
        help_text=_("The code on the glass. Never a patient's name."),
    )
    stain = models.CharField(max_length=20, choices=Stain, blank=True)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="slides"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(
        null=True, editable=False, help_text="Nobody sees it any more; see `deletion`."
    )
    # How its images came out, kept by `verdict.recount` so that history can be searched by it.
    parasitized = models.PositiveIntegerField(default=0, editable=False)
    uninfected = models.PositiveIntegerField(default=0, editable=False)
    uncertain = models.PositiveIntegerField(default=0, editable=False)
    rejected = models.PositiveIntegerField(default=0, editable=False)
    failed = models.PositiveIntegerField(default=0, editable=False)
    pending = models.PositiveIntegerField(default=0, editable=False)
    red_cells_per_microlitre = models.PositiveIntegerField(
        _("red cells per µL"),
        null=True,
        blank=True,
        validators=[MinValueValidator(POSSIBLE_BASIS[0]), MaxValueValidator(POSSIBLE_BASIS[1])],
        help_text=f"Measured for this patient; without it {BASIS:,} are assumed.",
    )
    # What its fields say together, kept by `recount` too.
    cells_counted = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    cells_parasitized = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    finding = models.CharField(
        max_length=12, blank=True, default="", db_default="", editable=False, choices=Finding
    )
    is_critical = models.BooleanField(default=False, db_default=False, editable=False)
    has_open = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="A suspicious cell nobody spoke of, come since it was signed or closed.",
    )
    signed_at = models.DateTimeField(
        null=True, editable=False, help_text="Its newest report; kept by `signing`."
    )
    pending_since = models.DateTimeField(
        null=True, editable=False, help_text="Some image of it has waited at any time since then."
    )
    # What the model alone said, kept by `recount` for charts: reviews would make old weeks look
    # better than the newest, which nobody has reviewed yet.
    answered = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    called_uncertain = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    called_rejected = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Its reviewed cells by what the model and people called them; as `ml.agreement.Pairs`.
    both_parasitized = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    machine_only = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    people_only = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    both_uninfected = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    is_read_twice = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="By two people, each blind to the other until both are done; see `readings`.",
    )
    readings_closed_at = models.DateTimeField(
        null=True, editable=False, help_text="When the second of two readings was closed."
    )
    single_reading = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Who said, and why, that one reading is enough after all.",
    )
    second_asked_by = models.CharField(
        max_length=150,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Who asked for a second reader after it was made.",
    )
    concluded = models.CharField(
        max_length=12,
        blank=True,
        default="",
        db_default="",
        editable=False,
        choices=Conclusion,
        help_text="What its readers conclude together, kept by `readings`.",
    )
    disputed = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="In how much its two readings differ and nobody settled it.",
    )
    suspected = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="One of two readers says parasites, the other does not; not settled otherwise.",
    )
    words = models.GeneratedField(
        expression=Lower(Concat("code", Value("\n"), "note")),
        output_field=models.CharField(max_length=400),
        db_persist=True,
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["laboratory", "code"],
                condition=Q(deleted_at=None),
                name="one_slide_per_code",
            ),
        ]
        indexes = [
            models.Index(
                fields=["laboratory", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="slide_history",
            ),
            models.Index(
                fields=["laboratory", "created_at"],
                condition=Q(deleted_at=None) & (Q(has_open=True) | Q(signed_at=None)),
                name="slide_waiting",
            ),
            models.Index(
                fields=["laboratory"],
                condition=Q(is_read_twice=True, readings_closed_at=None),
                name="slide_read_twice",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def save(self, *args: Any, **kwargs: Any) -> None:
        """It is read twice where its laboratory says so when it is made; see `readings`."""
        if self._state.adding and self.laboratory.second_reading:
            self.is_read_twice = True
        super().save(*args, **kwargs)

    @property
    def is_signed(self) -> bool:
        return self.signed_at is not None

    @property
    def counts_opinions(self) -> bool:
        """Of two readings neither counts before both are closed: so nothing tells of them."""
        return not self.is_read_twice or self.readings_closed_at is not None

    @property
    def both_saw_until(self) -> datetime | None:
        """When the first of two closed readings was closed: what came later, not both have seen."""
        if not self.is_read_twice or self.readings_closed_at is None:
            return None
        closed = self.readings.exclude(place=None).aggregate(first=models.Min("closed_at"))
        first: datetime | None = closed["first"]
        return first


class Kind(models.TextChoices):
    CELL = "cell", _("Cell")
    FIELD = "field", _("Field")


class FieldOpinion(models.TextChoices):
    """What a person says of a whole field: whether its cells count."""

    COUNTS = "counts", pgettext_lazy("field", "Counts")
    ASIDE = "aside", pgettext_lazy("field", "Set aside")


def image_path(image: "SmearImage", filename: str) -> str:
    """Nothing of the uploaded name reaches the disk."""
    return f"{image.slide.laboratory_id}/{image.slide_id}/{image.id}.png"


class SmearImage(models.Model):
    """One photograph of a slide, stored upright, in RGB and without metadata."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slide = models.ForeignKey(Slide, models.CASCADE, related_name="images", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CELL)
    file = models.FileField(upload_to=image_path, max_length=200)
    name = models.CharField("file name", max_length=200)
    name_in_lower_case = models.GeneratedField(
        expression=Lower("name"), output_field=models.CharField(max_length=400), db_persist=True
    )
    sha256 = models.CharField(max_length=64, help_text="Of the upright RGB pixels.")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    stored_bytes = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Of its file, for the quota."
    )
    reviewed = models.CharField(
        max_length=12,
        blank=True,
        default="",
        editable=False,
        help_text="A decision: what its standing reviews say together, kept by `reviews`.",
    )
    counted = models.CharField(
        max_length=12,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of a field: a `FieldOpinion`, or `uncertain` where people differ. Unless they "
        "agree it counts as the model has it. Kept by `opinions`.",
    )
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["slide", "sha256"], name="counts_once_in_a_slide"),
        ]
        indexes = [models.Index(fields=["sha256"], name="image_sha256")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """A trained artifact known to this installation; exactly one is active."""

    name = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64, unique=True, help_text="SHA-256 of its manifest.")
    path = models.CharField(max_length=500, help_text="Folder of the artifact on every worker.")
    manifest = models.JSONField()
    metrics = models.JSONField(default=dict, blank=True)
    is_active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="one_active_model"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def own_thresholds(self) -> Thresholds | None:
        """Of its manifest; an installation may have set others (`Band`)."""
        thresholds = self.manifest.get("thresholds")
        return Thresholds(**thresholds) if thresholds else None


COMMAND_LINE = "command line"


class Deed(models.Model):
    """What somebody did to a model version, and why; written once, never edited."""

    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    who = models.CharField(
        max_length=150, default=COMMAND_LINE, help_text="Their name then; accounts may be closed."
    )
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True
        ordering = ["-pk"]


class Activation(Deed):
    """A version began to read new images. To roll back is to activate the former one."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="activations")
    replaced = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        names = {"version": self.version, "replaced": self.replaced}
        if self.replaced:
            return gettext("%(version)s became active in place of %(replaced)s.") % names
        return gettext("%(version)s became active.") % names


class Band(Deed):
    """The band of `uncertain` that this installation set for a version; its newest row counts.

    Without low and high the model's own thresholds count again. Readings name the band that they
    were decided with; a new band changes none of them.
    """

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="bands")
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)

    class Meta(Deed.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(low=None, high=None)
                | Q(low__isnull=False, low__gte=0, low__lte=LABEL_THRESHOLD)
                & Q(high__isnull=False, high__gte=LABEL_THRESHOLD, high__lte=1),
                name="band_holds_one_half",
            ),
        ]

    def __str__(self) -> str:
        if self.thresholds is None:
            sentence = gettext("%(version)s is uncertain by its own thresholds again.")
            return sentence % {"version": self.version}
        ends = {"low": percent(self.thresholds.low), "high": percent(self.thresholds.high)}
        sentence = gettext("%(version)s is uncertain from %(low)s up to %(high)s.")
        return sentence % {"version": self.version, **ends}

    @property
    def thresholds(self) -> Thresholds | None:
        """Nothing where the model's own count again."""
        if self.low is None or self.high is None:
            return None
        return Thresholds(self.low, self.high)


class State(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")


PENDING_STATES = (State.QUEUED, State.RUNNING)
READ_STATES = (State.DONE, State.REJECTED)
"""The model has answered: it may count, be repeated, agreed with or overruled."""


class Label(models.TextChoices):
    PARASITIZED = "parasitized", _("Parasitized")
    UNINFECTED = "uninfected", _("Uninfected")


class Decision(models.TextChoices):
    PARASITIZED = "parasitized", _("Parasitized")
    UNINFECTED = "uninfected", _("Uninfected")
    UNCERTAIN = "uncertain", _("Uncertain")
    REJECTED = "rejected", _("Rejected")


class Prediction(models.Model):
    """What one model version said of one image; once final, never edited."""

    image = models.ForeignKey(
        SmearImage, models.CASCADE, related_name="predictions", db_index=False
    )
    slide = models.ForeignKey(
        Slide,
        models.CASCADE,
        related_name="predictions",
        db_index=False,
        editable=False,
        help_text="The image's, kept here so that slides are added up without a join.",
    )
    model = models.ForeignKey(ModelVersion, models.PROTECT, related_name="predictions")
    kind = models.CharField(
        max_length=10,
        choices=Kind,
        default=Kind.CELL,
        db_default=Kind.CELL,
        help_text="What the image was read as.",
    )
    is_current = models.BooleanField(default=True, help_text="The one the slide counts.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    label = models.CharField(max_length=12, choices=Label, blank=True)
    probability = models.FloatField(null=True, blank=True, help_text="P(parasitized), calibrated.")
    decision = models.CharField(
        max_length=12,
        choices=Decision,
        blank=True,
        help_text="Of a field: that of its most suspicious cell that counts.",
    )
    reasons = models.JSONField(default=list, blank=True)
    finder = models.CharField(
        max_length=100, blank=True, default="", db_default="", help_text="What found its cells."
    )
    band = models.ForeignKey(
        Band,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="The thresholds it was decided with; empty: the model's own.",
    )
    activation = models.JSONField(null=True, blank=True, help_text="Rows of the activation map.")
    same_as = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The earlier reading of the same image that this one repeats.",
    )
    error = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.UUIDField(null=True, editable=False, help_text="Of the worker that holds it.")
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the broker was last given it; empty: not yet."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["image", "model", "kind"], name="once_per_version_and_kind"
            ),
            models.UniqueConstraint(
                fields=["image"], condition=Q(is_current=True), name="one_current_prediction"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "sent_at"], name="prediction_pending"),
            models.Index(
                fields=["slide", "is_current", "state", "decision"], name="prediction_tally"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image}: {self.decision or self.state}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.slide_id is None:
            self.slide_id = self.image.slide_id
        super().save(*args, **kwargs)
        from .verdict import recount

        recount([self.slide_id])

    @property
    def thresholds(self) -> Thresholds | None:
        """Those it was decided with."""
        return self.band.thresholds if self.band else self.model.own_thresholds

    @property
    def is_final(self) -> bool:
        return self.state not in PENDING_STATES

    @property
    def came_at(self) -> datetime:
        """When it was read, or the image came to the slide: a picture that was read before,
        elsewhere, kept the time of that reading."""
        added = self.image.created_at
        return max(self.finished_at or added, added)


class Cell(models.Model):
    """A red cell of a field: found and read by a model, or added by a person. Never edited."""

    image = models.ForeignKey(SmearImage, models.CASCADE, related_name="cells")
    prediction = models.ForeignKey(
        Prediction,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="cells",
        db_index=False,
        help_text="The reading that found it; empty: a person did.",
    )
    number = models.PositiveIntegerField(help_text="From one, in its reading or of those added.")
    x = models.PositiveIntegerField()
    y = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    is_cut = models.BooleanField(default=False, help_text="By the image's edge: not counted.")
    label = models.CharField(max_length=12, choices=Label, blank=True)
    probability = models.FloatField(null=True, blank=True, help_text="P(parasitized), calibrated.")
    decision = models.CharField(max_length=12, choices=Decision, blank=True)
    reasons = models.JSONField(default=list, blank=True)
    activation = models.JSONField(null=True, blank=True, help_text="Rows of the activation map.")
    reviewed = models.CharField(
        max_length=12,
        blank=True,
        default="",
        editable=False,
        help_text="A decision, or `removed`: what its standing reviews say, kept by `cells`.",
    )

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["prediction", "number"], name="one_cell_per_number"),
            models.UniqueConstraint(
                fields=["image", "number"],
                condition=Q(prediction=None),
                name="one_added_cell_per_number",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image}, cell {self.number}"

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.x, self.y, self.width, self.height


class CellOpinion(models.TextChoices):
    PARASITIZED = "parasitized", _("Parasitized")
    UNINFECTED = "uninfected", _("Uninfected")
    CANNOT_TELL = "cannot-tell", _("Cannot tell")
    NO_CELL = "no-cell", _("Not a cell")


class Said(models.Model):
    """Something that a person said; rows are only added.

    One of a person stands: the newest, unless it was taken back.
    """

    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    is_standing = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.get_label_display()}"  # type: ignore[attr-defined]


class CellReview(Said):
    """Of one cell of a field, as `Review` is of an image."""

    cell = models.ForeignKey(Cell, models.CASCADE, related_name="reviews")
    label = models.CharField(max_length=12, choices=CellOpinion)
    comment = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta(Said.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["cell", "reviewer"],
                condition=Q(is_standing=True),
                name="one_standing_review_of_a_cell",
            ),
        ]


class Opinion(models.TextChoices):
    PARASITIZED = "parasitized", _("Parasitized")
    UNINFECTED = "uninfected", _("Uninfected")
    CANNOT_TELL = "cannot-tell", _("Cannot tell")


OPINIONS: dict[str, type[models.TextChoices]] = {Kind.CELL: Opinion, Kind.FIELD: FieldOpinion}
"""What can be said of an image, by what it was read as."""
OPINIONS_OF_IMAGES = [choice for kind in OPINIONS.values() for choice in kind.choices]


class Review(Said):
    """Of one image: beside the prediction, never over it."""

    image = models.ForeignKey(SmearImage, models.CASCADE, related_name="reviews")
    prediction = models.ForeignKey(
        Prediction,
        models.SET_NULL,
        null=True,
        related_name="reviews",
        help_text="The reading that the person saw.",
    )
    label = models.CharField(max_length=12, choices=OPINIONS_OF_IMAGES)
    comment = models.CharField(max_length=200, blank=True)

    class Meta(Said.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["image", "reviewer"],
                condition=Q(is_standing=True),
                name="one_standing_review",
            ),
        ]


class Place(models.IntegerChoices):
    FIRST = 1, _("First reader")
    SECOND = 2, _("Second reader")


class SlideReading(models.Model):
    """One person's reading of a whole slide; what they changed in it is in the audit trail."""

    slide = models.ForeignKey(Slide, models.CASCADE, related_name="readings", db_index=False)
    reader = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    who = models.CharField(max_length=150, help_text="Their name then; accounts may be closed.")
    place = models.PositiveSmallIntegerField(
        null=True, choices=Place, help_text="Of two readings; empty where one is enough."
    )
    conclusion = models.CharField(max_length=12, choices=Conclusion, blank=True)
    comment = models.CharField(max_length=500, blank=True)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["place", "opened_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["slide", "reader"], name="one_reading_of_a_person"),
            models.UniqueConstraint(fields=["slide", "place"], name="one_reading_of_a_place"),
        ]

    def __str__(self) -> str:
        return f"{self.slide}, read by {self.who}"


class Settlement(models.Model):
    """Where two readings differed: what counts, and why. Rows are only added, the newest counts.

    Of a cell, of an image or, without either, of the whole slide.
    """

    slide = models.ForeignKey(Slide, models.CASCADE, related_name="settlements")
    image = models.ForeignKey(SmearImage, models.CASCADE, null=True, related_name="settlements")
    cell = models.ForeignKey(Cell, models.CASCADE, null=True, related_name="settlements")
    label = models.CharField(max_length=12)
    reason = models.CharField(max_length=300)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=150, help_text="Their name then; accounts may be closed.")
    is_third = models.BooleanField(help_text="By neither of the readers; else by discussion.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.cell or self.image or self.slide}: {self.label}"


class Report(models.Model):
    """What a slide said when a person signed it; written once by `signing`, never edited.

    The first is signed, each further one amends it with a reason; the newest counts.
    """

    slide = models.ForeignKey(Slide, models.CASCADE, related_name="reports", db_index=False)
    number = models.PositiveIntegerField(help_text="From one, on its slide.")
    content = models.JSONField(help_text="As `summary.of_slide` gave it.")
    comment = models.CharField(max_length=500, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it amends the former.")
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    who = models.CharField(max_length=150, help_text="Their name then; accounts may be closed.")
    signed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["slide", "number"], name="one_report_of_a_number"),
            models.CheckConstraint(
                condition=Q(number=1, reason="") | Q(number__gt=1) & ~Q(reason=""),
                name="amended_with_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slide}, report {self.number}"

    @property
    def status(self) -> str:
        """As FHIR calls it; before the first one a slide's report is `preliminary`."""
        return "final" if self.number == 1 else "amended"


class Action(models.TextChoices):
    SAW = "saw", pgettext_lazy("somebody", "Saw")
    MADE = "made", pgettext_lazy("somebody", "Made")
    UPLOADED = "uploaded", pgettext_lazy("somebody", "Uploaded to")
    REVIEWED = "reviewed", pgettext_lazy("somebody", "Reviewed")
    CHANGED = "changed", pgettext_lazy("somebody", "Changed")
    SETTLED = "settled", pgettext_lazy("somebody", "Settled")
    READ_AGAIN = "read-again", pgettext_lazy("somebody", "Had read again")
    SIGNED = "signed", pgettext_lazy("somebody", "Signed")
    AMENDED = "amended", pgettext_lazy("somebody", "Amended")
    EXPORTED = "exported", pgettext_lazy("somebody", "Exported")
    DELETED = "deleted", pgettext_lazy("somebody", "Deleted")
    RESTORED = "restored", pgettext_lazy("somebody", "Restored")
    PURGED = "purged", pgettext_lazy("somebody", "Purged")


class Event(models.Model):
    """Somebody did something; written once by `audit`, never edited. It outlives what it names."""

    laboratory = models.ForeignKey(
        Laboratory,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="events",
        help_text="Whose matter it was.",
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, db_index=False, related_name="+"
    )
    who = models.CharField(
        max_length=150, default=COMMAND_LINE, help_text="Their name then; accounts may be closed."
    )
    token = models.CharField(max_length=60, blank=True, help_text="Of the program that did it.")
    action = models.CharField(max_length=12, choices=Action)
    kind = models.CharField(max_length=20, help_text="Of the thing: the name of its model.")
    subject = models.CharField(max_length=64, help_text="The thing's id.")
    name = models.CharField(max_length=250, help_text="What it was called then.")
    changes = models.JSONField(
        default=dict, encoder=DjangoJSONEncoder, help_text="By field: the old value, the new one."
    )
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["laboratory", "-at", "-id"], name="event_of_laboratory"),
            models.Index(fields=["by", "subject", "-at"], name="event_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.who}: {self.get_action_display().lower()} {self.name}"


class News(models.TextChoices):
    CRITICAL = "critical", _("Parasites are suspected on a slide")
    UPLOADED = "uploaded", _("A long upload of yours is read")


class Notice(models.Model):
    """That something happened to a slide, for one person; see `notices`."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="notices"
    )
    slide = models.ForeignKey(Slide, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=10, choices=News)
    made_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(null=True)
    is_to_mail = models.BooleanField(default=False, help_text="A mail has to go, and has not yet.")

    class Meta:
        ordering = ["-made_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "slide", "kind"],
                condition=Q(seen_at=None),
                name="one_unseen_notice",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-made_at", "-id"], name="notice_of_person"),
            models.Index(fields=["user"], condition=Q(is_to_mail=True), name="notice_to_mail"),
        ]

    def __str__(self) -> str:
        return f"{self.slide}: {self.get_kind_display()}"


class MailChoice(models.Model):
    """What a person wants to be told by mail, and in which language; without a row, nothing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="mail_choice"
    )
    critical = models.BooleanField(
        _("When parasites are suspected on a slide of my laboratory"), default=False
    )
    uploaded = models.BooleanField(_("When a long upload of mine is read"), default=False)
    language = models.CharField(
        max_length=10, blank=True, default="", db_default="", editable=False,
        help_text="Empty where none was chosen: then English.",
    )  # fmt: skip
    claimed_at = models.DateTimeField(
        null=True, editable=False, help_text="By a worker that is sending."
    )
    sent_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return str(self.user)


class Token(models.Model):
    """A program's key to what one person may do; its text is shown once and never stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of its text.")
    start = models.CharField(max_length=12, help_text="How its text begins, to tell it by.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="one_token_of_a_name"),
        ]

    def __str__(self) -> str:
        return self.name
