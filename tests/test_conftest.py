import pytest
from django.conf import settings

from tests import servers
from tests.conftest import missing, running


def nowhere():
    raise servers.Missing("it is not installed")


def test_a_missing_server_is_a_skip_with_its_reason(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="it is not installed"):
        next(running(nowhere))


def test_a_missing_server_is_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="it is not installed"):
        missing("it is not installed")


def test_each_process_of_a_run_has_the_settings_of_tests():
    assert settings.PASSWORD_HASHERS == ["django.contrib.auth.hashers.MD5PasswordHasher"]
