"""Where images are kept: on this disk, or in a bucket of a real server of S3's protocol."""

import errno
import os
import subprocess
import sys
import uuid

import boto3
import pytest
from django.conf import settings as site
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.db import connection
from moto.server import ThreadedMotoServer

from diagnosis import pulse, tasks
from tests.people import laboratory_of
from tests.readings import new_slide, read, waiting
from tests.servers import ROOT, clean_environment, free_port


@pytest.fixture(scope="module")
def s3_url():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def bucket(s3_url, settings):
    name = f"smears-{uuid.uuid4()}"
    keys = {"access_key": "key", "secret_key": "secret"}
    options = {"bucket_name": name, "endpoint_url": s3_url, "region_name": "us-east-1"}
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": settings.S3_OPTIONS | options | keys,
        }
    }
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=name)
    return client, name


def test_a_file_goes_into_the_bucket_and_comes_back(bucket):
    client, name = bucket
    storage = storages["default"]
    saved = storage.save("laboratory/slide/cell.png", ContentFile(b"pixels"))
    assert client.get_object(Bucket=name, Key=saved)["Body"].read() == b"pixels"
    with storage.open(saved) as file:
        assert file.read() == b"pixels"
    storage.delete(saved)
    assert not storage.exists(saved)


def test_a_stored_file_is_neither_public_nor_overwritten(bucket):
    client, name = bucket
    storage = storages["default"]
    first = storage.save("cell.png", ContentFile(b"first"))
    second = storage.save("cell.png", ContentFile(b"second"))
    assert first != second
    grants = client.get_object_acl(Bucket=name, Key=first)["Grants"]
    assert not [grant for grant in grants if "AllUsers" in grant["Grantee"].get("URI", "")]
    assert "Signature=" in storage.url(first)


def options_of(settings, **changed):
    default = settings.STORAGES["default"]
    return settings.STORAGES | {"default": default | {"OPTIONS": default["OPTIONS"] | changed}}


@pytest.mark.parametrize("fault", ["the bucket is gone", "nobody listens"])
def test_images_in_a_bucket_that_is_away_wait(db, bucket, settings, monkeypatch, fault):
    monkeypatch.setattr(tasks, "PAUSE", 0)
    monkeypatch.setattr(tasks, "predictor_of", lambda version: None)
    row = waiting(new_slide(laboratory_of("ada")))
    assert row.image.file.read()
    away = {
        "the bucket is gone": {"bucket_name": f"none-{uuid.uuid4()}"},
        "nobody listens": {"endpoint_url": f"http://127.0.0.1:{free_port()}"},
    }
    settings.STORAGES = options_of(settings, **away[fault])
    tasks.analyse([row.pk])
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("queued", 0)
    assert pulse.taken().lacked == pulse.STORAGE


def test_one_object_that_is_lost_fails_alone(db, bucket, monkeypatch):
    monkeypatch.setattr(tasks, "predictor_of", lambda version: None)
    client, name = bucket
    slide = new_slide(laboratory_of("ada"))
    row, _other = waiting(slide), read(slide)
    client.delete_object(Bucket=name, Key=row.image.file.name)
    tasks.analyse([row.pk])
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", tasks.UNREADABLE)


def test_a_silent_bucket_is_given_up_within_a_task(tmp_path):
    program = "from malariaweb.settings import S3_OPTIONS; c = S3_OPTIONS['client_config'];"
    program += "print((c.connect_timeout + c.read_timeout) * c.retries['total_max_attempts'] * 2)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(VAR=str(tmp_path), S3_BUCKET="smears"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < site.ANALYSIS_SOFT_TIME_LIMIT


def test_a_file_on_the_disk_outlasts_a_power_cut(synced, settings):
    name = default_storage.save("laboratory/slide/cell.png", ContentFile(b"pixels"))
    media = settings.MEDIA_ROOT
    slide = media / "laboratory" / "slide"
    assert synced == [media / name, slide, slide.parent, media]


def test_a_file_that_cannot_be_kept_is_not_accepted(monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        default_storage.save("cell.png", ContentFile(b"pixels"))


def test_a_committed_row_outlasts_it_too(db):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone() == (2,)  # FULL
