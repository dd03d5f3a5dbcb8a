"""What computes the network: each engine turns a float32 batch into logits and activations."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ml.artifact import ONNX, WEIGHTS, ArtifactError

ENGINES = ("auto", "onnxruntime", "torch", "openvino")
GPU_DEVICE = Path("/dev/nvidia0")

AT_ONCE = 32
"""Images that onnxruntime takes: twice as many are no faster and need 130 MB more."""
OUTPUTS = ("logits", "activation", "features")


class Output(NamedTuple):
    """logits (n, 2), activation (n, h, w), features (n, d); models of format 1 have no features."""

    logits: np.ndarray
    activation: np.ndarray
    features: np.ndarray | None = None


class Engine(Protocol):
    file: str
    """The file of the artifact that it reads."""

    def __call__(self, batch: np.ndarray) -> Output:
        """float32 (n, 3, size, size) → what the network says of each."""


def load_engine(name: str, path: Path, threads: int | None = None) -> Engine:
    """The engine of that name over an artifact's folder; `auto` takes torch only for a GPU."""
    name = choose_engine(name)
    if name != "onnxruntime" and importlib.util.find_spec(name) is None:
        raise ArtifactError(f"The engine {name} is not installed here: pip install {name}.")
    engines: dict[str, Callable[[Path, int], Engine]] = {
        "onnxruntime": OnnxRuntime,
        "torch": Torch,
        "openvino": OpenVino,
    }
    try:
        return engines[name](path, threads or cores())
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"{name} cannot load the model in {path}: {error}") from error


def choose_engine(name: str) -> str:
    if name not in ENGINES:
        raise ArtifactError(f"There is no engine {name}: choose one of {', '.join(ENGINES)}.")
    if name != "auto":
        return name
    # Asking torch itself would load it into every worker.
    has_gpu = GPU_DEVICE.exists() and importlib.util.find_spec("torch") is not None
    return "torch" if has_gpu else "onnxruntime"


def engine_file(name: str) -> str:
    return WEIGHTS if choose_engine(name) == "torch" else ONNX


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def onnx_session(path: Path, threads: int) -> Any:
    """Of onnxruntime, on its CPU provider."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxRuntime:
    """The int8 model on onnxruntime's CPU provider."""

    file = ONNX

    def __init__(self, path: Path, threads: int) -> None:
        self.session = onnx_session(path / ONNX, threads)
        there = {output.name for output in self.session.get_outputs()}
        self.outputs = [name for name in OUTPUTS if name in there]

    def __call__(self, batch: np.ndarray) -> Output:
        parts = [
            self.session.run(self.outputs, {"input": batch[start : start + AT_ONCE]})
            for start in range(0, max(1, len(batch)), AT_ONCE)
        ]
        return Output(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class Torch:
    """The full-precision weights in torch, on CUDA where there is a GPU."""

    file = WEIGHTS

    def __init__(self, path: Path, threads: int) -> None:
        import torch

        from ml.network import new_network

        torch.set_num_threads(threads)
        self.torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = new_network(path / WEIGHTS).eval()
        self.network = network.to(self.device, memory_format=torch.channels_last)

    def __call__(self, batch: np.ndarray) -> Output:
        with self.torch.inference_mode():
            tensor = self.torch.from_numpy(batch).to(self.device)
            tensor = tensor.contiguous(memory_format=self.torch.channels_last)
            found = self.network(tensor)
        return Output(*(value.float().cpu().numpy() for value in found))


class OpenVino:
    """The same int8 model on OpenVINO, which reports nothing to anyone from here."""

    file = ONNX

    def __init__(self, path: Path, threads: int) -> None:
        silence_openvino()
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # What is not int8 would be rounded to bf16 on processors that have it.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.model = core.compile_model(str(path / ONNX), "CPU", settings)

    def __call__(self, batch: np.ndarray) -> Output:
        result = self.model(batch)
        return Output(*(result[name] for name in OUTPUTS[: len(result)]))


def silence_openvino() -> None:
    """Make `import openvino_telemetry` fail: openvino would report to Google Analytics through it.

    openvino then takes a stand-in of its own that reports nothing.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
