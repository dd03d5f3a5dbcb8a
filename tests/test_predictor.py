import json
import math
import shutil
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from PIL import Image

from ml import artifact
from ml.artifact import ArtifactError
from ml.configuration import TrainingConfig
from ml.datasets import Example, load
from ml.decisions import Thresholds
from ml.drawing import draw_cell
from ml.engines import Output
from ml.field_reading import FieldReader
from ml.fields import Finder
from ml.images import CELL_COLOUR, normalised, read_image, resized
from ml.predictor import CellPrediction, Predictor
from ml.reading import classify
from ml.training import predict_logits
from tests.pictures import SAVED, encoded


@pytest.fixture(scope="module")
def predictor(trained_model):
    return Predictor.load(trained_model, "onnxruntime", threads=2)


@pytest.fixture
def copy(trained_model, tmp_path):
    return shutil.copytree(trained_model, tmp_path / "copy")


def drawn(count):
    return [draw_cell(seed, bool(seed % 2)) for seed in range(count)]


def test_each_image_has_its_prediction_in_order(predictor):
    together = predictor.predict(drawn(9))
    assert len(together) == 9
    for image, said in zip(drawn(9), together, strict=True):
        (alone,) = predictor.predict([image])
        assert alone.probability == pytest.approx(said.probability, abs=1e-5)
        assert alone.label == said.label
    assert len({said.probability for said in together}) > 4


def test_nothing_has_no_predictions(predictor):
    assert predictor.predict([]) == []


def test_images_of_any_size_go_into_one_batch(predictor):
    sizes = [(24, 24), (300, 200), (1000, 40), (64, 64)]
    said = predictor.predict([Image.new("RGB", size, (200, 150, 160)) for size in sizes])
    assert all(0 < cell.probability < 1 for cell in said)


def test_a_prediction_is_complete_and_never_edited(predictor):
    (said,) = predictor.predict(drawn(1))
    assert said.model == predictor.manifest.name
    assert said.reasons == ()
    assert isinstance(said.probability, float)
    json.dumps(said.__dict__)
    with pytest.raises(FrozenInstanceError):
        said.label = "uninfected"


def test_the_activation_explains_the_probability(predictor):
    for said in predictor.predict(drawn(5)):
        assert len(said.activation) == 2
        assert {len(row) for row in said.activation} == {2}
        logit = math.log(said.probability / (1 - said.probability))
        assert np.mean(said.activation) == pytest.approx(logit, abs=0.01)


def test_temperature_and_thresholds_are_the_model_s(predictor):
    pixels = np.stack([resized(image, 64) for image in drawn(12)])
    logits = predictor.logits(pixels)
    probability = 1 / (1 + np.exp(-logits / 3.0))
    cuts = sorted(probability)
    low, high = min(0.5, float(cuts[3])), max(0.5, float(cuts[-3]))
    manifest = replace(predictor.manifest, temperature=3.0, thresholds=Thresholds(low, high))
    said = replace(predictor, manifest=manifest).predict_pixels(pixels)
    assert [cell.probability for cell in said] == pytest.approx(list(probability))
    for cell in said:
        assert cell.label == ("parasitized" if cell.probability >= 0.5 else "uninfected")
        expected = "uncertain" if low <= cell.probability < high else cell.label
        assert cell.decision == expected


