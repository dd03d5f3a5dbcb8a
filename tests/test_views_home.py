import pytest
from django.test import Client
from django.urls import reverse

from tests.people import laboratory_of, signed_in

pytestmark = pytest.mark.django_db


def test_says_what_it_is_and_what_it_cannot_do(client):
    page = client.get(reverse("home"))
    assert page.status_code == 200
    for words in (
        "Research use only",
        "Not a diagnosis",
        "P. falciparum",
        "never rules malaria out",
    ):
        assert words in page.text
    assert reverse("account_login") in page.text


@pytest.mark.parametrize("is_open", [True, False])
def test_offers_an_account_where_anyone_may_have_one(client, settings, is_open):
    settings.SIGNUP_OPEN = is_open
    assert (reverse("account_signup") in client.get(reverse("home")).text) is is_open


def test_who_is_signed_in_lands_on_the_day():
    client = signed_in(laboratory_of("ada").members.get())
    assert client.get(reverse("home"))["Location"] == reverse("dashboard")


def test_takes_nothing():
    assert Client().post(reverse("home")).status_code == 405


@pytest.mark.parametrize(("theme", "written"), [("dark", True), ("light", True), ('"><b>', False)])
def test_the_chosen_colours_are_in_the_page_from_the_start(client, theme, written):
    client.cookies["theme"] = theme
    assert (f'data-theme="{theme}"' in client.get(reverse("home")).text) is written


def test_an_unknown_address_has_a_page(client):
    page = client.get("/nowhere/")
    assert page.status_code == 404
    assert "There is no such page" in page.text
