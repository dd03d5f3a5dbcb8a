import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from PIL import Image

from ml import sandbox
from ml.drawing import draw_cell, draw_field
from ml.limits import MAX_PIXELS, UnreadableImage
from tests.servers import ROOT, wait_for


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


CELL = draw_cell(1, parasitized=True)
GOOD = png(CELL)


@pytest.fixture(autouse=True)
def fresh_children():
    sandbox.stop()
    yield
    sandbox.stop()


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr(sandbox, "_start", partial(sandbox._start, "tests.faulty_decoder"))


def children() -> list[int]:
    return [child._process.pid for child in sandbox._children.queue if child._process]


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def refusal(data: bytes) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        sandbox.decode(data)
    return caught.value


def test_a_photograph_comes_back_as_plain_png():
    decoded = sandbox.decode(GOOD)
    with Image.open(io.BytesIO(decoded.png)) as image:
        assert image.tobytes() == CELL.tobytes()
        assert (image.mode, image.info) == ("RGB", {})
    assert (decoded.width, decoded.height, decoded.kind) == (*CELL.size, "cell")
    expected = hashlib.sha256(b"132x132" + CELL.tobytes()).hexdigest()
    assert decoded.sha256 == expected


def test_a_field_is_told_apart():
    assert sandbox.decode(png(draw_field(1))).kind == "field"


def test_a_refusal_keeps_its_words_and_its_code():
    assert refusal(b"").code == "empty"
    error = refusal(png(CELL.resize((12, 40))))
    assert (error.code, str(error).count("12 x 40")) == ("too-small", 1)
    assert sandbox.decode(GOOD)


def test_the_largest_legal_photograph_fits_into_the_limits():
    side = int(MAX_PIXELS**0.5)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    CELL.resize((side, side)).save(file, "JPEG", exif=exif)
    assert sandbox.decode(file.getvalue()).width == side


@pytest.mark.parametrize(("fault", "code"), [(b"crash", "broken"), (b"swell", "too-heavy")])
def test_a_decoder_that_dies_or_swells_is_a_refusal_and_the_next_file_is_read(faulty, fault, code):
    error = refusal(fault + b":")
    assert error.code == code
    assert str(error).endswith(".")
    assert sandbox.decode(GOOD).width == 132


def test_a_decoder_that_does_not_end_is_stopped_from_outside(faulty, monkeypatch):
    sandbox.decode(GOOD)
    monkeypatch.setattr(sandbox, "SECONDS", 0.5)
    assert refusal(b"hang:").code == "too-slow"
    monkeypatch.undo()
    assert sandbox.decode(GOOD).width == 132


@pytest.mark.parametrize("fault", [b"hang:", b"spin:"])
def test_a_decoder_that_does_not_end_is_stopped_by_the_kernel_too(faulty, fault):
    before = time.monotonic()
    sandbox.decode(b"hurry:" + GOOD)
    assert refusal(fault).code == "too-slow"
    assert time.monotonic() - before < sandbox.SECONDS
    assert sandbox.decode(GOOD).width == 132


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_conversation_that_broke_off_is_not_taken_up_again(monkeypatch, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "_reply", fail)
        with pytest.raises(error):
            sandbox.decode(GOOD)
    assert children() == []
    assert sandbox.decode(png(CELL.resize((99, 99)))).width == 99


def test_what_a_library_prints_does_not_get_into_the_answer(faulty):
    assert sandbox.decode(b"chatter:" + GOOD).width == 132


def test_a_child_that_was_killed_while_idle_is_replaced():
    sandbox.decode(GOOD)
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)  # it may still be dying when the next file comes
    assert sandbox.decode(GOOD).width == 132
    assert children() != [pid]


def test_a_child_serves_a_number_of_files_and_retires(monkeypatch):
    monkeypatch.setattr(sandbox, "FILES_PER_CHILD", 2)
    sandbox.decode(GOOD)
    (pid,) = children()
    sandbox.decode(GOOD)
    assert not is_running(pid)
    assert sandbox.decode(GOOD).width == 132


def test_threads_get_their_own_answers_from_few_children():
    files = {size: png(draw_cell(size, False, size)) for size in range(40, 72)}
    sizes: dict[int, int] = {}

    def work(size: int) -> None:
        sizes[size] = sandbox.decode(files[size]).width

    threads = [threading.Thread(target=work, args=(size,)) for size in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == {size: size for size in files}
    assert len(children()) <= sandbox.CHILDREN


def test_whoever_waits_too_long_for_a_child_is_told(monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.1)
    with sandbox._borrowed(), sandbox._borrowed():
        assert refusal(GOOD).code == "busy"
    monkeypatch.undo()
    assert sandbox.decode(GOOD).width == 132


def test_a_forked_process_has_children_of_its_own():
    sandbox.decode(GOOD)
    ours = children()

    def work(results) -> None:
        results.put((sandbox.decode(GOOD).width, children()))
        sandbox.stop()

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=work, args=(results,))
    process.start()
    width, theirs = results.get(timeout=30)
    process.join()
    assert width == 132
    assert not set(ours) & set(theirs)
    assert sandbox.decode(GOOD).width == 132


PARENT = """
import sys
from functools import partial
from ml import sandbox
sandbox._start = partial(sandbox._start, "tests.faulty_decoder")
child = sandbox._children.queue[-1]
child._process = sandbox._start()
print(child._process.pid, flush=True)
sandbox.decode(sys.stdin.buffer.read())
"""


@pytest.mark.parametrize("busy", [True, False])
def test_a_child_does_not_outlive_its_parent(busy):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin
    assert parent.stdout
    child = int(parent.stdout.readline())
    if busy:
        parent.stdin.write(b"hang:")
        parent.stdin.close()
        time.sleep(0.7)
    assert is_running(child)
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_running(child), "the child's end", seconds=10)


def test_the_parent_stays_small_and_the_child_knows_no_secrets(monkeypatch):
    code = """
import json, sys
from ml import sandbox
sandbox.decode(sys.stdin.buffer.read())
pid = sandbox._children.queue[-1]._process.pid
environment = open(f"/proc/{pid}/environ").read()
print(json.dumps([sorted({"numpy", "cv2", "PIL"} & set(sys.modules)), environment]))
"""
    monkeypatch.setenv("SECRET_KEY", "marked-secret")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, input=GOOD, capture_output=True, check=True)
    loaded, environment = json.loads(done.stdout)
    assert loaded == []
    assert "marked-secret" not in environment
