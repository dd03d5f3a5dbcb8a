from io import StringIO

import pytest
from rich.console import Console

from diagnosis.progress import Progress
from ml.training import Step

ROW = {
    "epoch": 2,
    "train_loss": 0.25,
    "validation_loss": 0.125,
    "validation_accuracy": 0.9655,
    "images_per_second": 81.4,
}


def shown(terminal):
    """What a training that says a little of everything looks like."""
    file = StringIO()
    with Progress(Console(file=file, force_terminal=terminal, width=140)) as progress:
        listener = progress.listener()
        listener.on_stage("Reading 20 images")
        for done in range(1, 21):
            listener.on_load(done, 20)
        listener.on_warning("Left out odd[/bold] [red]name.png: The file is empty.")
        listener.on_step(Step(epoch=2, epochs=3, done=5, total=10, loss=0.3, images_per_second=81))
        progress.bars.refresh()
        listener.on_epoch(ROW)
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_said_stays_whole(terminal):
    text = shown(terminal)
    assert "Reading 20 images" in text
    assert "Left out odd[/bold] [red]name.png: The file is empty." in text
    assert "epoch   2  loss 0.2500  validation loss 0.1250  accuracy 0.9655  81 images/s" in text


def test_a_terminal_shows_a_bar_with_speed_and_time_left():
    text = shown(terminal=True)
    assert "Epoch 2/3, loss 0.300" in text
    assert "15/30" in text
    assert "81 images/s" in text
    assert "0:00:" in text or "-:--:--" in text


def test_a_file_gets_nothing_but_lines():
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3
