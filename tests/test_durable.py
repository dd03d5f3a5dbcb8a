"""What reaches the disk, and in what order."""

import errno
import os

import pytest

from ml import artifact, durable


def test_the_new_content_is_on_the_disk_before_it_takes_the_place(tmp_path, synced, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    move, seen = os.replace, []

    def moved(old, new):
        seen.extend(synced)
        move(old, new)

    monkeypatch.setattr(os, "replace", moved)
    durable.replace(path, b"new")
    assert seen == [tmp_path / "checkpoint.pt.part"]
    assert synced == [*seen, tmp_path]
    assert path.read_bytes() == b"new"


def test_where_it_cannot_be_written_the_old_content_stays(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    fail_with(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="fault"):
        durable.replace(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_a_file_system_that_cannot_sync_folders_is_used_all_the_same(tmp_path, monkeypatch):
    fail_with(monkeypatch, errno.EINVAL)
    durable.sync(tmp_path)


def test_an_artifact_is_on_the_disk_before_it_has_its_name(tmp_path, synced):
    with artifact.writing(tmp_path / "model") as part:
        (part / "model.onnx").write_bytes(b"weights")
    assert synced == [part / "model.onnx", part, tmp_path]


def fail_with(monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, "fault")

    monkeypatch.setattr(os, "fsync", fail)
