import subprocess
import sys

from tests.servers import ROOT, clean_environment

WITHOUT = """
import runpy, sys
sys.modules[sys.argv.pop(1)] = None
runpy.run_path("manage.py", run_name="__main__")
"""

INTERRUPTED = """
import runpy, sys
class Interrupted:
    package = sys.argv.pop(1)
    def find_spec(self, name, *_):
        if name == self.package:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_path("manage.py", run_name="__main__")
"""


def manage_without(package, folder, *arguments, program=WITHOUT):
    return subprocess.run(
        [sys.executable, "-c", program, package, *arguments],
        cwd=ROOT,
        env=clean_environment(VAR=str(folder)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_on_a_serving_installation_says_what_is_missing(tmp_path):
    done = manage_without("torch", tmp_path, "train_model", "--help")
    assert done.returncode == 1
    assert done.stderr == "This needs torch: .venv/bin/pip install -r requirements.txt (6 GB).\n"


def test_without_django_make_is_named(tmp_path):
    done = manage_without("django.core.management", tmp_path, "check")
    assert done.returncode == 1
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_django_is_loaded_is_no_fault(tmp_path):
    done = manage_without("django.core.management", tmp_path, "check", program=INTERRUPTED)
    assert (done.returncode, done.stderr) == (1, "Stopped.\n")


def test_another_missing_module_is_a_mistake_and_shown(tmp_path):
    done = manage_without("diagnosis.supervisor", tmp_path, "start")
    assert "Traceback" in done.stderr