def test_many_images_are_scored_in_batches(predictor):
    pixels = np.stack([resized(image, 64) for image in drawn(5)])
    many = np.concatenate([pixels] * 30)
    np.testing.assert_allclose(
        predictor.logits(many), np.tile(predictor.logits(pixels), 30), atol=1e-4
    )
    assert predictor.logits(many[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_a_model_answers_as_when_it_was_made(name, trained_model):
    Predictor.load_checked(str(trained_model), name, threads=2)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_the_shipped_model_answers_on_every_engine_as_when_it_was_made(name):
    try:
        folder = artifact.shipped_model()
    except ArtifactError as missing:
        pytest.skip(str(missing))
    artifact.verify(folder, artifact.read_manifest(folder))
    Predictor.load_checked(folder, name, threads=2)


def doctor_probe(folder, change):
    """Change the answers in the probe, with the hash in the manifest made to fit."""
    with np.load(folder / artifact.PROBE) as probe:
        pixels, probability = probe["pixels"], probe["probability"]
    np.savez_compressed(folder / artifact.PROBE, pixels=pixels, **change(probability))
    path = folder / artifact.MANIFEST
    values = json.loads(path.read_text())
    values["files"][artifact.PROBE] = artifact.digest(folder / artifact.PROBE)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: {"probability": 1 - said + 0.2},
        lambda said: {"probability": np.append(said[:-1], said[-1] + 0.06)},
        lambda said: {"probability": said * np.nan},
        lambda said: {"probability": said + 0.1, "reference": said - 0.1},
    ],
    ids=["all", "one", "not a number", "both answers"],
)
def test_a_machine_that_computes_otherwise_is_found_out(copy, change):
    doctor_probe(copy, change)
    predictor = Predictor.load(copy, "onnxruntime")
    with pytest.raises(ArtifactError, match=r"computes the model wrongly.*choose another engine"):
        predictor.check(copy)


def test_an_engine_may_answer_as_the_network_in_full_precision(copy):
    doctor_probe(copy, lambda said: {"probability": said + 0.1, "reference": said})
    Predictor.load(copy, "onnxruntime").check(copy)


def test_an_altered_probe_is_said(copy):
    predictor = Predictor.load(copy, "onnxruntime")
    (copy / artifact.PROBE).write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"probe\.npz is not the file its manifest describes"):
        predictor.check(copy)


def test_a_model_that_was_altered_is_not_loaded_and_not_deleted(copy):
    path = copy / artifact.ONNX
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"model\.onnx is not the file"):
        Predictor.load(copy, "onnxruntime")
    assert path.exists()
    path.unlink()
    with pytest.raises(ArtifactError, match=r"lacks its file model\.onnx"):
        Predictor.load(copy, "onnxruntime")


def test_what_is_no_model_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="no trained model in"):
        Predictor.load(tmp_path)


class Recorder:
    """An engine that keeps what it was given."""

    file = artifact.ONNX

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        return Output(
            np.zeros((len(batch), 2), np.float32), np.zeros((len(batch), 2, 2), np.float32)
        )


class RecorderNet(torch.nn.Module):
    """A network that keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches: list[np.ndarray] = []

    def forward(self, batch):
        self.batches.append(batch.numpy())
        return torch.zeros(len(batch), 2), torch.zeros(len(batch), 2, 2)


@pytest.mark.parametrize("colour", [None, CELL_COLOUR])
def test_training_and_serving_see_the_same_pixels_to_the_last_bit(predictor, colour, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    clear = draw_cell(3, True).convert("RGBA")
    clear.putalpha(clear.getchannel("G").point(lambda green: 255 if green > 20 else 0))
    contents = [encoded(draw_cell(seed, True, 90), form) for seed, form in enumerate(SAVED)]
    contents += [
        encoded(clear, "PNG"),
        encoded(draw_cell(4, True).crop((0, 0, 132, 90)), "JPEG", exif=exif.tobytes()),
        encoded(Image.fromarray(np.asarray(draw_cell(5, True))[..., 1].astype("u2") * 257), "PNG"),
    ]
    paths = [tmp_path / f"C{index}.png" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)

    manifest = replace(predictor.manifest, cell_colour=colour)
    decoded = load([Example(path, 1, None) for path in paths], manifest)
    assert not decoded.unreadable
    wanted = normalised(decoded.images, manifest.mean, manifest.std)

    network, config = RecorderNet(), TrainingConfig(precision="fp32")
    predict_logits(network, decoded.images, config)
    engine = Recorder()
    recording = Predictor(manifest, engine)
    recording.predict([read_image(content) for content in contents])
    list(classify(map(str, paths), FieldReader(recording, Finder.load(threads=1))))
    assert (config.mean, config.std) == (manifest.mean, manifest.std)
    for seen in (*network.batches, *engine.batches):
        assert seen.dtype == np.float32
        assert np.array_equal(seen, wanted)
    assert len(engine.batches) == 2


def test_predictions_compare_by_what_they_say():
    one = CellPrediction("uninfected", 0.1, "uninfected", (), "m", ((0.0,),))
    assert one == replace(one)
    assert one != replace(one, probability=0.2)
