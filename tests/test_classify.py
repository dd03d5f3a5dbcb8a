import json
import os
import re
import shutil
import signal
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from ml import artifact
from ml.drawing import draw_cell, draw_field
from ml.engines import GPU_DEVICE
from ml.reading import CHUNK
from tests.pictures import encoded
from tests.processes import UNREACHABLE, heed_ctrl_c
from tests.servers import ROOT, clean_environment

CELL = encoded(draw_cell(1, True, 64), "PNG")


def classify(*arguments):
    """In this process: (stdout, stderr, exit status)."""
    out, complaints = StringIO(), StringIO()
    try:
        call_command("classify", *map(str, arguments), stdout=out, stderr=complaints)
    except SystemExit as end:
        return out.getvalue(), complaints.getvalue(), end.code
    return out.getvalue(), complaints.getvalue(), 0


def started(folder, *arguments):
    """As a process of its own, in which torch cannot be loaded and no server be reached."""
    (folder / "poison").mkdir()
    for name in ("torch", "torchvision", "openvino"):
        (folder / "poison" / f"{name}.py").write_text("raise SystemExit('must not be loaded')")
    environment = clean_environment(VAR=str(folder / "var"), **UNREACHABLE)
    engine = ["--engine=onnxruntime"] if GPU_DEVICE.exists() else []
    return subprocess.Popen(
        [sys.executable, "manage.py", "classify", *arguments, *engine],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(folder / "poison")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,
    )


ODD_NAMES = [
    b"a b.png",
    b"c\nd.png",
    b"e\xff.png",
    "é 日本.png".encode(),
    b'quote".png',
    b"\xe2\x80\xae.png",
]


