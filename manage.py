#!/usr/bin/env python
import os
import sys

FOR_TRAINING = {
    "matplotlib",
    "onnx",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "torch",
    "torchvision",
}


def run() -> None:
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed in this Python: use .venv/bin/python, or `make run`.")
    execute_from_command_line(sys.argv)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
    try:
        run()
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in FOR_TRAINING:
            raise
        sys.exit(f"This needs {error.name}: .venv/bin/pip install -r requirements.txt (6 GB).")


if __name__ == "__main__":
    main()
