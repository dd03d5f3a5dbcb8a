"""Files of many rows: what they take does not grow with them, on both databases."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection

from diagnosis import reports
from diagnosis.models import Cell, CellReview, Kind, Prediction, Slide, SmearImage, State
from tests.people import laboratory_of
from tests.readings import MAP, measured_model, new_slide

NOBODY = AnonymousUser()
FEW, MANY, CHUNK = 200, 1000, 100


def lines_of_images(slide: Slide) -> Iterator[str]:
    return reports.csv_lines(Slide.objects.all(), NOBODY)


def lines_of_cells(slide: Slide) -> Iterator[str]:
    return reports.cell_lines(slide, NOBODY)


EXPORTS = (lines_of_images, lines_of_cells)


def slide_of_fields() -> Slide:
    return new_slide(laboratory_of("ada"))


def fill(slide: Slide, number: int) -> None:
    """With fields that have one cell each, of which a person has spoken."""
    model, ada = measured_model(), slide.laboratory.members.get()
    images = SmearImage.objects.bulk_create(
        SmearImage(slide=slide, name="x", sha256=f"{n}", width=9, height=9, kind=Kind.FIELD)
        for n in range(slide.images.count(), number)
    )
    read = {"model": model, "kind": Kind.FIELD, "state": State.DONE, "decision": "uncertain"}
    readings = Prediction.objects.bulk_create(
        Prediction(image=image, slide=slide, **read) for image in images
    )
    box = {"number": 1, "x": 0, "y": 0, "width": 9, "height": 9, "activation": MAP}
    cells = Cell.objects.bulk_create(
        Cell(image_id=reading.image_id, prediction=reading, decision="uncertain", **box)
        for reading in readings
    )
    CellReview.objects.bulk_create(
        CellReview(cell=cell, reviewer=ada, label="parasitized") for cell in cells
    )


def peak(export: Callable[[Slide], Iterator[str]], slide: Slide) -> int:
    tracemalloc.start()
    for row, _ in enumerate(export(slide)):
        if row % CHUNK == 0:
            gc.collect()  # what nobody holds is no growth
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row == slide.images.count()
    return size


def test_memory_does_not_grow_with_the_number_of_rows(real_database, monkeypatch):
    monkeypatch.setattr(reports, "ROWS_IN_MEMORY", CHUNK)
    slide = slide_of_fields()
    fill(slide, FEW)
    for export in EXPORTS:
        peak(export, slide)  # what is loaded at first use is not counted
    few = [peak(export, slide) for export in EXPORTS]
    fill(slide, MANY)
    many = [peak(export, slide) for export in EXPORTS]
    assert [after < 1.3 * before for before, after in zip(few, many, strict=True)] == [True] * 2


@pytest.mark.parametrize("export", EXPORTS)
def test_postgresql_hands_out_rows_as_they_are_asked_for(postgresql, monkeypatch, export):
    """Its library would else hold all of them, where no measure of Python's memory sees it."""
    monkeypatch.setattr(reports, "ROWS_IN_MEMORY", 1)
    slide = slide_of_fields()
    fill(slide, 3)
    lines = export(slide)
    assert [next(lines), next(lines)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("export", EXPORTS)
def test_what_no_row_shows_is_not_loaded(db, django_assert_max_num_queries, export):
    slide = slide_of_fields()
    fill(slide, 3)
    with django_assert_max_num_queries(10) as asked:
        assert len(list(export(slide))) == 4
    said = " ".join(query["sql"] for query in asked.captured_queries)
    assert [name for name in ("manifest", "metrics", "activation") if f'"{name}"' in said] == []
