import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet34

from ml.network import WeightsError, new_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return new_network().eval()


def same(network, state, but=()):
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if name not in but)


@pytest.mark.parametrize("size", [32, 48, 128])
@torch.inference_mode()
def test_the_mean_of_the_activation_is_the_difference_of_the_logits(network, size):
    logits, activation, features = network(torch.randn(3, 3, size, size))
    side = -(-size // 32)
    assert logits.shape == (3, 2)
    assert activation.shape == (3, side, side)
    assert features.shape == (3, 192)
    torch.testing.assert_close(
        activation.mean((1, 2)), logits[:, 1] - logits[:, 0], atol=1e-4, rtol=1e-4
    )


@torch.inference_mode()
def test_it_is_torchvision_s_network_with_its_state_dict(network):
    other = resnet34(weights=None, num_classes=2).eval()
    other.load_state_dict(network.state_dict())
    batch = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(network(batch)[0], other(batch), atol=1e-4, rtol=1e-4)


def test_random_weights_follow_the_seed(network):
    torch.manual_seed(3)
    assert same(new_network("none"), network.state_dict())
    assert not same(new_network("none"), network.state_dict())


@pytest.mark.parametrize("name", ["state.pt", "state.pth", "model.safetensors"])
def test_weights_come_from_a_file(network, tmp_path, name):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(network.state_dict(), path)
    assert same(new_network(path), network.state_dict())
    assert same(new_network(str(path)), network.state_dict())


def test_weights_come_from_the_folder_of_a_trained_model(network, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(half, tmp_path / "model.safetensors")
    read = new_network(tmp_path)
    assert read.fc.weight.dtype == torch.float32
    assert torch.equal(read.fc.weight, network.fc.weight.half().float())


def test_of_a_network_with_other_classes_all_but_the_last_layer_is_taken(tmp_path):
    path = tmp_path / "thousand.pt"
    state = resnet34(weights=None).state_dict()
    torch.save(state, path)
    network = new_network(path)
    assert network.fc.out_features == 2
    assert same(network, state, but=("fc.weight", "fc.bias"))


class Evil:
    def __reduce__(self):
        return eval, ("open('/tmp/evil', 'w')",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"", "weights"),
        (b"some text", "weights"),
        (pickle.dumps({"fc.weight": 1}, 2), "weights"),
        (pickle.dumps(Evil(), 2), "weights"),
    ],
    ids=["missing", "empty", "text", "pickle", "code"],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_holds_no_weights_is_said(tmp_path, content, sentence, suffix):
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence) as error:
        new_network(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "state",
    [resnet18().state_dict(), {"state_dict": {}}, {}, {"conv1.weight": [1, 2]}, torch.zeros(3)],
    ids=["another network", "nested", "empty", "lists", "a tensor"],
)
def test_the_weights_of_something_else_are_said(tmp_path, state):
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(WeightsError, match="weights"):
        new_network(tmp_path / "state.pt")


def test_several_files_are_averaged(network, tmp_path):
    other = new_network("none")
    for name, one in (("a", network), ("b", other)):
        torch.save(one.state_dict(), tmp_path / f"{name}.pt")
    mean = new_network(f"{tmp_path / 'a.pt'},{tmp_path / 'b.pt'}")
    wanted = (network.conv1.weight + other.conv1.weight) / 2
    torch.testing.assert_close(mean.conv1.weight, wanted)


def test_weights_of_different_networks_are_not_averaged(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    torch.save(resnet18().state_dict(), tmp_path / "b.pt")
    with pytest.raises(WeightsError, match="not weights of one network"):
        new_network(f"{tmp_path / 'a.pt'},{tmp_path / 'b.pt'}")


def test_without_internet_the_way_out_is_said(tmp_path, monkeypatch):
    """A real download, through a proxy that is not there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(WeightsError) as error:
        new_network("imagenet")
    assert re.search(r"could not be downloaded .*--weights none .*--weights FILE", str(error.value))