def test_the_whole_contract_in_a_process_of_its_own(tmp_path, trained_model):
    folder = tmp_path / "cells"
    folder.mkdir()
    for name in ODD_NAMES:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(CELL)
    (folder / "z").mkdir()
    (folder / "z" / "field.jpg").write_bytes(encoded(draw_field(1), "JPEG"))
    (folder / "z" / "gps.jpg").write_bytes(
        encoded(draw_cell(2, False), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    )
    (folder / "z" / "cut.tif").write_bytes(encoded(draw_cell(1, True), "TIFF")[:2000])
    (folder / ".hidden.png").write_bytes(CELL)
    (folder / "Thumbs.db").write_bytes(CELL)
    process = started(
        tmp_path, str(folder), "--model", str(trained_model), "--format", "jsonl", "--kind", "auto"
    )
    out, complaints = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = [json.loads(line) for line in out.splitlines()]
    names = [*map(os.fsdecode, ODD_NAMES), "z/cut.tif", "z/field.jpg", "z/gps.jpg"]
    assert [line["path"] for line in lines] == [f"{folder}/{name}" for name in sorted(names)]
    (field,) = [line for line in lines if line["kind"] == "field"]
    assert 58 <= field["cell_count"] <= len(field["cells"]) <= 62
    unlabelled = [line["path"] for line in lines if line["label"] is None]
    assert unlabelled == [f"{folder}/z/cut.tif", f"{folder}/z/field.jpg"]
    assert re.fullmatch(r"Skipped 2 hidden .*\n1 could not be read.*\n", complaints.decode()), (
        complaints.decode()
    )


def test_lines_are_there_to_read_while_files_still_come(tmp_path, trained_model):
    """The last path is a pipe that nobody has written to yet; the reader then goes away."""
    (tmp_path / "cell.png").write_bytes(CELL)
    os.mkfifo(tmp_path / "late")
    cells = [str(tmp_path / "cell.png")] * CHUNK
    process = started(
        tmp_path, *cells, str(tmp_path / "late"), "--model", str(trained_model), "--format=jsonl"
    )
    assert process.stdout is not None
    early = [json.loads(process.stdout.readline()) for _ in range(CHUNK)]
    assert {line["path"] for line in early} == {str(tmp_path / "cell.png")}
    process.stdout.close()
    (tmp_path / "late").write_bytes(CELL)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_ends_it_quietly(tmp_path, trained_model):
    (tmp_path / "cell.png").write_bytes(CELL)
    os.mkfifo(tmp_path / "never")
    cells = [str(tmp_path / "cell.png")] * CHUNK
    process = started(
        tmp_path, *cells, str(tmp_path / "never"), "--model", str(trained_model), "--format=jsonl"
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    (tmp_path / "never").write_bytes(CELL)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints == b""


@pytest.fixture
def cells(tmp_path):
    """Two cells and a field."""
    for seed in (1, 2):
        draw_cell(seed, bool(seed % 2)).save(tmp_path / f"cell{seed}.png")
    draw_field(1).save(tmp_path / "field.png")
    return tmp_path


def test_good_files_alone_end_with_status_0_and_no_complaint(cells, trained_model):
    out, complaints, status = classify(cells, "--model", trained_model, "--format", "jsonl")
    assert (complaints, status) == ("", 0)
    assert [json.loads(line)["decision"] for line in out.splitlines()][2] is None


def test_the_table_is_for_people(cells, trained_model):
    (cells / os.fsdecode(b"torn\nname\xff.png")).write_bytes(CELL[:200])
    out, _, status = classify(cells, "--model", trained_model)
    rows = out.splitlines()
    assert (len(rows), status) == (4, 1)
    assert re.fullmatch(r"(parasitized|uninfected|uncertain) +0\.\d{3}  \S*cell1\.png", rows[0])
    assert re.fullmatch(
        r"field +\S*field\.png  \d+ of \d\d red cells labelled parasitized\b.*", rows[2]
    )
    assert re.fullmatch(r"rejected +\S*torn\\nname\\udcff\.png  The file is cut off.*", rows[3])


def test_a_row_of_a_field_says_what_was_not_counted(cells, trained_model):
    with Image.open(cells / "field.png") as image:
        image.crop((70, 0, 1280, 960)).save(cells / "field.png")
    out, _, _ = classify(cells / "field.png", "--model", trained_model)
    row = re.search(r"of (\d+) red cells labelled parasitized; (\d+) at the edge or rejected$", out)
    assert row
    assert 58 <= int(row[1]) + int(row[2]) <= 62
    assert int(row[2]) >= 6
    Image.new("RGB", (800, 600), "pink").save(cells / "field.png")
    out, _, _ = classify(cells / "field.png", "--model", trained_model, "--kind", "field")
    assert re.fullmatch(r"rejected +\S*field\.png  No red cell was found in this field\.\n", out)


def test_a_kind_is_passed_on(cells, trained_model):
    out, _, _ = classify(cells, "--model", trained_model, "--format", "jsonl", "--kind", "cell")
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["cell"] * 3


def test_without_a_model_the_shipped_one_reads(cells, trained_model, tmp_path, monkeypatch):
    monkeypatch.setattr(artifact, "MODELS", trained_model.parent)
    for extra in ([], ["--model", trained_model.name]):
        out, _, _ = classify(cells / "cell1.png", "--format", "jsonl", *extra)
        assert json.loads(out)["model"] == artifact.read_manifest(trained_model).name
    monkeypatch.setattr(artifact, "MODELS", tmp_path / "none")
    with pytest.raises(CommandError, match="No model is shipped"):
        classify(cells)


def test_a_model_that_is_not_there_is_said(cells):
    with pytest.raises(CommandError, match="no trained model called nobody"):
        classify(cells, "--model", "nobody")


def test_a_machine_that_computes_wrongly_is_not_trusted(cells, trained_model, tmp_path):
    folder = shutil.copytree(trained_model, tmp_path / "doctored")
    with np.load(folder / artifact.PROBE) as probe:
        pixels, probability = probe["pixels"], probe["probability"]
    np.savez(folder / artifact.PROBE, pixels=pixels, probability=1.2 - probability)
    artifact.write_manifest(folder, artifact.read_manifest(folder))
    with pytest.raises(CommandError, match="computes the model wrongly"):
        classify(cells, "--model", folder)


def test_a_kind_or_form_that_does_not_exist_is_said(cells):
    for option in ("--kind", "--format", "--engine"):
        with pytest.raises(CommandError, match="invalid choice"):
            classify(cells, option, "other")
