"""Failed tries are counted, for an account and for an address, by all processes together."""

import subprocess
import sys

import pytest
from django.test import Client

from tests.people import PASSWORD, person, signed_in
from tests.servers import ROOT, clean_environment

SIGN_IN = "/accounts/login/"
# django-allauth's own limits: for an account in five minutes, for an address in one.
FOR_ACCOUNT, FOR_ADDRESS = 5, 10


def attempt(client, username="ada", password="wrong", **headers):
    credentials = {"login": username, "password": password}
    return client.post(SIGN_IN, credentials, headers=headers).content.decode()


def refused(page):
    return "Too many failed tries" in page


@pytest.mark.django_db
def test_an_account_is_closed_to_guesses_even_right_ones_from_anywhere(client):
    person("ada")
    assert not any(refused(attempt(client)) for _ in range(FOR_ACCOUNT))
    assert refused(attempt(client))
    assert refused(attempt(Client(REMOTE_ADDR="10.1.1.1"), password=PASSWORD))
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_other_accounts_and_addresses_stay_open(client):
    person("ben")
    for _ in range(FOR_ACCOUNT + 1):
        attempt(client)
    assert attempt(client, "ben", PASSWORD) == ""
    assert "_auth_user_id" in client.session


@pytest.mark.django_db
def test_right_sign_ins_are_not_counted(client):
    person("ada")
    for _ in range(FOR_ACCOUNT + 1):
        assert attempt(client, password=PASSWORD) == ""
        client.post("/accounts/logout/")


@pytest.mark.django_db
def test_an_address_is_closed_to_guesses_at_many_accounts(client):
    pages = [attempt(client, f"user{number}") for number in range(FOR_ADDRESS + 1)]
    assert [refused(page) for page in pages] == [False] * FOR_ADDRESS + [True]
    assert not refused(attempt(Client(REMOTE_ADDR="10.1.1.1"), "userx"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("proxies", "headers", "together"),
    [
        (0, ["9.9.9.{}"], True),  # nobody in front: the header is the visitor's own invention
        (1, ["6.6.6.6, 9.9.9.{}"], False),
        (1, ["6.6.6.{}, 9.9.9.9"], True),
        (2, ["6.6.6.{}, 9.9.9.9, 10.0.0.1"], True),
        (2, ["9.9.9.{}, 10.0.0.1"], False),
    ],
)
def test_the_address_that_counts_is_the_one_the_outermost_own_proxy_saw(
    client, settings, proxies, headers, together
):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    pages = [
        attempt(client, f"user{number}", **{"x-forwarded-for": headers[0].format(number)})
        for number in range(FOR_ADDRESS + 1)
    ]
    assert refused(pages[-1]) is together


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "data", "limit"),
    [
        ("/accounts/password/change/", {"oldpassword": "wrong"}, 5),
        ("/accounts/reauthenticate/", {"password": "wrong"}, 10),
    ],
)
def test_guesses_at_ones_own_password_are_limited_too(url, data, limit):
    client = signed_in(person("ada"))
    answers = [client.post(url, data) for _ in range(limit + 1)]
    assert answers[-1].status_code == 429 or refused(answers[-1].content.decode())
    assert [answer.status_code for answer in answers[:4]] == [200] * 4


@pytest.mark.django_db
def test_too_many_sign_ups_get_a_page_in_words(client):
    for _ in range(20):
        assert client.post("/accounts/signup/", {}).status_code == 200
    response = client.post("/accounts/signup/", {})
    assert response.status_code == 429
    assert "Wait a few minutes" in response.content.decode()


def let_through(environment, *tries):
    """How many tries reached the password, of processes that all try at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sign_ins", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
        )
        for arguments in tries
    ]
    return sum(int(process.communicate(timeout=120)[0]) for process in processes)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation") / "var"
    environment = clean_environment(VAR=str(folder), TRUSTED_PROXY_COUNT="1", LOG_LEVEL="ERROR")
    for command in ("migrate", "createcachetable"):
        subprocess.run(
            [sys.executable, "manage.py", command, "-v0"], cwd=ROOT, env=environment, check=True
        )
    return environment


@pytest.fixture(params=["database", "postgresql", "redis"])
def environment(request, installation):
    if request.param == "database":
        return installation
    if request.param == "postgresql":
        return installation | {"DATABASE_URL": request.getfixturevalue("postgres_copy")}
    return installation | {"REDIS_URL": request.getfixturevalue("redis_url")}


def test_two_processes_count_the_tries_at_an_account_together(environment):
    one, other = ["8", "10.0.0.1", "ada"], ["8", "10.0.0.2", "ada"]
    assert let_through(environment, one, other) == FOR_ACCOUNT


def test_two_processes_count_the_tries_of_an_address_together(installation):
    tries = ["9", "10.0.0.3"]
    users = [[f"{letter}{number}" for number in range(9)] for letter in "ab"]
    assert let_through(installation, *[tries + names for names in users]) == FOR_ADDRESS
