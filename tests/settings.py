"""The site's own settings, out of reach of a developer's .env and of an installation's var/."""

import atexit
import os
import shutil
import tempfile

from tests.servers import clean_environment

folder = tempfile.mkdtemp(prefix="malariaweb-tests-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
own = clean_environment(VAR=folder)
os.environ.clear()
os.environ.update(own)

from malariaweb.settings import *  # noqa: E402, F403

WHITENOISE_AUTOREFRESH = True  # else each client of a test goes through all static files
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, as a site has it: a database in memory locks whole tables against other threads.
DATABASES["default"]["TEST"] = {"NAME": f"{folder}/test.sqlite3"}  # noqa: F405
