"""What every answer carries, and what the site's address decides."""

import pytest
from django.test import Client

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data: blob:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


@pytest.fixture
def page(db):
    return Client().get("/accounts/login/")


def test_scripts_and_styles_come_from_the_site_alone(page):
    header = page.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in header.split(";"))
    assert directives == POLICY
    assert "unsafe" not in header


def test_browsers_neither_guess_nor_tell(page):
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["X-Frame-Options"] == "DENY"


def test_a_strange_host_is_refused(db):
    assert Client().get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("forwarded", "status"), [({"X-Forwarded-Proto": "https"}, 200), ({}, 301)]
)
def test_https_is_known_by_the_proxy_that_ends_it(db, settings, forwarded, status):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 60
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    answer = Client().get("/accounts/login/", headers=forwarded)
    assert answer.status_code == status
    assert ("Strict-Transport-Security" in answer.headers) == (status == 200)


def test_a_form_from_elsewhere_is_refused(db):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/accounts/login/", {"login": "a", "password": "b"}).status_code == 403


def test_the_admin_asks_the_site_for_the_sign_in(db):
    answer = Client().get("/admin/login/", follow=True)
    assert answer.redirect_chain[0][0].startswith("/accounts/login/")


def test_no_address_leads_to_stored_images(db, settings):
    (settings.MEDIA_ROOT / "cell.png").write_bytes(b"secret")
    for address in ("/media/cell.png", "/var/media/cell.png", "/static/../media/cell.png"):
        assert Client().get(address).status_code == 404
