"""One real training, small enough for tests: killed, stopped by Ctrl-C, and ended.

Its cells are drawn and easily told apart; 32 px, three epochs of 24 steps from random weights.
"""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ml.configuration import TrainingConfig
from tests.cells import write_cells, write_other_lab
from tests.processes import UNREACHABLE, ended, heed_ctrl_c
from tests.servers import ROOT, clean_environment, wait_for

CONFIG = TrainingConfig(
    epochs=3,
    weights="none",
    image_size=32,
    cell_colour=None,
    batch_size=8,
    learning_rate=0.003,
    validation_share=0.25,
    precision="fp32",
)
TEST_SLIDES = ("C1", "C7")


@dataclass(frozen=True)
class TrainingRun:
    cells: Path
    other_lab: Path
    artifact: Path
    var: Path
    stopped: subprocess.CompletedProcess[str]
    """By Ctrl-C, in the third epoch; it had no database."""
    finished: subprocess.CompletedProcess[str]
    """With --activate, in the database of `var`."""


def flags(config: TrainingConfig) -> list[str]:
    """The options of train_model that say the same as a configuration."""
    names = ["epochs", "weights", "image_size", "batch_size", "learning_rate"]
    names += ["validation_share", "precision"]
    given = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]
    return given if config.cell_colour else [*given, "--no-levelling"]


def train_in_three_goes(folder: Path) -> TrainingRun:
    cells = write_cells(folder / "cells", slides=10, each=8, easy=True)
    (folder / "test.txt").write_text("\n".join(TEST_SLIDES))
    output, history = folder / "model", folder / "model.training" / "history.csv"
    options = ["train_model", f"--data={cells}", f"--output={output}", *flags(CONFIG)]
    options.append(f"--holdout-slides={folder / 'test.txt'}")
    other_lab = write_other_lab(folder / "lab", cells=20, no_cells=10)
    options.append(f"--other-labs={other_lab}")
    bare = clean_environment(VAR=str(folder / "bare"), **UNREACHABLE)
    killed = after_epoch(1, history, signal.SIGKILL, start(bare, *options))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    stopped = after_epoch(2, history, signal.SIGINT, start(bare, *options, "--resume"))
    whole = clean_environment(VAR=str(folder / "var"))
    assert ended(start(whole, "migrate", "-v0")).returncode == 0
    finished = ended(start(whole, *options, "--resume", "--activate"))
    return TrainingRun(cells, other_lab, output, folder / "var", stopped, finished)


def after_epoch(
    epoch: int, history: Path, blow: signal.Signals, process: subprocess.Popen[str]
) -> subprocess.CompletedProcess[str]:
    def reached() -> bool:
        rows = len(history.read_text().splitlines()) - 1 if history.exists() else 0
        return rows >= epoch or process.poll() is not None

    wait_for(reached, f"epoch {epoch}", seconds=250)
    process.send_signal(blow)
    return ended(process)


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1"},  # tiny batches; the same sums every time
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
