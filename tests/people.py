"""People for tests, each with the same password."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from diagnosis import roster
from diagnosis.models import Laboratory, Membership, Role

PASSWORD = "a long enough password"


def person(username: str, **fields: Any) -> User:
    return User.objects.create_user(username, password=PASSWORD, **fields)


def join(laboratory: Laboratory, username: str, role: str = Role.CLINICIAN) -> Membership:
    return laboratory.memberships.create(user=person(username), role=role)


def laboratory_of(username: str, name: str = "Kisumu") -> Laboratory:
    return roster.open_laboratory(person(username), name)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
