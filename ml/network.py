"""The ResNet34 that reads one red cell, and where its first weights come from."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import ResNet34_Weights
from torchvision.models.resnet import BasicBlock, ResNet

ARCHITECTURE = "resnet34"


class WeightsError(ValueError):
    """First weights that cannot be had; the text names the way out."""


class CellNet(ResNet):
    """torchvision's ResNet34 (its state dict too) with two classes and three outputs.

    The mean over a map of class scores equals the scores of the mean feature (both are linear),
    so the last layer is applied at every place of the last feature map. That gives the class
    activation map (Zhou et al., CVPR 2016) exactly and for nothing. The features are what the
    first two of its four stages saw on average: colours and textures, by which `ml.rejection`
    tells red cells from other things.
    """

    def __init__(self) -> None:
        super().__init__(BasicBlock, [3, 4, 6, 3], num_classes=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, size, size) → logits (n, 2), activation (n, size/32, size/32), features (n, 192).

        The activation is parasitized minus uninfected: its mean is the difference of the logits.
        """
        first = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        second = self.layer2(first)
        last = self.layer4(self.layer3(second))
        scores = F.conv2d(last, self.fc.weight[:, :, None, None], self.fc.bias)
        features = torch.cat([first.mean((2, 3)), second.mean((2, 3))], 1)
        return scores.mean((2, 3)), scores[:, 1] - scores[:, 0], features


def new_network(weights: str | Path = "none") -> CellNet:
    """A network with `"imagenet"` weights, random ones (`"none"`), or those of a file.

    A file is a state dict (.safetensors, .pt, .pth) or the folder of a trained model; a last
    layer of another shape is left random. Several, with commas between, are averaged: networks
    that were trained on from one another agree so well that their mean keeps what each learnt
    (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    """
    network = CellNet()
    if str(weights) == "none":
        return network
    state = _imagenet() if str(weights) == "imagenet" else _from_files(named_files(weights))
    own = network.state_dict()
    fitting = {
        name: value.to(own[name].dtype)
        for name, value in state.items()
        if name in own and isinstance(value, Tensor) and value.shape == own[name].shape
    }
    missing = [name for name in own if name not in fitting and not name.startswith("fc.")]
    if missing:
        raise WeightsError(f"These are not the weights of a ResNet34: {missing[0]} is missing.")
    network.load_state_dict(fitting, strict=False)
    return network


def named_files(weights: str | Path) -> list[Path]:
    """The files and folders that first weights are read from; none for the two words."""
    if str(weights) in ("none", "imagenet"):
        return []
    names = [weights] if Path(weights).exists() else str(weights).split(",")
    return [Path(name) for name in names]


def _from_files(files: Sequence[Path]) -> dict[str, Tensor]:
    states = [_from_file(file) for file in files]
    if len(states) == 1:
        return states[0]
    try:
        return {name: _mean([state[name] for state in states]) for name in states[0]}
    except (KeyError, AttributeError, RuntimeError):
        raise WeightsError(
            f"{' and '.join(map(str, files))} are not weights of one network."
        ) from None


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Counters of batches are no weights: the first one's stands."""
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack([value.float() for value in values]).mean(0)


def _imagenet() -> dict[str, Tensor]:
    try:
        return dict(ResNet34_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
    except Exception as error:
        raise WeightsError(
            f"The ImageNet weights could not be downloaded ({error}). Use --weights none to start "
            "from random weights, or --weights FILE with a ResNet34 state dict you have."
        ) from None


def _from_file(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        path = path / "model.safetensors"
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise WeightsError(f"The weights {path} cannot be read: {error}") from None
    except Exception as error:  # pickle errors share no base class
        raise WeightsError(f"{path} is not a file of weights: {error}") from None
