from datetime import UTC, datetime
from typing import Any

from diagnosis import bulk
from diagnosis.models import Prediction, Slide
from tests.people import laboratory_of
from tests.readings import active_model, new_slide, waiting

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_writes_all_kinds_of_values_in_one_statement(real_database, django_assert_num_queries):
    active_model()
    slide = new_slide(laboratory_of("ada"))
    rows = [waiting(slide) for _ in range(3)]
    values: list[dict[str, Any]] = [
        {"probability": 0.123456789012, "reasons": ["it's", 'a "ä"'], "activation": [[-1.5, 2e-9]]},
        {"probability": None, "reasons": [], "activation": None, "error": "100 % \\ 'x'; --"},
        {"probability": 1, "reasons": ["細胞"], "activation": [], "state": "done"},
    ]
    for row, fields in zip(rows, values, strict=True):
        for name, value in fields.items():
            setattr(row, name, value)
    names = ["probability", "reasons", "activation", "error", "state"]
    wanted = Prediction.objects.exclude(error="no such error")
    with django_assert_num_queries(1):
        assert bulk.write(wanted, rows, names, finished_at=MOMENT) == 3
    for row, found in zip(rows, Prediction.objects.order_by("pk"), strict=True):
        for name in names:
            assert getattr(found, name) == getattr(row, name)
        assert found.finished_at == MOMENT
    assert Prediction.objects.filter(activation__isnull=True).count() == 1


def test_leaves_rows_alone_that_are_not_wanted_or_not_given(real_database):
    active_model()
    slide = new_slide(laboratory_of("ada"))
    rows = [waiting(slide) for _ in range(3)]
    Prediction.objects.filter(pk=rows[1].pk).update(state="done")
    for row in rows:
        row.error = "changed"
    wanted = Prediction.objects.filter(state="queued")
    assert bulk.write(wanted, rows[:2], ["error"], attempts=2) == 1
    found = Prediction.objects.order_by("pk").values_list("error", "attempts")
    assert list(found) == [("changed", 2), ("", 0), ("", 0)]


def test_writes_rows_that_are_named_by_a_uuid(real_database):
    laboratory = laboratory_of("ada")
    slides = [new_slide(laboratory, f"KSM-{number}") for number in (7, 8)]
    for number, slide in enumerate(slides):
        slide.parasitized, slide.is_critical, slide.pending_since = number, bool(number), MOMENT
    names = ["parasitized", "is_critical", "pending_since"]
    assert bulk.write(Slide.objects.all(), slides, names) == 2
    found = Slide.objects.order_by("code").values_list(*names)
    assert list(found) == [(0, False, MOMENT), (1, True, MOMENT)]
