from itertools import islice

from django.db import migrations
from django.db.models import Count, Exists, F, Max, OuterRef
from django.db.models.functions import Coalesce, Greatest

AT_ONCE = 500
LABELS = ("parasitized", "uninfected")
PAIRS = {
    ("parasitized", "parasitized"): "both_parasitized",
    ("parasitized", "uninfected"): "machine_only",
    ("uninfected", "parasitized"): "people_only",
    ("uninfected", "uninfected"): "both_uninfected",
}
SUSPICIOUS = ("parasitized", "uncertain")
COUNTS = ["answered", "called_uncertain", "called_rejected", *PAIRS.values()]
KEPT = ["is_critical", "has_open", "signed_at", *COUNTS]


def fill(apps, schema_editor):
    """In parts, each of its own: nobody waits for long while the site goes on.

    Each value is counted from nothing: a slide may be gone by now, and a second try adds nothing.
    """
    Slide = apps.get_model("diagnosis", "Slide")
    slides = Slide.objects.order_by().only("pk", "finding").iterator(AT_ONCE)
    while part := list(islice(slides, AT_ONCE)):
        known = {slide.pk: slide for slide in part}
        for slide in part:
            slide.is_critical, slide.has_open, slide.signed_at = slide.finding == "positive", False, None
            for name in COUNTS:
                setattr(slide, name, 0)
        _add_images(apps, known)
        _add_pairs(apps, known)
        _add_open(apps, known)
        Slide.objects.bulk_update(part, KEPT, batch_size=100)


def _add_images(apps, known):
    found = apps.get_model("diagnosis", "Prediction").objects.filter(
        slide__in=list(known), is_current=True, state__in=("done", "rejected")
    )
    groups = found.values_list("slide", "kind", "state", "decision", "image__reviewed")
    for pk, kind, state, decision, reviewed, number in groups.order_by().annotate(n=Count("*")):
        slide = known[pk]
        slide.answered += number
        slide.called_uncertain += number if decision == "uncertain" else 0
        slide.called_rejected += number if state == "rejected" else 0
        said = "" if state == "rejected" else decision
        if kind == "cell" and (reviewed or said) == "parasitized":
            slide.is_critical = True


def _add_pairs(apps, known):
    crops = apps.get_model("diagnosis", "Prediction").objects.filter(
        slide__in=list(known), is_current=True, kind="cell", state__in=("done", "rejected"),
        label__in=LABELS, image__reviewed__in=LABELS,
    )
    cells = apps.get_model("diagnosis", "Cell").objects.filter(
        prediction__slide__in=list(known), prediction__is_current=True, prediction__state="done",
        label__in=LABELS, reviewed__in=LABELS,
    )
    for found, slide, heard in (
        (crops, "slide", "image__reviewed"), (cells, "prediction__slide", "reviewed"),
    ):
        groups = found.order_by().annotate(of=F(slide), heard=F(heard))
        for pk, label, said, number in groups.values_list("of", "label", "heard").annotate(
            n=Count("*")
        ):
            name = PAIRS[label, said]
            setattr(known[pk], name, getattr(known[pk], name) + number)


def _add_open(apps, known):
    signed = apps.get_model("diagnosis", "Report").objects.filter(slide__in=list(known))
    for pk, at in signed.order_by().values_list("slide").annotate(at=Max("signed_at")):
        known[pk].signed_at = at
    found = apps.get_model("diagnosis", "Prediction").objects.filter(
        slide__in=list(known), is_current=True, state="done", decision__in=SUSPICIOUS
    )
    open_cells = apps.get_model("diagnosis", "Cell").objects.filter(
        prediction=OuterRef("pk"), is_cut=False, reviewed="", decision__in=SUSPICIOUS
    )
    added = F("image__created_at")
    newest = Max(Greatest(Coalesce("finished_at", added), added))
    for rows in (
        found.filter(kind="cell", image__reviewed=""),
        found.filter(Exists(open_cells), kind="field"),
    ):
        for pk, at in rows.order_by().values_list("slide").annotate(at=newest):
            slide = known[pk]
            slide.has_open = slide.has_open or slide.signed_at is None or at > slide.signed_at


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('diagnosis', '0008_rollups'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
