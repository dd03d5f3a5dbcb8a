import pytest

from diagnosis import checks


def ids(found):
    return [message.id for message in found]


def test_media_that_can_be_written_or_made_is_fine(settings, tmp_path):
    assert checks.media_can_be_written() == []
    settings.MEDIA_ROOT = tmp_path / "not" / "yet"
    assert checks.media_can_be_written() == []


def test_media_below_a_file_is_an_error(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file" / "media"
    assert ids(checks.media_can_be_written()) == ["diagnosis.E001"]


def test_a_bucket_needs_no_folder(settings):
    settings.MEDIA_ROOT, settings.S3_BUCKET = "/dev/null/media", "smears"
    assert checks.media_can_be_written() == []


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_a_folder_of_ones_own_is_fine(settings, mode):
    settings.VAR.chmod(mode)
    assert checks.var_is_closed_to_others() == []


def test_a_folder_that_others_can_enter_is_told_with_the_remedy(settings):
    settings.VAR.chmod(0o755)
    (found,) = checks.var_is_closed_to_others()
    assert found.id == "diagnosis.W007"
    assert f"chmod 700 {settings.VAR}" in found.msg


def test_a_missing_model_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("ml.artifact.MODELS", tmp_path)
    (found,) = checks.the_shipped_model_can_be_read()
    assert found.id == "diagnosis.W001"
    assert "No image can be uploaded until a model is active" in found.msg


@pytest.mark.parametrize(("engine", "found"), [("auto", []), ("django", [])])
def test_an_engine_that_is_there(settings, engine, found):
    settings.MODEL_ENGINE = engine
    assert checks.the_engine_is_installed() == found


def test_an_engine_that_is_not_there(settings):
    settings.MODEL_ENGINE = "abacus"
    assert "abacus" in str(checks.the_engine_is_installed()[0])


@pytest.mark.parametrize(
    ("url", "listen_on", "debug", "found"),
    [
        ("", "127.0.0.1", True, []),
        ("http://localhost:8000", "127.0.0.1", True, []),
        ("http://[::1]:8000", "::1", True, []),
        ("https://malaria.example.org", "0.0.0.0", False, []),
        ("https://malaria.example.org", "0.0.0.0", True, ["diagnosis.E002"]),
        ("http://192.168.1.20", "0.0.0.0", False, ["diagnosis.W003"]),
    ],
)
def test_addresses(settings, url, listen_on, debug, found):
    settings.SITE_URL, settings.LISTEN_ON, settings.DEBUG = url, listen_on, debug
    settings.HTTPS = url.startswith("https")
    assert ids(checks.the_address_is_safe()) == found


def test_several_hosts_need_one_secret_key(settings, monkeypatch):
    settings.POSTGRESQL = {}
    assert checks.hosts_can_share_what_they_must() == []
    settings.POSTGRESQL = {"ENGINE": "django.db.backends.postgresql"}
    assert ids(checks.hosts_can_share_what_they_must()) == ["diagnosis.W004"]
    monkeypatch.setenv("SECRET_KEY", "k" * 50)
    assert checks.hosts_can_share_what_they_must() == []


def test_services_that_are_half_set(settings):
    settings.S3_OPTIONS = settings.S3_OPTIONS | {"region_name": "af-south-1"}
    settings.EMAIL_CONFIGURED = True
    assert ids(checks.services_are_complete()) == ["diagnosis.W005", "diagnosis.W006"]
    settings.S3_BUCKET, settings.DEFAULT_FROM_EMAIL = "smears", "malaria@example.org"
    assert checks.services_are_complete() == []
