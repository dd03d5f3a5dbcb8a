#!/usr/bin/env python
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed in this Python: use .venv/bin/python, or `make run`.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
