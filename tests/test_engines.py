import json
import subprocess
import sys

import numpy as np
import pytest

from ml import engines
from ml.artifact import ArtifactError, read_manifest, shipped_model
from ml.engines import choose_engine, engine_file, load_engine
from ml.images import normalised
from ml.predictor import Predictor
from tests.artifacts import drawn_pixels
from tests.servers import ROOT, clean_environment

CELLS = 64


def outputs(name):
    """Of the shipped model: one that a test trains differs from machine to machine."""
    folder = shipped_model()
    manifest = read_manifest(folder)
    pixels = drawn_pixels(CELLS, manifest.image_size)
    logits, activation, _ = load_engine(name, folder, threads=2)(
        normalised(pixels, manifest.mean, manifest.std)
    )
    return logits[:, 1] - logits[:, 0], activation


@pytest.mark.parametrize("name", ["onnxruntime", "torch", "openvino"])
def test_every_engine_answers_alike(name):
    wanted, wanted_map = outputs("onnxruntime")
    found, found_map = outputs(name)
    assert found.dtype == found_map.dtype == np.float32
    assert found_map.shape == wanted_map.shape
    # float against int8, and int8 rounded in other places
    assert np.corrcoef(found, wanted)[0, 1] > 0.999
    assert np.corrcoef(found_map.ravel(), wanted_map.ravel())[0, 1] > 0.995
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_without_a_gpu_the_small_engine_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "GPU_DEVICE", tmp_path / "none")
    assert choose_engine("auto") == "onnxruntime"
    assert engine_file("auto") == engine_file("openvino") == "model.onnx"


def test_with_a_gpu_and_torch_torch_is_chosen(tmp_path, monkeypatch):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(engines, "GPU_DEVICE", tmp_path / "nvidia0")
    assert choose_engine("auto") == "torch"
    assert engine_file("auto") == "model.safetensors"
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    assert choose_engine("auto") == "onnxruntime"


def test_an_engine_that_is_chosen_is_taken():
    assert [choose_engine(name) for name in engines.ENGINES[1:]] == list(engines.ENGINES[1:])


def test_an_engine_that_does_not_exist_is_said(trained_model):
    with pytest.raises(ArtifactError, match="no engine tensorrt: choose one of auto, onnxruntime"):
        load_engine("tensorrt", trained_model)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_an_engine_that_is_not_installed_is_said(name, trained_model, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ArtifactError, match=f"{name} is not installed here: pip install"):
        load_engine(name, trained_model)


@pytest.mark.parametrize("name", ["onnxruntime", "torch", "openvino"])
def test_a_file_that_is_no_network_is_said(name, tmp_path):
    (tmp_path / engine_file(name)).write_bytes(b"no network")
    with pytest.raises(ArtifactError, match=f"{name} cannot load the model in"):
        load_engine(name, tmp_path)


WATCH = """
import json, os, socket, sys
def watched(name, own):
    def call(*arguments, **options):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{name} {arguments[1:] or arguments}\\n")
        return own(*arguments, **options)
    return call
socket.getaddrinfo = watched("getaddrinfo", socket.getaddrinfo)
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, watched(name, getattr(socket.socket, name)))
"""
READ = """
import json, sys, time
import numpy as np
from ml.predictor import Predictor
predictor = Predictor.load(sys.argv[1], sys.argv[2])
assert predictor.manifest.image_size == 64
predictor.predict_pixels(np.zeros((2, 64, 64, 3), np.uint8))
time.sleep(1)  # whoever reports does it from a thread
print(json.dumps(sorted(name for name, module in sys.modules.items() if module)))
"""
CALL = """
import socket, urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)
except OSError:
    pass
"""


@pytest.fixture
def watched(tmp_path):
    """Runs a program; returns (the modules it had loaded, all its tries to reach a network)."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "connections"

    def run(program, *arguments):
        environment = clean_environment(
            PYTHONPATH=f"{tmp_path}:{ROOT}", HOME=str(tmp_path), WATCHED=str(log)
        )
        environment.pop("CI", None)  # with it openvino reports nothing, and nothing is proven
        environment.pop("XDG_CACHE_HOME", None)
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        modules = json.loads(done.stdout) if done.stdout else []
        return modules, log.read_text() if log.exists() else ""

    return run


def test_who_opens_a_connection_is_seen(watched):
    assert "127.0.0.1" in watched(CALL)[1]


def test_openvino_tells_nobody(watched, trained_model):
    modules, calls = watched(READ, trained_model, "openvino")
    assert "openvino" in modules
    assert not [name for name in modules if name.startswith("openvino_telemetry")]
    assert calls == ""


def test_the_default_engine_tells_nobody_and_needs_no_torch(watched, trained_model):
    modules, calls = watched(READ, trained_model, "onnxruntime")
    assert not {"torch", "openvino"} & set(modules)
    assert calls == ""


def test_onnxruntime_keeps_nothing_to_report(watched, trained_model, tmp_path):
    """It would send it from C++, where nobody watches."""
    watched(READ, trained_model, "onnxruntime")
    assert not (tmp_path / ".cache").exists()


def test_the_number_of_threads_is_kept(trained_model):
    engine = load_engine("onnxruntime", trained_model, threads=1)
    assert isinstance(engine, engines.OnnxRuntime)
    assert engine.session.get_session_options().intra_op_num_threads == 1


def test_auto_loads_what_it_chose(trained_model):
    wanted = {"onnxruntime": engines.OnnxRuntime, "torch": engines.Torch}[choose_engine("auto")]
    assert isinstance(Predictor.load(trained_model).engine, wanted)
