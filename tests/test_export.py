from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ml.datasets import find_examples, load
from ml.engines import OUTPUTS
from ml.export import ExportError, Parity, parity, require_parity
from ml.images import IMAGENET_MEAN, IMAGENET_STD, normalised
from ml.network import new_network
from tests.artifacts import drawn_pixels
from tests.servers import ROOT
from tests.training_run import CONFIG


@pytest.fixture(scope="module")
def model(trained_model):
    return onnx.load(trained_model / "model.onnx")


@pytest.fixture(scope="module")
def session(trained_model):
    return onnxruntime.InferenceSession(trained_model / "model.onnx")


def batch_of(count):
    return normalised(drawn_pixels(count), IMAGENET_MEAN, IMAGENET_STD)


def difference(logits):
    return logits[:, 1] - logits[:, 0]


def test_a_trained_network_and_its_export_say_the_same(training_run):
    cells = load(find_examples(training_run.cells), CONFIG)
    batch = normalised(cells.images, IMAGENET_MEAN, IMAGENET_STD)
    network = new_network(training_run.artifact).eval()
    with torch.inference_mode():
        reference = difference(network(torch.from_numpy(batch))[0].numpy())
    session = onnxruntime.InferenceSession(training_run.artifact / "model.onnx")
    exported = difference(session.run(["logits"], {"input": batch})[0])
    found = parity(exported, reference, cells.labels)
    require_parity(found)
    assert found.cells == 160
    assert np.sqrt(np.mean((exported - reference) ** 2)) < 0.1 * reference.std()


def test_a_doctored_export_is_refused():
    labels = np.array([0, 1] * 500)
    reference = np.where(labels == 1, 2.0, -2.0) + np.linspace(-1, 1, 1000)
    doctored = reference.copy()
    doctored[:6] *= -1
    with pytest.raises(
        ExportError, match=r"1,000 validation cells: 6 labels differ \(at most 5 may\)"
    ):
        require_parity(parity(doctored, reference, labels))
    with pytest.raises(ExportError, match="No model was written; the training is kept"):
        require_parity(parity(-reference, reference, labels))


def test_an_export_that_ranks_otherwise_is_refused():
    labels = np.array([0] * 50 + [1] * 50)
    reference = np.linspace(1, 2, 100)
    exported = reference[::-1]
    found = parity(exported, reference, labels)
    assert found == Parity(cells=100, label_agreement=1.0, auc_difference=1.0, rarer_class=50)
    with pytest.raises(ExportError, match=r"AUC is off by 1\.0000"):
        require_parity(found)


def test_the_limits_are_those_that_are_promised():
    require_parity(Parity(2000, 0.995, 0.001, 1000))
    for short in (Parity(2000, 0.9945, 0, 1000), Parity(2000, 1.0, 0.00101, 1000)):
        with pytest.raises(ExportError):
            require_parity(short)


def test_few_cells_are_not_asked_to_prove_what_they_cannot():
    """Of 150 cells one is 0.67 %, and one that changes its rank moves the AUC by up to 0.013."""
    labels = np.array([0, 1] * 75)
    reference = np.where(labels == 1, 2.0, -2.0) + np.linspace(-0.5, 0.5, 150)
    exported = reference.copy()
    exported[0] = 1.8  # past a fifth of the other class
    found = parity(exported, reference, labels)
    assert (found.flipped, found.flips_allowed) == (1, 3)
    assert found.auc_difference > 0.002
    require_parity(found)
    for doctored in (
        replace(found, label_agreement=146 / 150),
        replace(found, auc_difference=0.014),
    ):
        with pytest.raises(ExportError, match="150 validation cells"):
            require_parity(doctored)


def test_cells_of_one_class_have_no_auc_to_compare():
    assert parity(np.array([1.0, -1]), np.array([2.0, 1]), np.array([1, 1])) == Parity(
        2, 0.5, 0.0, 0
    )


def test_it_computes_in_int8(model, trained_model):
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    sizes = {
        kind: sum(np.prod(t.dims) for t in model.graph.initializer if t.data_type == kind)
        for kind in (onnx.TensorProto.INT8, onnx.TensorProto.FLOAT)
    }
    assert sizes[onnx.TensorProto.INT8] > 21_000_000
    assert sizes[onnx.TensorProto.FLOAT] < 100_000
    assert (trained_model / "model.onnx").stat().st_size < 25_000_000


def test_a_batch_may_have_any_size(session):
    batch = batch_of(33)
    together = session.run(None, {"input": batch})
    for size in (1, 2, 33):
        parts = [session.run(None, {"input": batch[i : i + size]}) for i in range(0, 33, size)]
        for output, alone in zip(together, zip(*parts, strict=True), strict=True):
            np.testing.assert_allclose(output, np.concatenate(alone), atol=1e-4)


def test_the_activation_explains_the_logits(session):
    logits, activation, features = session.run(OUTPUTS, {"input": batch_of(8)})
    assert logits.shape == (8, 2)
    assert activation.shape == (8, 2, 2)
    assert features.shape == (8, 192)
    # Both come from quantised scores, rounded one by one.
    np.testing.assert_allclose(activation.mean((1, 2)), difference(logits), atol=0.05)


def test_nothing_of_the_machine_that_made_it_is_inside(model, trained_model):
    content = (trained_model / "model.onnx").read_bytes()
    for trace in (str(ROOT), "site-packages", "/tmp/", '.py"', "torch.nn"):
        assert trace.encode() not in content
    assert {entry.value for entry in model.metadata_props} <= {"onnxruntime.quant"}
    for node in model.graph.node:
        assert not node.metadata_props
        assert not node.doc_string
