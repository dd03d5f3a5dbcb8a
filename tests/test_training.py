import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ml import training
from ml.configuration import TrainingConfig, TrainingError
from ml.datasets import load
from ml.devices import choose_device, choose_precision
from ml.network import new_network
from ml.pipeline import Source, divide
from ml.training import CHECKPOINT, HISTORY, predict_logits, train
from tests.training_run import CONFIG, TEST_SLIDES

COLUMNS = [
    "epoch",
    "train_loss",
    "train_accuracy",
    "learning_rate",
    "images_per_second",
    "validation_loss",
    "validation_accuracy",
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in tests.training_run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(training_run):
    """(training, validation) as train_model took them."""
    others = (training_run.other_lab,)
    source = Source(training_run.cells, test=frozenset(TEST_SLIDES), others=others)
    return tuple(load(part, CONFIG) for part in divide(CONFIG, source)[:2])


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """(what came of it, its folder, the steps that were told)."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    steps: list[training.Step] = []
    return run(CONFIG, data, folder, on_step=steps.append), folder, steps


def run(config, data, folder, **options):
    training_cells, validation_cells = data
    return train(config, training_cells, validation_cells, folder, **options)


def few(pixels, count):
    """The first and last images: of both classes."""
    chosen = np.r_[: count // 2, -(count // 2) : 0]
    examples = tuple(pixels.examples[index] for index in chosen)
    return replace(
        pixels, images=pixels.images[chosen], labels=pixels.labels[chosen], examples=examples
    )


def rows(folder):
    with (folder / HISTORY).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_killed_training_ends_as_an_uninterrupted_one(training_run, uninterrupted):
    trained, folder, _ = uninterrupted
    resumed = load_file(training_run.artifact / "model.safetensors")
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(resumed[name].float(), value.float(), atol=2e-3, rtol=2e-2)
    for once, again in zip(rows(folder), rows(training_run.artifact), strict=True):
        for column in set(COLUMNS) - {"images_per_second"}:
            assert float(once[column]) == pytest.approx(float(again[column]), rel=0.02, abs=0.02)


def test_drawn_cells_are_learned(uninterrupted, data):
    trained, _, _ = uninterrupted
    logits = predict_logits(trained.network, data[1].images, CONFIG)
    assert (logits.argmax(1) == data[1].labels).mean() >= 0.95


def test_the_best_epoch_is_kept(uninterrupted, data):
    trained, _, _ = uninterrupted
    accuracies = [row["validation_accuracy"] for row in trained.history]
    assert accuracies[trained.best_epoch - 1] == max(accuracies)
    assert trained.best_epoch == accuracies.index(max(accuracies)) + 1
    logits = predict_logits(trained.network, data[1].images, CONFIG)
    assert (logits.argmax(1) == data[1].labels).mean() == pytest.approx(max(accuracies))


def test_a_later_epoch_that_is_no_better_does_not_replace_the_best(data, tmp_path):
    state = training._Run(CONFIG, data[0], tmp_path, resume=False)
    for epoch, accuracy in enumerate((0.6, 0.9, 0.9), 1):
        state.epoch = epoch
        with torch.no_grad():
            state.average.module.fc.bias.fill_(epoch)
        state.finish_epoch({"validation_accuracy": accuracy})
    result = state.result()
    assert result.best_epoch == 2
    assert result.network.fc.bias.tolist() == [2, 2]


def test_the_running_average_lies_behind_the_steps(data, tmp_path):
    state = training._Run(replace(CONFIG, averaging=0.5), data[0], tmp_path, resume=False)
    seen, wanted = [], 0.0
    for step in range(4):
        with torch.no_grad():
            state.network.fc.bias.fill_(step)
        state.average.update_parameters(state.network)
        kept = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        wanted = kept * wanted + (1 - kept) * step
        seen.append(state.average.module.fc.bias.tolist())
        assert seen[-1] == pytest.approx([wanted] * 2)
    assert 2 < seen[-1][0] < 3


def test_history_has_a_row_for_each_epoch(uninterrupted):
    trained, folder, _ = uninterrupted
    found = rows(folder)
    assert list(found[0]) == COLUMNS
    assert [row["epoch"] for row in found] == ["1", "2", "3"]
    assert [float(row["train_loss"]) for row in found] == [
        row["train_loss"] for row in trained.history
    ]


def test_every_step_is_told(uninterrupted):
    _, _, steps = uninterrupted
    assert [(step.epoch, step.done) for step in steps] == [
        (epoch, done) for epoch in (1, 2, 3) for done in range(1, 25)
    ]
    assert {(step.epochs, step.total) for step in steps} == {(3, 24)}
    assert all(step.loss > 0 and step.images_per_second > 0 for step in steps)


def test_a_finished_training_is_resumed_at_its_end(uninterrupted, data):
    trained, folder, _ = uninterrupted
    steps: list[training.Step] = []
    again = run(CONFIG, data, folder, resume=True, on_step=steps.append)
    assert steps == []
    assert (again.history, again.best_epoch) == (trained.history, trained.best_epoch)
    assert torch.equal(again.network.fc.weight, trained.network.fc.weight)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 9}, "epochs"),
        ({"seed": 4, "learning_rate": 0.1}, "learning_rate, seed"),
        ({"augmentation": replace(CONFIG.augmentation, blur=0)}, "augmentation"),
    ],
)
def test_other_settings_are_refused(uninterrupted, data, change, named):
    with pytest.raises(TrainingError, match=rf"other settings \({named}\)"):
        run(replace(CONFIG, **change), data, uninterrupted[1], resume=True)


def test_other_images_are_refused(uninterrupted, data):
    with pytest.raises(TrainingError, match=r"other settings \(the training images\)"):
        run(CONFIG, (few(data[0], 8), data[1]), uninterrupted[1], resume=True)
    first, *rest = data[0].examples
    renamed = replace(data[0], examples=(replace(first, path=first.path.with_name("x")), *rest))
    with pytest.raises(TrainingError, match=r"other settings \(the training images\)"):
        run(CONFIG, (renamed, data[1]), uninterrupted[1], resume=True)


def test_where_it_computes_may_change(uninterrupted, data):
    config = replace(CONFIG, device="cpu", precision="bf16")
    assert len(run(config, data, uninterrupted[1], resume=True).history) == 3


def test_a_damaged_checkpoint_is_said(uninterrupted, data, tmp_path):
    whole = (uninterrupted[1] / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=r"checkpoint .*checkpoint\.pt cannot be read"):
        run(CONFIG, data, tmp_path, resume=True)


def test_training_starts_from_a_file_which_a_resumed_one_no_longer_needs(data, tmp_path):
    torch.manual_seed(11)
    network = new_network()
    save_file(network.state_dict(), tmp_path / "first.safetensors")
    config = replace(
        CONFIG, epochs=1, weights=str(tmp_path / "first.safetensors"), learning_rate=1e-6
    )
    small = few(data[0], 8), few(data[1], 8)
    trained = run(config, small, tmp_path / "out")
    assert torch.allclose(trained.network.conv1.weight, network.conv1.weight, atol=1e-4)
    (tmp_path / "first.safetensors").unlink()
    again = run(config, small, tmp_path / "out", resume=True)
    assert torch.equal(again.network.conv1.weight, trained.network.conv1.weight)
    shutil.rmtree(tmp_path / "out")


def test_a_loss_that_is_no_number_stops_with_advice(data, tmp_path):
    config = replace(CONFIG, learning_rate=100.0)
    with pytest.raises(TrainingError, match="no longer a number.*lower --learning-rate"):
        run(config, data, tmp_path)


def test_a_missing_gpu_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainingError, match="no CUDA GPU here: use --device cpu"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


def test_the_precision_that_is_asked_for_is_taken():
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    assert choose_precision("auto", cpu) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("image_size", 16),
        ("batch_size", 1),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("validation_share", 0.0),
        ("validation_share", 1.0),
    ],
)
def test_a_value_that_no_training_can_have_is_said(name, value):
    with pytest.raises(TrainingError, match=f"The {name.replace('_', ' ')} must be from"):
        TrainingConfig(**{name: value})


def test_the_rate_follows_the_first_weights():
    assert TrainingConfig(weights="none").peak > TrainingConfig().peak
    assert TrainingConfig(learning_rate=0.2).peak == 0.2


def test_without_epochs_the_first_weights_are_what_comes_out(data, tmp_path):
    first = new_network("none")
    torch.save(first.state_dict(), tmp_path / "first.pt")
    config = replace(CONFIG, epochs=0, weights=str(tmp_path / "first.pt"))
    trained = run(config, data, tmp_path / "out")
    assert (trained.history, trained.best_epoch) == ([], 0)
    assert torch.equal(trained.network.conv1.weight, first.conv1.weight)


def test_mixing_keeps_at_least_half_of_each_image_and_is_the_same_for_the_same_seed():
    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 4, 4).contiguous()
    runs = [training.mixed(images, 0.4, torch.Generator().manual_seed(seed)) for seed in range(20)]
    for found, mates, share in runs:
        assert 0.5 <= share < 1
        assert sorted(mates.tolist()) == list(range(8))
        wanted = share * images + (1 - share) * images[mates]
        assert torch.allclose(found, wanted, atol=1e-5)
    again = training.mixed(images, 0.4, torch.Generator().manual_seed(3))
    assert torch.equal(again[0], runs[3][0])
    assert len({share for _, _, share in runs}) == 20


def test_nothing_is_mixed_unless_asked_for():
    images = torch.rand(4, 3, 4, 4)
    found, _, share = training.mixed(images, 0.0, torch.Generator())
    assert found is images
    assert share == 1


def test_a_mixed_image_is_asked_for_both_labels_by_their_shares():
    logits = torch.tensor([[10.0, 0.0], [0.0, 0.0]])
    labels, mates = torch.tensor([0, 1]), torch.tensor([1, 0])
    even = float(np.log(2))
    found = training.loss_of(logits, labels, mates, 0.75, smoothing=0.0)
    assert float(found) == pytest.approx((0.25 * 10 + even) / 2, abs=1e-3)
    apart = training.loss_of(logits, labels, torch.arange(2), 1.0, smoothing=0.0)
    assert float(apart) == pytest.approx(even / 2, abs=1e-3)
