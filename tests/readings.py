"""Slides with images that were read, for tests of what is shown of them."""

import io
import itertools
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone

from diagnosis import verdict
from diagnosis.models import (
    Cell,
    Kind,
    Laboratory,
    ModelVersion,
    Prediction,
    Slide,
    SmearImage,
    State,
)
from ml.background import Background, Share
from ml.drawing import draw_cell

numbers = itertools.count(1)
MAP = [[-2.0, -1.0, 0.0, 1.0], [0.0, 9.0, 4.0, 0.0], [0.0, 2.0, 1.0, 0.0], [-1.0, 0.0, 0.0, -3.0]]
SHARE = Share(mean=0.002, spread=0.5, slides=30, cells=30_000)
BACKGROUND = Background(SHARE, sensitivity=0.95, infected=500, uncertain=SHARE)
PROBABILITIES = {"parasitized": 0.97, "uncertain": 0.5, "uninfected": 0.02}


def active_model(**fields: Any) -> ModelVersion:
    found = ModelVersion.objects.filter(is_active=True).first()
    return found or ModelVersion.objects.create(
        **{
            "name": "resnet34-drawn",
            "fingerprint": f"{next(numbers):064x}",
            "path": "nowhere",
            "manifest": {"thresholds": {"low": 0.2, "high": 0.8}},
            "is_active": True,
        }
        | fields
    )


def measured_model() -> ModelVersion:
    """Active, and its false positives are known: there is a parasitaemia."""
    return active_model(metrics={"background": BACKGROUND.as_dict()})


def another_model(name: str = "resnet34-next", **fields: Any) -> ModelVersion:
    """Known, not active."""
    return ModelVersion.objects.create(
        **{
            "name": name,
            "fingerprint": f"{next(numbers):064x}",
            "path": "nowhere",
            "manifest": {"thresholds": {"low": 0.1, "high": 0.9}},
        }
        | fields
    )


def as_first_format(content: dict[str, Any]) -> dict[str, Any]:
    """A summary as reports kept it before it named a language and held codes beside its words."""
    newer = ("language", "concluded", "said", "notes")
    return {name: value for name, value in content.items() if name not in newer} | {"format": 1}


def new_slide(laboratory: Laboratory, code: str = "", **fields: Any) -> Slide:
    return Slide.objects.create(laboratory=laboratory, code=code or f"S-{next(numbers)}", **fields)


def png(
    seed: int = 0,
    parasitized: bool = False,
    size: int = 64,
    mark: tuple[int, int, int] | None = None,
) -> bytes:
    """`mark` is the colour of the first pixel, for tests.ill_worker."""
    file, picture = io.BytesIO(), draw_cell(seed, parasitized, size)
    if mark:
        picture.putpixel((0, 0), mark)
    picture.save(file, "PNG")
    return file.getvalue()


def new_image(slide: Slide, name: str = "", size: int = 64) -> SmearImage:
    number = next(numbers)
    image = SmearImage(slide=slide, name=name or f"cell-{number}.png", width=size, height=size)
    image.sha256 = f"{number:064x}"
    image.file.save("", ContentFile(png(number, size=size)), save=False)
    image.save()
    return image


def read(slide: Slide, decision: str = "uninfected", **fields: Any) -> Prediction:
    """An image of the slide whose reading ended with a decision."""
    probability = fields.pop("probability", PROBABILITIES.get(decision, 0.3))
    values = {
        "state": State.REJECTED if decision == "rejected" else State.DONE,
        "decision": decision,
        "probability": probability,
        "label": "parasitized" if probability >= 0.5 else "uninfected",
        "activation": MAP,
        "finished_at": timezone.now(),
    }
    return _prediction(slide, values | fields)


def read_field(slide: Slide, *cells: str, **fields: Any) -> Prediction:
    """A field whose cells came out as these words say, one by one: a decision, or `edge`."""
    image = fields.pop("image", None) or new_image(slide, size=400)
    image.kind = Kind.FIELD
    image.save()
    decisions = ["uninfected" if word == "edge" else word for word in cells]
    counted = [d for d, w in zip(decisions, cells, strict=True) if w not in ("edge", "rejected")]
    most = next((d for d in ("parasitized", "uncertain", "uninfected") if d in counted), "rejected")
    values = {
        "kind": Kind.FIELD,
        "finder": "drawn-cells",
        "decision": most,
        "state": State.REJECTED if most == "rejected" else State.DONE,
        "finished_at": timezone.now(),
        "image": image,
    }
    prediction = _prediction(slide, values | fields)
    words = zip(cells, decisions, strict=True)
    Cell.objects.bulk_create(
        cell_of(prediction, number, decision, word == "edge")
        for number, (word, decision) in enumerate(words, 1)
    )
    verdict.recount([slide.pk])
    return prediction


def cell_of(prediction: Prediction, number: int, decision: str, is_cut: bool) -> Cell:
    probability = PROBABILITIES.get(decision, 0.3)
    return Cell(
        image=prediction.image,
        prediction=prediction,
        number=number,
        x=20 * (number % 16),
        y=20 * (number // 16 % 16),
        width=18,
        height=18,
        is_cut=is_cut,
        label="parasitized" if probability >= 0.5 else "uninfected",
        probability=probability,
        decision=decision,
        activation=MAP,
    )


def waiting(slide: Slide, **fields: Any) -> Prediction:
    return _prediction(slide, fields)


def failed(slide: Slide, **fields: Any) -> Prediction:
    return _prediction(slide, {"state": State.FAILED, "error": "It broke off."} | fields)


def _prediction(slide: Slide, fields: dict[str, Any]) -> Prediction:
    image = fields.pop("image", None) or new_image(slide, fields.pop("name", ""))
    model = fields.pop("model", None) or active_model()
    return Prediction.objects.create(image=image, model=model, **fields)


def again(thing: Any) -> Any:
    """As the database has it now."""
    thing.refresh_from_db()
    return thing


def places(slide: Slide) -> dict[str, int | None]:
    """Who reads it in which place."""
    return {one.who: one.place for one in slide.readings.all()}
