"""A process of its own that tries to sign in: how many tries were let through to the password?

python -m tests.sign_ins TRIES ADDRESS USERNAME...    (each try takes the next username)
"""

import itertools
import sys

import django

if __name__ == "__main__":
    django.setup()
    from django.conf import settings
    from django.test import Client

    # A cheap one: the tries of the processes then fall as close together as they can.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    tries, address, *usernames = sys.argv[1:]
    client = Client(headers={"x-forwarded-for": f"6.6.6.6, {address}", "host": "localhost"})
    let_through = 0
    for _, username in zip(range(int(tries)), itertools.cycle(usernames), strict=False):
        response = client.post("/accounts/login/", {"login": username, "password": "wrong"})
        let_through += b"the password is not right" in response.content
    sys.stdout.write(str(let_through))
