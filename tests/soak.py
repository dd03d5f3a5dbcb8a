"""The long form of what the suite tries briefly: python -m tests.soak [FILES]."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
django.setup()

from tests.bad_input import main  # noqa: E402  (its models need the setup)

if __name__ == "__main__":
    main()
