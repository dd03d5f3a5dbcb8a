"""Where images are kept: on this disk, or in a bucket of a real server of S3's protocol."""

import errno
import os
import uuid

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.db import connection
from moto.server import ThreadedMotoServer

from tests.servers import free_port


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
